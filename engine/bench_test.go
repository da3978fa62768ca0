package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// bench is everything that outlives an engine. It is used in a bubble of synctest:
// time passes there only when everything waits, so that minutes of waiting take
// none and nothing depends on the machine's speed.
type bench struct {
	t       *testing.T
	server  *enginetest.Server
	store   *enginetest.Store
	catalog *enginetest.Catalog
	leaser  engine.Leaser
	space   engine.Space
	outlet  *enginetest.Outlet // nil: nothing is published
	log     *slog.Logger       // nil: what is logged is dropped
	clock   func() time.Time   // nil: the machine's does not jump

	declared map[string]engine.Spec // that were declared, by their declarations
}

const streamName = "S"

// inBubble runs a test on a new bench that has an empty stream.
func inBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, declared: map[string]engine.Spec{}, server: new(enginetest.Server), store: new(enginetest.Store), catalog: new(enginetest.Catalog)}
		b.server.Create(streamName)
		test(t, b)
	})
}

// append stores n more events, one a second.
func (b *bench) append(n int) {
	for range n {
		time.Sleep(time.Second) // of the bubble
		b.server.Append(streamName, "e.x", []byte("data"))
	}
}

// spec is a projection of the bench's stream.
func spec(m guest.Module, change ...func(*engine.Spec)) engine.Spec {
	s := engine.Spec{
		Name: "p", Module: m, Stream: streamName,
		Batch: streams.ReadLimit{Events: 100, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20,
		AutoPromote:     engine.PromoteItself,
		MemorySnapshots: engine.MemoryPolicy{Events: 10, Every: time.Hour, Keep: 2},
		Pins:            engine.PinPolicy{Max: 3, MaxAge: 24 * time.Hour},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// running is an engine under test.
type running struct {
	*engine.Engine
	t       *testing.T
	bench   *bench
	stopped bool
}

// start runs projections until stop or the end of the test.
func (b *bench) start(specs ...engine.Spec) *running {
	b.t.Helper()
	return b.startOn(b.store, specs...)
}

// startOn starts on another store than the bench's.
func (b *bench) startOn(store state.Store, specs ...engine.Spec) *running {
	b.t.Helper()
	o := engine.Options{
		Source: b.server, Store: store, Catalog: b.catalog, Leaser: b.leaser, Log: cmp.Or(b.log, slog.New(slog.DiscardHandler)),
		Clock: b.clock, Space: b.space, Reserve: 1000 << 20, Restore: b.restore,
	}
	if b.outlet != nil {
		o.Outlet = b.outlet
	}
	e := engine.New(o)
	r := &running{Engine: e, t: b.t, bench: b}
	for _, s := range specs {
		r.declare(s)
	}
	e.Start(b.t.Context())
	b.t.Cleanup(r.stop)
	return r
}

// restore makes a spec of a declaration again.
func (b *bench) restore(_ context.Context, declaration []byte, _ string) (engine.Spec, error) {
	s, ok := b.declared[string(declaration)]
	if !ok {
		return s, fmt.Errorf("declaration %s is not known", declaration)
	}
	return s, nil
}

// declare declares a projection, which must be taken.
func (r *running) declare(s engine.Spec) engine.Plan {
	r.t.Helper()
	s.Declaration = fmt.Appendf(nil, "%q", fmt.Sprint(s.Generation(), s.Batch, s.OnError, s.AutoPromote, s.KeepPrevious))
	r.bench.declared[string(s.Declaration)] = s
	plan, err := r.Declare(r.t.Context(), s)
	if err != nil {
		r.t.Fatal(err)
	}
	return plan
}

// stop closes the engine. Keyspaces complain of views that were not closed.
func (r *running) stop() {
	r.t.Helper()
	if r.stopped {
		return
	}
	r.stopped = true
	if err := r.Close(); err != nil {
		r.t.Errorf("close engine: %v", err)
	}
}

func (r *running) status() engine.Status {
	r.t.Helper()
	s, err := r.Status("p")
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// await lets time pass until the status is as wanted, for at most an hour of it.
func (r *running) await(what string, ok func(s engine.Status) bool) engine.Status {
	r.t.Helper()
	for range 36_000 {
		synctest.Wait()
		if s := r.status(); ok(s) {
			return s
		}
		time.Sleep(100 * time.Millisecond) // of the bubble
	}
	r.t.Fatalf("waited for %s, the status is %+v", what, r.status())
	return engine.Status{}
}

func (r *running) awaitState(want engine.RunnerState) engine.Status {
	r.t.Helper()
	return r.await(string(want), func(s engine.Status) bool { return s.State == want })
}

// awaitLive waits until a sequence is read.
func (r *running) awaitLive(sequence uint64) engine.Status {
	r.t.Helper()
	return r.await(fmt.Sprintf("live at %d", sequence), func(s engine.Status) bool {
		return s.State == engine.Live && s.Position == sequence && s.Applied == sequence
	})
}

// content reads the served state, and the sequence it reflects.
func (r *running) content() (state map[string]string, sequence uint64) {
	r.t.Helper()
	reading, err := r.Read("p")
	if err != nil {
		r.t.Fatal(err)
	}
	defer reading.Close()
	state = map[string]string{}
	err = reading.Scan(nil, nil, func(key, value []byte) bool { state[string(key)] = string(value); return true })
	if err != nil {
		r.t.Fatal(err)
	}
	checkTotals(r.t, reading.Checkpoint, state)
	return state, reading.Checkpoint.Position.Sequence
}

// checkTotals holds what a checkpoint says against a recount.
func checkTotals(t *testing.T, ck state.Checkpoint, st map[string]string) {
	t.Helper()
	var digest state.Digest
	var bytes int64
	for k, v := range st {
		digest.Add(state.Term([]byte(k), []byte(v)))
		bytes += int64(len(k) + len(v))
	}
	if ck.Keys != int64(len(st)) || ck.Bytes != bytes || ck.Digest != digest {
		t.Errorf("at %d the checkpoint says %d keys, %d bytes, digest %v; the state has %d, %d, %v",
			ck.Position.Sequence, ck.Keys, ck.Bytes, ck.Digest, len(st), bytes, digest)
	}
}

// ledger is a guest that writes down the sequences of its events, in the order in
// which they came: one that is missing, repeated or out of place shows.
func ledger(e abi.Record, st guest.State) error {
	list, _, err := st.Get([]byte("ledger"))
	if err != nil {
		return err
	}
	if err := st.Put([]byte("ledger"), fmt.Appendf(list[:len(list):len(list)], "%d ", e.Sequence)); err != nil {
		return err
	}
	return st.Put(fmt.Appendf(nil, "event/%d", e.Sequence), e.Data)
}

var ledgerModule = enginetest.FuncModule("ledger", ledger)

// wantLedger checks that the served state reflects exactly the events from one
// sequence to another.
func (r *running) wantLedger(from, to uint64, except ...uint64) {
	r.t.Helper()
	state, sequence := r.content()
	if sequence != to {
		r.t.Errorf("the state reflects %d, want %d", sequence, to)
	}
	var want strings.Builder
	for seq := from; seq <= to; seq++ {
		if !slices.Contains(except, seq) {
			want.WriteString(strconv.FormatUint(seq, 10) + " ")
		}
	}
	if got := state["ledger"]; got != want.String() {
		r.t.Errorf("applied were %q, want %q", got, want.String())
	}
}

// The whole of it: events stored before and after the start are applied in order,
// once, and every number of the status says so.
func TestFollowsTheStream(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(250)
		// At the end of the stream commits do not wait for the window.
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.Window = 1000 * time.Hour }))
		e.awaitLive(250)
		e.wantLedger(1, 250)
		b.append(5)
		s := e.awaitLive(255)
		e.wantLedger(1, 255)
		if s.Behind != 0 || s.StreamLast != 255 || s.Committed != 255 || s.Events != 255 || s.Start != 0 || s.Commits == 0 || s.Failures != 0 {
			t.Errorf("status %+v", s)
		}
		if s.Module != ledgerModule.Digest() || s.Stream != streamName || s.Building != "" || s.Reason != "" {
			t.Errorf("status %+v", s)
		}
		e.await("durable", func(s engine.Status) bool { return s.Durable == 255 })
		if ready, reasons := e.Ready(); !ready {
			t.Errorf("not ready: %v", reasons)
		}
	})
}

