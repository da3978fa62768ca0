package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// task is what a contender has to do.
type task struct {
	url    string
	stream string
	events uint64
	// projections is how many the engine runs over the stream, where a contender leaves
	// that open.
	projections int
	dir         string // empty, for its state
	cache       string // for compiled modules
	guests      string // folder of compiled modules

	unmetered bool // whatever guest runs, without fuel
}

// outcome is what a contender did.
type outcome struct {
	Events  uint64        `json:"events"` // applied, by all projections together
	Took    time.Duration `json:"took_ns"`
	Sum     int64         `json:"sum"` // of all balances
	Keys    int64         `json:"keys,omitempty"`
	Digest  string        `json:"digest,omitempty"` // SHA-256 of all rows, where sums say too little
	MaxRSS  int64         `json:"max_rss_kb"`       // of the process
	CPU     time.Duration `json:"cpu_ns"`           // of the process
	NoState bool          `json:"no_state,omitempty"`
}

func (o outcome) rate() float64 { return float64(o.Events) / o.Took.Seconds() }

// contender is one way to do the work.
type contender struct {
	name string
	what string
	// share is the part of the stream that it reads: slow ones read less.
	share float64
	run   func(ctx context.Context, t task) (outcome, error)
}

var contenders = []contender{
	{"reader", "a consumer that does nothing: AckNone, pulls of 5,000", 1, readOnly},
	{"reader-raw", "the same with requests of our own, two of 4,096 ahead, as the engine reads", 1, readRaw},
	{"native", "by hand with care: AckNone, fields scanned, overlay, a transaction for 4,096 events", 1, nativeScanned},
	{"native-json", "the same with encoding/json", 1, nativeDecoded},
	{"ack-each", "durable consumer, explicit ack and a transaction for each event", 0.05, ackEach},
	{"watermill", "Watermill on NATS, its defaults, a transaction for each event", 0.03, watermillRouter},
	{"design", "the engine with a native function instead of a sandbox", 1, engineNative},
	{"engine-wat", "the engine with a guest in WAT", 1, engineGuest("balance.wasm")},
	{"engine-go", "the engine with a guest in Go, fields by the SDK", 1, engineGuest("balance-go.wasm")},
	{"engine-wat-unmetered", "engine-wat without fuel metering", 1, engineUnmetered("balance.wasm")},
	{"engine-go-unmetered", "engine-go without fuel metering", 1, engineUnmetered("balance-go.wasm")},
	{"engine-8", "the engine with eight projections in WAT over one stream", 1, engineEight},
}

func contenderNames() (names []string) {
	for _, c := range contenders {
		names = append(names, c.name)
	}
	return names
}

// findContender looks among those of the suite and those that measurements use.
func findContender(name string) (contender, error) {
	all := slices.Concat(contenders, realContenders, growthContenders)
	i := slices.IndexFunc(all, func(c contender) bool { return c.name == name })
	if i < 0 {
		return contender{}, fmt.Errorf("no contender %q", name)
	}
	return all[i], nil
}

// compete runs a contender in a process of its own.
func compete(ctx context.Context, name string, t task) (o outcome, err error) {
	p := exec.CommandContext(ctx, os.Args[0], "contend", "-name", name, "-url", t.url, "-stream", t.stream, "-events", fmt.Sprint(t.events),
		"-projections", fmt.Sprint(t.projections), "-dir", t.dir, "-cache", t.cache, "-guests", t.guests)
	p.Stderr = os.Stderr
	out, err := p.Output()
	if err != nil {
		return o, fmt.Errorf("contender %s: %w", name, err)
	}
	if err := json.Unmarshal(out, &o); err != nil {
		return o, fmt.Errorf("contender %s printed %q: %w", name, out, err)
	}
	return o, nil
}

// contend runs one contender in this process and prints its outcome.
func contend(ctx context.Context, args []string) error {
	var t task
	var name string
	f := flag.NewFlagSet("contend", flag.ContinueOnError)
	f.StringVar(&name, "name", "", "")
	f.StringVar(&t.url, "url", "", "")
	f.StringVar(&t.stream, "stream", streamName, "")
	f.Uint64Var(&t.events, "events", 0, "")
	f.IntVar(&t.projections, "projections", 1, "")
	f.StringVar(&t.dir, "dir", "", "")
	f.StringVar(&t.cache, "cache", "", "")
	f.StringVar(&t.guests, "guests", "", "")
	profile := f.String("cpuprofile", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := findContender(name)
	if err != nil {
		return err
	}
	stop, err := profiled(*profile)
	if err != nil {
		return err
	}
	o, err := c.run(ctx, t)
	stop()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return err
	}
	o.MaxRSS, o.CPU = use.Maxrss, ownCPU()
	return json.NewEncoder(os.Stdout).Encode(o)
}

// balanceBytes is a balance as it is stored.
func balanceBytes(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

func balanceOf(b []byte) int64 {
	if len(b) != 8 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(b))
}
