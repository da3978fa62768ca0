package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/guest"
	"gnomon/engine/importer"
)

var realContenders = []contender{
	{"map-native", "the process map by hand with care: AckNone, encoding/json, maps, a transaction for 4,096 events", 1, realNative},
	{"map-engine", "the process map as a guest in Go, fields by the SDK", 1, realEngine},
}

// realEngine runs the process map as it is shipped among the examples.
func realEngine(ctx context.Context, t task) (o outcome, err error) {
	err = withGuest(ctx, t, "process-map.wasm", func(m guest.Module) error {
		o, err = catchUp(ctx, t, m, 1)
		return err
	})
	if err != nil {
		return o, err
	}
	all := newRows()
	err = stored(ctx, t.dir, projectionName(0), all.add)
	o.Keys, o.Digest = all.keys, all.digest()
	return o, err
}

// sharedData is where event logs are that are not shipped.
func sharedData() string {
	if dir := os.Getenv("GNOMON_SHARED_DATA"); dir != "" {
		return dir
	}
	return "../../shared/data"
}

// openLog opens an event log by its name.
func openLog(name string) (*os.File, error) {
	f, err := os.Open("../examples/wasm-projections/data/" + name + ".jsonl.gz")
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(filepath.Join(sharedData(), "events", name+".jsonl.gz"))
	}
	return f, err
}

func measureReal(ctx context.Context, r *rig) (p report, err error) {
	t := table{
		Title: fmt.Sprintf("Real event logs, process map (median of %d rounds, events/s)", r.Rounds),
		Head:  []string{"log", "events", "rows", "native, `encoding/json`", "lowest – highest", "engine, guest in Go", "lowest – highest", "ratio"},
	}
	for _, name := range strings.Split(r.Logs, ",") {
		events, times, err := seedLog(ctx, r, name)
		if errors.Is(err, fs.ErrNotExist) {
			progress("log %s is left out, since it is neither shipped nor in %s (GNOMON_SHARED_DATA)", name, sharedData())
			continue
		}
		if err != nil {
			return p, fmt.Errorf("log %s: %w", name, err)
		}
		native, guest, keys, err := compareReal(ctx, r, name, events)
		if err != nil {
			return p, fmt.Errorf("log %s: %w", name, err)
		}
		v := median(guest) / median(native)
		p.number("real/"+name+"/ratio", v)
		p.number("real/"+name+"/events", float64(events))
		p.number("real/"+name+"/native-events-per-second", median(native))
		p.number("real/"+name+"/engine-events-per-second", median(guest))
		what := grouped(events)
		if times > 1 {
			what = fmt.Sprintf("%s (the log %d times)", what, times)
		}
		span := func(all []float64) string { return short(quantile(all, 0)) + " – " + short(quantile(all, 1)) }
		t.Rows = append(t.Rows, []string{name, what, grouped(int(keys)), short(median(native)), span(native), short(median(guest)), span(guest), short(v)})
	}
	p.Tables = append(p.Tables, t)
	return p, nil
}

// compareReal lets both take turns on a log. They have to leave the same rows.
func compareReal(ctx context.Context, r *rig, name string, events int) (native, guest []float64, keys int64, err error) {
	for round := range r.Rounds + 1 { // the first one warms up
		var pair [2]outcome
		for i, c := range realContenders {
			if pair[i], err = r.turn(ctx, c.name, realStream(name), events, 1); err != nil {
				return nil, nil, 0, err
			}
		}
		if pair[0].Digest != pair[1].Digest || pair[0].Keys == 0 {
			return nil, nil, 0, fmt.Errorf("the native program has %d rows, digest %.16s; the engine %d, digest %.16s", pair[0].Keys, pair[0].Digest, pair[1].Keys, pair[1].Digest)
		}
		progress("%s round %d: native %s, engine %s events/s", name, round, short(pair[0].rate()), short(pair[1].rate()))
		if round > 0 {
			native, guest = append(native, pair[0].rate()), append(guest, pair[1].rate())
		}
		keys = pair[0].Keys
	}
	return native, guest, keys, nil
}

func realStream(name string) string { return "LOG-" + name }

// seedLog imports a log, again and again under other ids until there are enough events
// to be timed, and returns how many there are.
func seedLog(ctx context.Context, r *rig, name string) (events, times int, err error) {
	lines, err := readLog(name)
	if err != nil {
		return 0, 0, err
	}
	nc, err := nats.Connect(r.URL)
	if err != nil {
		return 0, 0, err
	}
	defer nc.Close()
	token, _, _ := strings.Cut(lines[0].Subject, ".")
	st, err := freshStream(ctx, nc, realStream(name), token)
	if err != nil {
		return 0, 0, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, 0, err
	}
	sink, err := importer.OpenStream(ctx, js, realStream(name))
	if err != nil {
		return 0, 0, err
	}
	times = max(1, (r.RealEvents+len(lines)-1)/len(lines))
	progress("stream %s: %s events, %d times", realStream(name), grouped(len(lines)), times)
	for i := range times {
		for _, e := range lines {
			e.ID = fmt.Sprintf("%s-%d", e.ID, i)
			if err := sink.Append(ctx, e); err != nil {
				return 0, 0, err
			}
		}
	}
	events = times * len(lines)
	return events, times, errors.Join(sink.Flush(ctx), settle(ctx, st, uint64(events)))
}

func readLog(name string) (events []importer.Event, err error) {
	f, err := openLog(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(z)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		e, err := importer.Parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(events)+1, err)
		}
		events = append(events, e)
	}
}