// How the stream is cut into batches leaves no trace in the state.
func TestBatchesLeaveNoTrace(t *testing.T) {
	var digests []state.Digest
	for _, events := range []int{1, 7, 64, 4096} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(200)
			e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.Batch.Events = events }))
			e.awaitLive(200)
			e.wantLedger(1, 200)
			digests = append(digests, e.status().Digest)
		})
	}
	for _, d := range digests {
		if d != digests[0] {
			t.Errorf("digests differ: %v", digests)
		}
	}
}

// A second engine goes on where the first one stopped.
func TestGoesOnWhereItStopped(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(40)
		e := b.start(spec(ledgerModule))
		e.awaitLive(40)
		e.stop()
		b.append(10)
		e = b.start(spec(ledgerModule))
		s := e.awaitLive(50)
		if s.Start != 40 || s.Events != 10 {
			t.Errorf("started at %d and applied %d, want 40 and 10", s.Start, s.Events)
		}
		e.wantLedger(1, 50)
	})
}

// An engine that is closed in the middle commits what it applied.
func TestCloseCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(300)
		stop := make(chan struct{})
		m := enginetest.FuncModule("slow", func(e abi.Record, st guest.State) error {
			if e.Sequence == 150 {
				close(stop)
			}
			return ledger(e, st)
		})
		long := func(s *engine.Spec) { s.Batch.Events, s.Window = 10, time.Hour }
		e := b.start(spec(m, long))
		<-stop
		e.stop()
		e = b.start(spec(ledgerModuleAs("slow"), long))
		if s := e.awaitLive(300); s.Start < 140 {
			t.Errorf("went on at %d, though 140 were applied", s.Start)
		}
		e.wantLedger(1, 300)
	})
}

