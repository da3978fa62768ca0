package main

import (
	"context"

	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// suite runs every contender in turns, then every measurement, and reports.
func suite(ctx context.Context, o settings) (err error) {
	compared, measured, err := choose(o.only)
	if err != nil {
		return err
	}
	work := o.work
	if work == "" {
		if work, err = os.MkdirTemp("", "gnomon-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(work)
	}
	if work, err = filepath.Abs(work); err != nil {
		return err
	}
	guests, err := buildGuests(ctx, filepath.Join(work, "guests"))
	if err != nil {
		return err
	}
	url, stop, err := startServer(ctx, filepath.Join(work, "nats"))
	if err != nil {
		return err
	}
	defer stop()
	s := &series{settings: o, url: url, work: work, guests: guests, outcomes: map[string][]outcome{}}
	if err := s.compare(ctx, compared); err != nil {
		return err
	}
	if err := s.measure(ctx, measured); err != nil {
		return err
	}
	return s.report(compared)
}

// compare lets contenders take turns.
func (s *series) compare(ctx context.Context, chosen []contender) error {
	if len(chosen) == 0 {
		return nil
	}
	stream := movements{stream: streamName, events: s.events, keys: accounts}
	s.sum = stream.sum()
	fmt.Printf("seeding a stream of %d events\n", s.events)
	if err := stream.seed(ctx, s.url); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	for round := range s.rounds + 1 {
		for _, c := range chosen {
			if err := s.turn(ctx, c, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure runs measurements one after the other.
func (s *series) measure(ctx context.Context, chosen []measurement) error {
	if len(chosen) == 0 {
		return nil
	}
	r := &rig{sizes: s.sizes, URL: s.url, Work: s.work, Guests: s.guests, Engine: filepath.Join(s.work, "engine")}
	if err := build(ctx, r.Engine, "./cmd/engine"); err != nil {
		return err
	}
	if err := buildGuest(ctx, filepath.Join(s.guests, "process-map.wasm"), "./examples/wasm-projections/process-map"); err != nil {
		return err
	}
	if r.Long < soakEvents {
		fmt.Printf("the long stream has %s events, not the goal's %s: give -soak\n", grouped(r.Long), grouped(soakEvents))
	}
	for _, m := range chosen {
		began := time.Now()
		fmt.Printf("%s: %s\n", m.name, m.what)
		p, err := r.measure(ctx, m)
		if err != nil {
			return err
		}
		s.reports = append(s.reports, p)
		fmt.Printf("%s took %s\n", m.name, time.Since(began).Round(time.Second))
	}
	return nil
}

func choose(only string) (compared []contender, measured []measurement, err error) {
	if only == "" {
		return contenders, measurements, nil
	}
	for _, name := range strings.Split(only, ",") {
		i, j := slices.Index(contenderNames(), name), slices.Index(measurementNames(), name)
		switch {
		case i >= 0:
			compared = append(compared, contenders[i])
		case j >= 0:
			measured = append(measured, measurements[j])
		default:
			return nil, nil, fmt.Errorf("there is no %q; there are %s", name, strings.Join(append(contenderNames(), measurementNames()...), ", "))
		}
	}
	return compared, measured, nil
}

// buildGuests compiles the guests that are not kept compiled.
func buildGuests(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := buildGuest(ctx, filepath.Join(dir, "balance-go.wasm"), "./bench/guests/balance-go"); err != nil {
		return "", err
	}
	b, err := os.ReadFile("guests/balance.wasm")
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "balance.wasm"), b, 0o600)
}

// buildGuest compiles a package to a module.
func buildGuest(ctx context.Context, out, pkg string) error {
	return goBuild(ctx, out, pkg, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared", "-ldflags=-s -w")
}

// build compiles a command.
func build(ctx context.Context, out, pkg string) error { return goBuild(ctx, out, pkg, nil) }

// goBuild compiles a package of the engine's module, or of this one when it is below
// bench.
func goBuild(ctx context.Context, out, pkg string, env []string, flags ...string) error {
	c := exec.CommandContext(ctx, "go", append(append([]string{"build", "-trimpath", "-buildvcs=false", "-o", out}, flags...), pkg)...)
	c.Dir = ".."
	if rest, ok := strings.CutPrefix(pkg, "./bench/"); ok {
		c.Dir, c.Args[len(c.Args)-1] = "", "./"+rest
	}
	c.Env = append(os.Environ(), env...)
	if b, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, b)
	}
	return nil
}

// series is a run of the suite.
type series struct {
	settings
	url, work, guests string
	sum               int64
	outcomes          map[string][]outcome // of the rounds that count, by contender
	reports           []report             // of measurements
}

// turn runs a contender once, in a process of its own. Round 0 warms up.
func (s *series) turn(ctx context.Context, c contender, round int) error {
	dir, err := os.MkdirTemp(s.work, "turn-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	events := max(1, int(float64(s.events)*c.share))
	o, err := compete(ctx, c.name, task{
		url: s.url, stream: streamName, events: uint64(events), projections: 1,
		dir: filepath.Join(dir, "state"), cache: filepath.Join(s.work, "cache"), guests: s.guests,
	})
	if err != nil {
		return err
	}
	if c.share == 1 && !o.NoState && o.Sum != s.sum {
		return fmt.Errorf("contender %s: the balances add up to %d, not %d", c.name, o.Sum, s.sum)
	}
	fmt.Printf("round %d  %-12s %9.0f events/s\n", round, c.name, o.rate())
	if round > 0 {
		s.outcomes[c.name] = append(s.outcomes[c.name], o)
	}
	return nil
}

// result sums a contender up.
type result struct {
	Name   string    `json:"name"`
	What   string    `json:"what"`
	Rates  []float64 `json:"events_per_second"`
	Median float64   `json:"median"`
	Low    float64   `json:"lowest"`
	High   float64   `json:"highest"`
	CPU    float64   `json:"cpu_ns_per_event"`
	MaxRSS int64     `json:"max_rss_kb"`
}

func sumUp(c contender, all []outcome) result {
	r := result{Name: c.name, What: c.what}
	for _, o := range all {
		r.Rates = append(r.Rates, o.rate())
		r.CPU += float64(o.CPU.Nanoseconds()) / float64(o.Events) / float64(len(all))
		r.MaxRSS = max(r.MaxRSS, o.MaxRSS)
	}
	sorted := slices.Sorted(slices.Values(r.Rates))
	r.Median, r.Low, r.High = sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1]
	return r
}

func (s *series) report(chosen []contender) error {
	all := map[string]result{}
	res := results{
		Time: time.Now().UTC().Format(time.RFC3339), Go: runtime.Version(), CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		Events: s.events, Rounds: s.rounds, Measurements: s.reports,
	}
	for _, c := range chosen {
		r := sumUp(c, s.outcomes[c.name])
		all[c.name] = r
		res.Contenders = append(res.Contenders, r)
	}
	res.Ratios = judge(all)
	for _, p := range s.reports {
		res.Ratios = append(res.Ratios, p.Ratios...)
	}
	fmt.Println()
	if err := res.markdown(os.Stdout); err != nil {
		return err
	}
	fmt.Println()
	for _, r := range res.Ratios {
		fmt.Println(r)
	}
	return res.write(s.results)
}
