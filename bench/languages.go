package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// The example that exists in every language, and how it is measured.
const (
	balancesFolder = "../examples/wasm-projections/account-balances"
	languageEvents = 40_000 // deposits and withdrawals of a round
	languageBatch  = 256    // of them in a call
	guestMemory    = 64 << 20
	guestFuel      = 500_000_000
	scriptGoal     = 25 // µs for an event in JavaScript
)

// contestant is account-balances in one language.
type contestant struct {
	language string
	size     int64
	session  *testdriver.Session
	compiled time.Duration
	rounds   []float64 // ns of a core for an event
	fuel     float64   // an event
	calls    float64   // of the host, an event
}

// measureLanguages lets the same projection work on the same events in every language whose
// compiler is there: calls of the real host, over a state in memory. The languages take turns.
func measureLanguages(ctx context.Context, r *rig) (p report, err error) {
	h, err := host.New(ctx, host.Options{})
	if err != nil {
		return p, err
	}
	defer h.Close(ctx)
	all, err := r.contestants(ctx, h)
	if err != nil {
		return p, err
	}
	batches := balanceBatches()
	for round := range r.Rounds + 1 { // one to warm up
		for _, c := range all {
			if err := c.round(ctx, batches, round > 0); err != nil {
				return p, fmt.Errorf("%s: %w", c.language, err)
			}
		}
	}
	slices.SortFunc(all, func(a, b *contestant) int { return int(median(a.rounds) - median(b.rounds)) })
	return languageReport(all), nil
}

// contestants builds and loads the modules. A language whose compiler is missing is left out.
func (r *rig) contestants(ctx context.Context, h *host.Host) (all []*contestant, err error) {
	folders, err := filepath.Glob(filepath.Join(balancesFolder, "*", "Makefile"))
	if err != nil {
		return nil, err
	}
	for _, makefile := range folders {
		folder := filepath.Dir(makefile)
		c := &contestant{language: filepath.Base(folder)}
		if r.Languages != "" && !slices.Contains(strings.Split(r.Languages, ","), c.language) {
			continue
		}
		out := filepath.Join(r.Work, "languages", c.language+".wasm")
		if text, err := buildLanguage(ctx, folder, out, r.Engine); err != nil {
			progress("%s is left out: %v: %.300s", c.language, err, text)
			continue
		}
		if err := c.load(ctx, h, out); err != nil {
			return nil, fmt.Errorf("%s: %w", c.language, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func buildLanguage(ctx context.Context, folder, out, engine string) (text []byte, err error) {
	if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, "make", "-s", "-C", folder, "OUT="+out, "ENGINE="+engine).CombinedOutput()
}

func (c *contestant) load(ctx context.Context, h *host.Host, path string) error {
	code, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c.size = int64(len(code))
	start := time.Now()
	m, err := h.Load(ctx, code, host.Limits{Memory: guestMemory, ModuleBytes: 32 << 20, Table: 100_000, Fuel: guestFuel})
	if err != nil {
		return err
	}
	c.compiled = time.Since(start)
	c.session, err = testdriver.NewSession(ctx, testdriver.Subject{Module: m, Memory: guestMemory}, guest.Surroundings{})
	if err != nil {
		return err
	}
	for _, batch := range openings() {
		if _, err := c.session.Call(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// round applies the batches, and notes what an event took.
func (c *contestant) round(ctx context.Context, batches [][]byte, counts bool) error {
	var sum testdriver.Cost
	began := ownCPU() // which other processes disturb less than they do the clock
	for _, batch := range batches {
		cost, err := c.session.Call(ctx, batch)
		if err != nil {
			return err
		}
		sum.Fuel += cost.Fuel
		sum.HostCalls += cost.HostCalls
	}
	if counts {
		c.rounds = append(c.rounds, float64((ownCPU()-began).Nanoseconds())/languageEvents)
		c.fuel = float64(sum.Fuel) / languageEvents
		c.calls = float64(sum.HostCalls) / languageEvents
	}
	return nil
}

// batcher cuts events of account-balances into batches.
type batcher struct {
	batches  [][]byte
	sequence uint64
	pending  []byte
}

func (b *batcher) add(kind, data string) {
	b.sequence++
	r := abi.Record{Sequence: b.sequence, Subject: []byte("bank.accounts"), Data: []byte(data)}
	for _, header := range [][2]string{{"ce-id", strconv.FormatUint(b.sequence, 10)}, {"ce-time", "2026-03-01T10:00:00Z"}, {"ce-type", "account." + kind}} {
		r.Headers, _ = abi.AppendHeader(r.Headers, header[0], header[1])
	}
	b.pending = r.Append(b.pending)
	if b.sequence%languageBatch == 0 {
		b.cut()
	}
}

func (b *batcher) cut() {
	if len(b.pending) > 0 {
		b.batches, b.pending = append(b.batches, b.pending), nil
	}
}

// openings open the accounts that the movements are of.
func openings() [][]byte {
	var b batcher
	for n := range 1000 {
		b.add("opened", fmt.Sprintf(`{"account":"acc-%d","owner":"owner number %d","branch":"main street","agent":"a-%d"}`, n, n, n%17))
	}
	b.cut()
	return b.batches
}

// balanceBatches are movements on those accounts: events of some 100 bytes, none of which is
// emitted for, and whose balances stay as they are.
func balanceBatches() [][]byte {
	var b batcher
	for n := range languageEvents {
		kind := "deposited"
		if n%2 == 1 {
			kind = "withdrawn"
		}
		b.add(kind, fmt.Sprintf(`{"account":"acc-%d","amount":%d,"currency":"EUR","channel":"online","reference":"movement %d"}`, n/2*7919%1000, n/2%900+1, n))
	}
	b.cut()
	return b.batches
}

func languageReport(all []*contestant) (p report) {
	t := table{
		Title: "account-balances in every language: an event with its state, in batches of 256",
		Head:  []string{"language", "ns/event", "of the fastest", "fuel/event", "host calls/event", "module", "memory", "compile"},
	}
	for _, c := range all {
		ns := median(c.rounds)
		t.Rows = append(t.Rows, []string{
			c.language, fmt.Sprintf("%.0f", ns), fmt.Sprintf("%.1f", ns/median(all[0].rounds)),
			fmt.Sprintf("%.0f", c.fuel), fmt.Sprintf("%.2f", c.calls),
			fmt.Sprintf("%.1f KB", float64(c.size)/1000), fmt.Sprintf("%.1f MB", float64(c.session.Instance().MemoryBytes())/1e6),
			fmt.Sprintf("%.0f ms", c.compiled.Seconds()*1000),
		})
		p.number("languages/"+c.language+"-ns", ns)
		if c.language == "javascript" {
			p.judge(ratio{Name: "languages/javascript-us", Value: ns / 1000, Goal: scriptGoal, Lower: true})
		}
	}
	p.Tables = []table{t}
	return p
}
