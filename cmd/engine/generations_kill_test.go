package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/store"
)

// The two rules that a projection changes between, as lines of the configuration: all
// events are counted, or those of one subject.
var countingRules = []string{`subjects = ["log.*"]`, `subjects = ["log.1"]`}

// A process that is killed at any moment while generations are built, promoted, rolled
// back, rebuilt and dropped finds, when it is started again, one of the two generations
// that were to be read, whole: never a mix of them, never one that stands before what was
// read. What was given up leaves no files behind.
func TestKilledWhileGenerationsChange(t *testing.T) {
	long(t)
	rounds := 12
	if soaking() {
		rounds = 50
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	g := &generationsUnderFire{t: t, home: newHome(t, "log.>", projection("count", "count.wasm", countingRules[0], `keep_previous = "1s"`)), held: map[int]int{}}
	for range rounds {
		g.round(rnd)
	}
	t.Logf("%d events; %d times another generation was read after a kill; of so many keys there were states: %v", g.stored.Load(), g.turns, g.held)
	if rounds >= 50 && (g.held[1] == 0 || g.held[7] == 0) {
		t.Error("one of the rules was never read")
	}
	p := g.home.serve()
	p.await("count", "it is live", func(s engine.Status) bool { return s.State == engine.Live && s.Position == g.stored.Load() })
	p.until("what was given up is removed", func() bool {
		s, err := p.client.Projection(t.Context(), "count")
		want := []string{s.Generation}
		for _, other := range []*engine.GenerationStatus{s.Candidate, s.Previous} {
			if other != nil {
				want = append(want, other.ID)
			}
		}
		dirs, derr := filepath.Glob(filepath.Join(g.home.data(), "projections", "count", "*"))
		for i := range dirs {
			dirs[i] = filepath.Base(dirs[i])
		}
		slices.Sort(want)
		return err == nil && derr == nil && slices.Equal(dirs, want)
	})
}

// generationsUnderFire is a home whose engine is killed while its generations change.
type generationsUnderFire struct {
	t      *testing.T
	home   *home
	rule   int           // that is configured
	stored atomic.Uint64 // events that were acknowledged
	read   uint64        // position that was read last
	live   string        // generation that was read last
	turns  int
	held   map[int]int // how often so many keys were there
}

// round starts the engine, has events come and generations change, and kills it amid that.
func (g *generationsUnderFire) round(rnd *rand.Rand) {
	p := g.home.serve()
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if _, err := p.client.Import(ctx, "LOG", eventLines(int(g.stored.Load()), 40)); err != nil {
				return
			}
			g.stored.Add(40)
		}
	}()
	changed := make(chan struct{})
	go func() { // what fails, fails: there may be nothing to promote, or nobody any more
		defer close(changed)
		for ctx.Err() == nil {
			switch rnd.IntN(5) {
			case 0, 1:
				g.home.edit(countingRules[g.rule], countingRules[1-g.rule])
				g.rule = 1 - g.rule
				_, _ = p.client.Reload(ctx)
			case 2:
				_, _ = p.client.Rollback(ctx, "count")
			case 3:
				_, _ = p.client.Act(ctx, "count", "rebuild")
			}
			_, _ = p.client.Promote(ctx, "count", 200*time.Millisecond)
		}
	}()
	select {
	case <-time.After(time.Duration(rnd.Int64N(int64(1500 * time.Millisecond)))):
	case <-ended:
		g.t.Fatal("the import ended by itself")
	}
	if s, err := p.client.Projection(ctx, "count"); err == nil {
		g.read = max(g.read, s.Position)
	}
	p.signal(syscall.SIGKILL)
	cancel()
	<-ended
	<-changed
	if _, err := p.wait(); !killedBy(err, syscall.SIGKILL) {
		g.t.Fatal(err)
	}
	g.recount()
}

