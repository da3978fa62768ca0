package trial

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/guest"
	"gnomon/engine/importer"
	"gnomon/engine/testdriver"
	"gnomon/sdk/abi"
)

// The event that a check makes up, for a module that is given none.
const (
	madeUpSubject = "check.made-up"
	madeUpData    = "{}"
)

var madeUp = importer.Event{Subject: madeUpSubject, ID: "1", Type: "check", Time: "2000-01-01T00:00:00Z", Source: importer.DefaultSource, Data: []byte(madeUpData)}

// use has an instance work on events, and says what that took.
func (k *checker) use(ctx context.Context, a *applier) ([]checkRow, error) {
	upcasts := a.upcasts
	init := "init " + cli.Comma(a.Instance().Fuel())
	if k.events != "" {
		if err := k.applyFile(ctx, a); err != nil {
			return nil, err
		}
		events := fmt.Sprintf("%s of %s, which leave %s keys, %s", cli.Comma(a.events), eventsFile(k.events), cli.Comma(a.State.Keys()), humanize.IBytes(uint64(a.State.Bytes())))
		if upcasts {
			events = fmt.Sprintf("%s of %s, which become %s", cli.Comma(a.events), eventsFile(k.events), cli.Comma(a.made))
		}
		if a.events > 0 {
			init += fmt.Sprintf("; an event %s on average, %s at most, in line %d", cli.Comma(a.used/uint64(a.events)), cli.Comma(a.most), a.mostLine)
		}
		return []checkRow{{"events", events}, k.fuelRow(init)}, nil
	}
	failure := a.Append(ctx, madeUp)
	var guest *guest.Error
	if failure != nil && !errors.As(failure, &guest) {
		return nil, failure
	}
	rows := []checkRow{k.fuelRow(init + "; a made-up event " + cli.Comma(a.most))}
	if guest != nil {
		rows = append(rows, checkRow{"note", fmt.Sprintf("it fails at the made-up event (subject %s, data %s), which may be right: %s; give it real ones with --events", madeUpSubject, madeUpData, cli.Readable([]byte(guest.Error())))})
	}
	return rows, nil
}

// applyFile applies the events of the file.
func (k *checker) applyFile(ctx context.Context, a *applier) error {
	in, total, err := cli.OpenLines(k.events, k.stdin)
	if err != nil {
		return err
	}
	defer in.Close()
	p := cli.NewProgress(k.stderr, "apply "+eventsFile(k.events), total)
	defer p.Finish()
	lines := int64(0)
	return importer.Import(ctx, k.events, in, a, importer.Options{Progress: func(int64) {
		lines++
		p.Set(lines)
	}})
}

// fuelRow says what took how much, and what the fuel of an event is held against.
func (k *checker) fuelRow(took string) checkRow {
	if k.limits.Fuel == 0 {
		return checkRow{"fuel", "not metered"}
	}
	return checkRow{"fuel", took + "; the limit of an event is " + cli.Comma(k.limits.Fuel) + " (limits.fuel)"}
}

func eventsFile(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// applier has a module apply events one by one. It implements importer.Sink.
type applier struct {
	*testdriver.Session
	upcasts bool                    // it is an upcaster, and rewrites them
	keyOf   func(abi.Record) []byte // nil: there is no key

	events   int
	made     int    // by an upcaster
	used     uint64 // fuel, of all events
	most     uint64 // of one
	mostLine int
	record   []byte // buffer
}

// Append implements importer.Sink. It fails with the guest's error.
func (a *applier) Append(ctx context.Context, e importer.Event) error {
	r, err := testdriver.RecordOf(e, uint64(a.events+1))
	if err != nil {
		return err
	}
	if a.keyOf != nil && !a.upcasts {
		r.Key = a.keyOf(r)
	}
	a.record = r.Append(a.record[:0])
	cost, err := a.Call(ctx, a.record)
	a.made += countRecords(a.Made)
	if a.used += cost.Fuel; cost.Fuel > a.most || a.events == 0 {
		a.most, a.mostLine = cost.Fuel, e.Line
	}
	a.events++
	if err != nil {
		return fmt.Errorf("event of the subject %s: %w", e.Subject, err)
	}
	return nil
}

func countRecords(records []byte) (n int) {
	for len(records) > 0 {
		_, rest, err := abi.Next(records)
		if err != nil {
			break
		}
		records = rest
		n++
	}
	return n
}

// Flush implements importer.Sink.
func (a *applier) Flush(context.Context) error { return nil }

// Counts implements importer.Sink.
func (a *applier) Counts() importer.Counts {
	return importer.Counts{Imported: a.events, Last: uint64(a.events)}
}