// ledgerModuleAs is the ledger under another module's name.
func ledgerModuleAs(name string) *enginetest.Module { return enginetest.FuncModule(name, ledger) }

// A new projection begins where its start says, and one that begins after the end
// waits for the stream to get there.
func TestStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(b *bench) engine.Start
		first uint64
	}{
		{"first", func(*bench) engine.Start { return engine.Start{} }, 1},
		{"sequence 1", func(*bench) engine.Start { return engine.Start{Sequence: 1} }, 1},
		{"sequence 8", func(*bench) engine.Start { return engine.Start{Sequence: 8} }, 8},
		{"new", func(*bench) engine.Start { return engine.Start{New: true} }, 21},
		{"time of 15", func(b *bench) engine.Start { return engine.Start{Time: b.timeOf(15)} }, 15},
		{"after 15", func(b *bench) engine.Start { return engine.Start{Time: b.timeOf(15).Add(1)} }, 16},
		{"future", func(*bench) engine.Start { return engine.Start{Time: time.Now().Add(time.Hour)} }, 21},
		{"beyond the end", func(*bench) engine.Start { return engine.Start{Sequence: 23} }, 23},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(20)
				start := c.start(b)
				with := func(s *engine.Spec) { s.Start = start }
				e := b.start(spec(ledgerModule, with))
				if c.first > 21 {
					s := e.await("a reason", func(s engine.Status) bool { return s.Reason != "" })
					if s.State != engine.Starting || !strings.Contains(s.Reason, "start = 23") {
						t.Errorf("status %+v", s)
					}
				} else {
					e.awaitLive(20)
				}
				b.append(5)
				e.awaitLive(25)
				e.wantLedger(c.first, 25)
				e.stop()
				b.append(5)
				e = b.start(spec(ledgerModule, with))
				e.awaitLive(30)
				e.wantLedger(c.first, 30)
			})
		})
	}
}

func (b *bench) timeOf(sequence uint64) time.Time {
	e, err := b.server.Event(b.t.Context(), streamName, sequence)
	if err != nil {
		b.t.Fatal(err)
	}
	return time.Unix(0, e.TimeNs)
}

// A projection gets the events of its own subjects, with their declared key, and
// its position passes over the others.
func TestSubjectsAndKey(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		for _, subject := range []string{"a.1", "b.1", "a.2", "b.2"} {
			b.server.Append(streamName, subject, nil)
		}
		m := enginetest.FuncModule("keys", func(e abi.Record, st guest.State) error {
			return st.Put(e.Key, []byte(e.Subject))
		})
		e := b.start(spec(m, func(s *engine.Spec) {
			s.Filter = func(subject []byte) bool { return subject[0] == 'a' }
			s.KeyOf = func(e abi.Record) []byte { return e.Subject[2:] }
		}))
		e.awaitLive(4)
		state, _ := e.content()
		if fmt.Sprint(state) != "map[1:a.1 2:a.2]" {
			t.Errorf("state %v", state)
		}
		if s := e.status(); s.Events != 2 || s.Behind != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// AwaitEnd returns once everything stored before is committed, and says why that
// will not happen.
func TestAwaitEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(30)
		e := b.start(spec(ledgerModule))
		if err := e.AwaitEnd(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.wantLedger(1, 30)
		e.stop()

		poisoned := enginetest.FuncModule("ledger", func(e abi.Record, st guest.State) error {
			return enginetest.Refuse("no more")
		})
		b.append(1)
		e = b.start(spec(poisoned))
		err := e.AwaitEnd(t.Context())
		var stopped *engine.StoppedError
		if !errors.As(err, &stopped) || stopped.State != engine.Halted || !strings.Contains(err.Error(), "event 31") {
			t.Errorf("AwaitEnd: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.AwaitEnd(ctx); err == nil {
			t.Error("AwaitEnd with an ended context: no error")
		}
	})
}

// Unknown names are refused, and modules that emit where nothing is published.
func TestRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(ledgerModule))
		emits := *ledgerModule
		emits.Emits = true
		if _, err := e.Declare(t.Context(), spec(&emits, func(s *engine.Spec) { s.Name, s.Emit.Subjects = "q", []string{"out.>"} })); err == nil || !strings.Contains(err.Error(), "publishes nothing") {
			t.Errorf("a module that emits, without an outlet: %v", err)
		}
		for what, err := range map[string]error{
			"status": second(e.Status("none")), "read": second(e.Read("none")), "pause": e.Pause("none"),
			"snapshot": second(e.CreateSnapshot(t.Context(), "none", "s")), "snapshots": second(e.Snapshots("none")),
		} {
			if !errors.Is(err, engine.ErrNoProjection) || !strings.Contains(err.Error(), `"none"`) {
				t.Errorf("%s of an unknown projection: %v", what, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
