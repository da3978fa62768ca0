package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// suite runs every contender in turns and reports.
func suite(ctx context.Context, o settings) (err error) {
	chosen, err := choose(o.only)
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
	guests, err := buildGuests(ctx, filepath.Join(work, "guests"))
	if err != nil {
		return err
	}
	url, stop, err := startServer(ctx, filepath.Join(work, "nats"))
	if err != nil {
		return err
	}
	defer stop()
	fmt.Printf("seeding a stream of %d events\n", o.events)
	sum, err := seed(ctx, url, o.events)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	s := &series{settings: o, url: url, work: work, guests: guests, sum: sum, outcomes: map[string][]outcome{}}
	for round := range o.rounds + 1 {
		for _, c := range chosen {
			if err := s.turn(ctx, c, round); err != nil {
				return err
			}
		}
	}
	return s.report(chosen)
}

func choose(only string) ([]contender, error) {
	if only == "" {
		return contenders, nil
	}
	var chosen []contender
	for _, name := range strings.Split(only, ",") {
		i := slices.Index(contenderNames(), name)
		if i < 0 {
			return nil, fmt.Errorf("no contender %q; there are %s", name, strings.Join(contenderNames(), ", "))
		}
		chosen = append(chosen, contenders[i])
	}
	return chosen, nil
}

// buildGuests compiles the guests that are not kept compiled.
func buildGuests(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{"balance-go"} {
		c := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, name+".wasm"), "./guests/"+name)
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build guest %s: %w\n%s", name, err, out)
		}
	}
	b, err := os.ReadFile("guests/balance.wasm")
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "balance.wasm"), b, 0o600)
}

// series is a run of the suite.
type series struct {
	settings
	url, work, guests string
	sum               int64
	outcomes          map[string][]outcome // of the rounds that count, by contender
}

// turn runs a contender once, in a process of its own. Round 0 warms up.
func (s *series) turn(ctx context.Context, c contender, round int) error {
	dir, err := os.MkdirTemp(s.work, "turn-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	events := max(1, int(float64(s.events)*c.share))
	p := exec.CommandContext(ctx, os.Args[0], "contend", "-name", c.name, "-url", s.url, "-events", fmt.Sprint(events),
		"-dir", filepath.Join(dir, "state"), "-cache", filepath.Join(s.work, "cache"), "-guests", s.guests)
	p.Stderr = os.Stderr
	out, err := p.Output()
	if err != nil {
		return fmt.Errorf("contender %s: %w", c.name, err)
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		return fmt.Errorf("contender %s printed %q: %w", c.name, out, err)
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
	var list []result
	fmt.Printf("\n%-12s %10s %10s %10s %8s %8s\n", "contender", "median/s", "lowest", "highest", "ns CPU", "MB RSS")
	for _, c := range chosen {
		r := sumUp(c, s.outcomes[c.name])
		all[c.name] = r
		list = append(list, r)
		fmt.Printf("%-12s %10.0f %10.0f %10.0f %8.0f %8d  %s\n", r.Name, r.Median, r.Low, r.High, r.CPU, r.MaxRSS>>10, r.What)
	}
	fmt.Println()
	ratios := judge(all)
	for _, r := range ratios {
		fmt.Println(r)
	}
	return s.write(list, ratios)
}

func (s *series) write(list []result, ratios []ratio) error {
	b, err := json.MarshalIndent(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339), "go": runtime.Version(), "cpus": runtime.NumCPU(), "os": runtime.GOOS + "/" + runtime.GOARCH,
		"events": s.events, "rounds": s.rounds, "contenders": list, "ratios": ratios,
	}, "", "  ")
	return errors.Join(err, os.WriteFile(s.results, append(b, '\n'), 0o644))
}