// recount holds what is read now against what one of the rules makes of the events.
func (g *generationsUnderFire) recount() {
	g.t.Helper()
	d, err := store.OpenOffline(g.home.data(), cli.QuietLog(os.Stderr))
	if err != nil {
		g.t.Fatal(err)
	}
	defer d.Close()
	live := d.Catalog().Projection("count").Live
	ks, err := d.Open(g.t.Context(), "count", live, false)
	if err != nil {
		g.t.Fatal(err)
	}
	defer ks.Close()
	ck, err := store.Verify(ks)
	if err != nil {
		g.t.Fatal(err)
	}
	at := ck.Position.Sequence
	if at < g.read {
		g.t.Errorf("generation %s is at %d, and %d was read", live, at, g.read)
	}
	if live != g.live {
		g.turns++
	}
	g.live = live
	v, err := ks.View(ck.Version)
	if err != nil {
		g.t.Fatal(err)
	}
	defer v.Close()
	rows := map[string]uint64{}
	err = v.Scan(nil, nil, func(key, value []byte) bool {
		rows[string(key)] = binary.LittleEndian.Uint64(value)
		return true
	})
	if err != nil {
		g.t.Fatal(err)
	}
	all, some := map[string]uint64{}, map[string]uint64{}
	for seq := range at {
		all[fmt.Sprintf("log.%d", seq%7)]++
	}
	if n := all["log.1"]; n > 0 {
		some["log.1"] = n
	}
	if !maps.Equal(rows, all) && !maps.Equal(rows, some) {
		g.t.Errorf("generation %s at %d holds %v, want %v or %v", live, at, rows, all, some)
	}
	g.held[len(rows)]++
}

// Code is exchanged again and again while events come and readers read: no answer is of a
// state that never was, none goes back, and neither memory nor goroutines grow.
func TestSwappedUnderLoad(t *testing.T) {
	long(t)
	swaps := 60
	if soaking() {
		swaps = 1000
	}
	h := newHome(t, "log.>", projection("count", "count.wasm", `on_change = "swap"`, "[projection.settings]", "n = 0"))
	p := h.serve()
	p.await("count", "it is live", func(s engine.Status) bool { return s.State == engine.Live })
	ctx, cancel := context.WithCancel(t.Context())
	var stored atomic.Uint64
	ended := make(chan error, 2)
	go func() {
		for ctx.Err() == nil {
			if _, err := p.client.Import(ctx, "LOG", eventLines(int(stored.Load()), 70)); err != nil && ctx.Err() == nil {
				ended <- err
				return
			}
			stored.Add(70)
		}
		ended <- nil
	}()
	go func() {
		last := uint64(0)
		for ctx.Err() == nil {
			got, err := p.client.Get(ctx, "count", []byte("log.3"))
			if ctx.Err() != nil {
				break
			}
			if err != nil && !strings.Contains(err.Error(), "no key") {
				ended <- err
				return
			}
			if err == nil {
				// Sequences begin at 1, and the subjects go round: log.3 is the 4th of 7.
				if n := binary.LittleEndian.Uint64(got.Value); got.AsOf.Sequence < last || n != (got.AsOf.Sequence+3)/7 {
					ended <- fmt.Errorf("at %d after %d the count is %d", got.AsOf.Sequence, last, n)
					return
				}
				last = got.AsOf.Sequence
			}
		}
		ended <- nil
	}()
	early := uint64(0)
	for n := 1; n <= swaps; n++ {
		h.edit(fmt.Sprintf("n = %d\n", n-1), fmt.Sprintf("n = %d\n", n))
		done, err := p.client.Reload(ctx)
		if err != nil || done.Projections[0].Refused != "" {
			t.Fatalf("swap %d: %+v, %v", n, done, err)
		}
		if n == swaps/3 {
			early = residentBytes(t, p.cmd.Process.Pid)
		}
	}
	if late := residentBytes(t, p.cmd.Process.Pid); late > 2*early {
		t.Errorf("after %d swaps the process has %d MiB, after a third of them it had %d", swaps, late>>20, early>>20)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	history, err := p.client.History(t.Context(), "count")
	swapped := 0
	for _, c := range history {
		if c.Kind == catalog.Swapped {
			swapped++
		}
	}
	if err != nil || swapped < min(swaps, 900) {
		t.Errorf("%d swaps in the history, %v", swapped, err)
	}
}

// residentBytes is the memory that a process has.
func residentBytes(t *testing.T, pid int) uint64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Skip(err)
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * uint64(os.Getpagesize())
}
