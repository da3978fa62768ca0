package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// measurement is what cannot be told by letting contenders take turns. Each runs in a
// process of its own, which starts engines and loads as processes of their own.
type measurement struct {
	name string
	what string
	run  func(ctx context.Context, r *rig) (report, error)
}

var measurements = []measurement{
	{"memory", "memory of one projection over many events, of twenty idle ones, and opening one with many keys", measureMemory},
	{"head", "from publish to readable over HTTP, at 5,000 events/s", measureHead},
	{"reads", "what 10,000 gets/s over HTTP cost a projection that catches up", measureReads},
	{"real", "real event logs through the process-map guest, beside a native program with the same rows", measureReal},
	{"languages", "the same projection in every language whose compiler is installed", measureLanguages},
	{"growth", "cost of an event as events, keys and projections become many", measureGrowth},
}

func measurementNames() (names []string) {
	for _, m := range measurements {
		names = append(names, m.name)
	}
	return names
}

// sizes of the measurements.
type sizes struct {
	Rounds      int    // of comparisons that take turns
	Long        int    // events in the long stream
	Grow        int    // events at most, keys at most, and
	Keys        int    // keys at most: also those of the projection that is opened
	Projections int    // projections at most, of the cost curves
	IdleSeconds int    // for which RSS has not to fall before projections count as idle
	HeadSeconds int    // how long events are published at the head
	Logs        string // real event logs, separated by commas
	Languages   string // separated by commas; empty: all whose compilers are there
	RealEvents  int    // a log is repeated until it has so many
	Plot        string // file for the cost curves
}

// rig is what a measurement works with.
type rig struct {
	sizes
	URL    string // of the NATS server
	Work   string // folder for streams, states and compiled modules
	Guests string // folder of modules
	Engine string // the engine's binary
}

// report is what a measurement found.
type report struct {
	Name    string             `json:"name"`
	What    string             `json:"what"`
	Ratios  []ratio            `json:"-"`
	Numbers map[string]float64 `json:"numbers"` // for machines
	Tables  []table            `json:"tables"`  // for people
}

// table is printed as Markdown.
type table struct {
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// number notes a value for machines.
func (p *report) number(name string, value float64) {
	if p.Numbers == nil {
		p.Numbers = map[string]float64{}
	}
	p.Numbers[name] = value
}

// judge holds a value against its goal, and notes it.
func (p *report) judge(r ratio) {
	p.Ratios = append(p.Ratios, r.judged())
	p.number(r.Name, r.Value)
}

// answered is how a report comes out of its process.
type answered struct {
	Report report
	Ratios []ratio
}

// measureHere runs a measurement in this process, with the rig that standard input
// describes, and prints its report.
func measureHere(ctx context.Context, name string) error {
	i := slices.Index(measurementNames(), name)
	if i < 0 {
		return fmt.Errorf("no measurement %q", name)
	}
	b, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var r rig
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	p, err := measurements[i].run(ctx, &r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.Name, p.What = name, measurements[i].what
	return json.NewEncoder(os.Stdout).Encode(answered{p, p.Ratios})
}

// measure runs a measurement in a process of its own.
func (r *rig) measure(ctx context.Context, m measurement) (report, error) {
	c := exec.CommandContext(ctx, os.Args[0], "measure", m.name)
	c.Stderr = os.Stderr
	// A measurement that is interrupted ends its own processes.
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = patience
	in, err := json.Marshal(r)
	if err != nil {
		return report{}, err
	}
	out, err := runWith(c, in)
	if err != nil {
		return report{}, fmt.Errorf("measurement %s: %w", m.name, err)
	}
	var a answered
	if err := json.Unmarshal(out, &a); err != nil {
		return report{}, fmt.Errorf("measurement %s printed %q: %w", m.name, out, err)
	}
	a.Report.Ratios = a.Ratios
	return a.Report, nil
}

// progress tells a person who waits what is done; standard output is for the report.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

// folder makes an empty folder for one state. Its remover is called when it was read.
func (r *rig) folder() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(r.Work, "state-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// turn lets a contender run once, on an empty folder.
func (r *rig) turn(ctx context.Context, name, stream string, events, projections int) (outcome, error) {
	dir, remove, err := r.folder()
	if err != nil {
		return outcome{}, err
	}
	defer remove()
	return compete(ctx, name, task{
		url: r.URL, stream: stream, events: uint64(events), projections: projections,
		dir: filepath.Join(dir, "state"), cache: r.cache(), guests: r.Guests,
	})
}

func (r *rig) cache() string { return filepath.Join(r.Work, "cache") }

// long is the stream of many events.
func (r *rig) long() movements { return movements{stream: "LONG", events: r.Long, keys: accounts} }

// keyed is a stream whose events visit so many keys, all of them.
func (r *rig) keyed(keys int) movements {
	return movements{stream: fmt.Sprint("KEYS-", keys), events: max(r.Keys, keys), keys: keys, walk: true}
}

// ensure seeds a stream, and says so.
func (r *rig) ensure(ctx context.Context, s movements) error {
	progress("stream %s: %s events, %s keys", s.stream, grouped(s.events), grouped(s.keys))
	if err := s.seed(ctx, r.URL); err != nil {
		return fmt.Errorf("seed %s: %w", s.stream, err)
	}
	return nil
}
