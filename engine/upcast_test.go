package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// becomes is what the upcaster of these tests makes of an event "a.ACCOUNT": by its
// sequence nothing, the event itself, two of one account, or one of each of two accounts.
func becomes(e abi.Record) (made []abi.Record) {
	with := func(subject string) abi.Record {
		return abi.Record{Subject: []byte(subject), Headers: e.Headers, Data: fmt.Appendf(nil, "%s#%d", e.Data, len(made))}
	}
	switch e.Sequence % 4 {
	case 0:
		return nil
	case 1:
		return []abi.Record{e}
	case 2:
		made = append(made, with(string(e.Subject)))
		return append(made, with(string(e.Subject)))
	}
	made = append(made, with(string(e.Subject)))
	return append(made, with("a.other"))
}

var rewrites = enginetest.Upcaster("rewrites", func(e abi.Record, out func(abi.Record)) error {
	for _, r := range becomes(e) {
		out(r)
	}
	return nil
})

// journal is a guest that is local to its key, and writes down what it was handed of it, in
// order: a record that is missing, repeated or out of place shows.
func journal(e abi.Record, st guest.State) error {
	list, _, err := st.Get(e.Key)
	if err != nil {
		return err
	}
	return st.Put(e.Key, fmt.Appendf(list[:len(list):len(list)], "%d@%d %s %s\n", e.Sequence, e.TimeNs, e.Subject, e.Data))
}

var journalModule = enginetest.FuncModule("journal", journal)

// journals is what the stream's events amount to, one by one, without an engine.
func (b *bench) journals(to uint64, rewrite func(abi.Record) []abi.Record) map[string]string {
	b.t.Helper()
	state := map[string]string{}
	for seq := uint64(1); seq <= to; seq++ {
		e, err := b.server.Event(b.t.Context(), streamName, seq)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range rewrite(e) {
			state[string(r.Subject[2:])] += fmt.Sprintf("%d@%d %s %s\n", seq, e.TimeNs, r.Subject, r.Data)
		}
	}
	return state
}

func upcasters(modules ...guest.Module) func(*engine.Spec) {
	return func(s *engine.Spec) {
		for i, m := range modules {
			s.Upcasters = append(s.Upcasters, engine.Upcaster{Name: fmt.Sprintf("up%d", i), Module: m})
		}
	}
}

// wantAnchors checks that a projection remembers events as the stream has them.
func (b *bench) wantAnchors(s engine.Spec) {
	b.t.Helper()
	ck, err := b.keyspace(s).Latest()
	if err != nil || len(ck.Anchors) == 0 {
		b.t.Fatalf("%+v, %v", ck, err)
	}
	for _, a := range ck.Anchors {
		e, err := b.server.Event(b.t.Context(), streamName, a.Sequence)
		if err != nil || !a.Same(state.AnchorOf(e)) {
			b.t.Errorf("anchor %+v, the stream has %+v, %v", a, e, err)
		}
	}
}

// Whatever an event becomes, none, one or several, the state is the one that the rewritten
// events make one by one: whatever batches and partitions there are, with restarts.
func TestUpcastersLeaveNoTrace(t *testing.T) {
	for _, events := range []int{1, 7, 100} {
		for _, partitions := range []int{1, 3} {
			inBubble(t, func(t *testing.T, b *bench) {
				b.appendAccounts(150)
				s := split(journalModule, partitions, upcasters(rewrites), func(s *engine.Spec) { s.Batch.Events = events })
				e := b.start(s)
				e.awaitLive(150)
				e.stop()
				b.appendAccounts(153)
				e = b.start(s)
				got := e.awaitLive(303)
				if state, _ := e.content(); !maps.Equal(state, b.journals(303, becomes)) {
					t.Errorf("%d events a batch, %d partitions: the state is %q, want %q", events, partitions, state, b.journals(303, becomes))
				}
				if got.Start != 150 || got.Failures != 0 {
					t.Errorf("status %+v", got)
				}
				b.wantAnchors(s)
			})
		}
	}
}

// A projection that is stopped while it is in the middle of a batch goes on there: its
// anchors are those of the events as the stream has them, and nothing is done twice.
func TestUpcastersAndRestartWithinABatch(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.appendAccounts(90)
		slow := enginetest.FuncModule("slow", func(e abi.Record, st guest.State) error {
			time.Sleep(700 * time.Millisecond) // of the bubble: every call of the guest is of one event
			return journal(e, st)
		})
		s := split(slow, 1, upcasters(rewrites))
		at := uint64(0)
		for at < 85 {
			e := b.start(s)
			was := at
			at = e.await("some more", func(s engine.Status) bool { return s.Position > was+9 || s.Position == 90 }).Position
			e.stop()
			b.wantAnchors(s)
		}
		e := b.start(s)
		e.awaitLive(90)
		if state, _ := e.content(); !maps.Equal(state, b.journals(90, becomes)) {
			t.Errorf("the state is %q, want %q", state, b.journals(90, becomes))
		}
	})
}

// A guest with memory goes back to its last snapshot, and is handed the rewritten events
// since then again.
func TestUpcastersAndMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(48)
		odd := enginetest.Upcaster("odd", func(e abi.Record, out func(abi.Record)) error {
			if e.Sequence%2 == 1 {
				out(e)
			}
			return nil
		})
		s := spec(remembers(), upcasters(odd), func(s *engine.Spec) { s.Batch.Events = 6 })
		e := b.start(s)
		e.awaitLive(48)
		e.stop()
		ck, err := b.keyspace(s).Latest()
		if err != nil || len(ck.Memories) != 2 {
			t.Fatalf("%+v, %v: want two memory snapshots", ck.Memories, err)
		}
		b.keyspace(s).DamageMemory(ck.Memories[0].Version)
		b.append(3)
		e = b.start(s)
		e.awaitLive(51)
		state, _ := e.content()
		if got := state["count/51"]; got != "26" || state["ledger"] != ledgerOf(1, 51, 2) {
			t.Errorf("the guest remembers %s events, and wrote down %s", got, state["ledger"])
		}
	})
}

func ledgerOf(from, to, step uint64) (list string) {
	for ; from <= to; from += step {
		list += fmt.Sprint(from, " ")
	}
	return list
}

// Upcasters work one after the other, and each is handed the records of its subjects: the
// others stay in their places, also those of one event.
func TestChainOfUpcasters(t *testing.T) {
	// Of one event the first makes records of the subjects x, y, x, y, x; the second
	// doubles those of x; the third takes one of y away.
	spread := enginetest.Upcaster("spread", func(e abi.Record, out func(abi.Record)) error {
		for i, subject := range []string{"x", "y", "x", "y", "x"} {
			out(abi.Record{Subject: []byte(subject), Data: fmt.Append(nil, i)})
		}
		return nil
	})
	double := enginetest.Upcaster("double", func(e abi.Record, out func(abi.Record)) error {
		if string(e.Subject) != "x" {
			return enginetest.Refuse("handed %s", e.Subject)
		}
		out(e)
		e.Data = append(slices.Clone(e.Data), '\'')
		out(e)
		return nil
	})
	drop := enginetest.Upcaster("drop", func(e abi.Record, out func(abi.Record)) error {
		if string(e.Data) != "3" {
			out(e)
		}
		return nil
	})
	only := func(want string) func([]byte) bool { return func(s []byte) bool { return string(s) == want } }
	for _, events := range []int{1, 3, 100} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(10)
			m := enginetest.FuncModule("lines", func(e abi.Record, st guest.State) error {
				line, _, err := st.Get(fmt.Append(nil, e.Sequence))
				if err != nil {
					return err
				}
				return st.Put(fmt.Append(nil, e.Sequence), fmt.Appendf(line[:len(line):len(line)], "%s%s ", e.Subject, e.Data))
			})
			s := spec(m, upcasters(spread, double, drop), func(s *engine.Spec) {
				s.Batch.Events = events
				s.Upcasters[1].Filter, s.Upcasters[2].Filter = only("x"), only("y")
			})
			e := b.start(s)
			e.awaitLive(10)
			state, _ := e.content()
			for seq := 1; seq <= 10; seq++ {
				if got := state[fmt.Sprint(seq)]; got != "x0 x0' y1 x2 x2' x4 x4' " {
					t.Errorf("event %d became %s", seq, got)
				}
			}
		})
	}
}

// The subjects of a projection are those of the rewritten events.
func TestSubjectsAreOfUpcastEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.appendAccounts(40)
		e := b.start(split(journalModule, 1, upcasters(rewrites), func(s *engine.Spec) {
			s.Filter = func(subject []byte) bool { return string(subject) == "a.other" }
		}))
		e.awaitLive(40)
		state, _ := e.content()
		if want := b.journals(40, becomes)["other"]; len(state) != 1 || state["other"] != want {
			t.Errorf("state %q, want only %q", state, want)
		}
	})
}

// Calls of the module hold whole events: neither a limit of bytes, nor the guest's buffer,
// nor a small commit cuts one in two. What is too large is one event, and named.
func TestEventsStayWhole(t *testing.T) {
	whole := &enginetest.Module{Name: "whole", Buffer: 600, New: func() enginetest.Guest { return enginetest.Func(journal) }}
	for _, bytes := range []int{150, 1 << 20} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.appendAccounts(60)
			e := b.start(split(whole, 1, upcasters(rewrites), func(s *engine.Spec) { s.Batch.Bytes = bytes }))
			s := e.awaitLive(60)
			if state, _ := e.content(); !maps.Equal(state, b.journals(60, becomes)) {
				t.Errorf("the state is %q, want %q", state, b.journals(60, becomes))
			}
			if s.Failures > 1 { // once to learn how small the buffer is
				t.Errorf("%d calls failed", s.Failures)
			}
		})
	}
	inBubble(t, func(t *testing.T, b *bench) {
		b.appendAccounts(60)
		e := b.start(split(whole, 1, upcasters(rewrites)))
		e.awaitLive(60)
		b.server.Append(streamName, "a.1", nil)               // 61, one record
		b.server.Append(streamName, "a.1", make([]byte, 300)) // 62, two of more than 300 bytes
		got := e.awaitState(engine.Halted)
		if got.Position != 61 || !strings.HasPrefix(got.Reason, "event 62: apply has too small a batch buffer: 600 bytes for 7") {
			t.Errorf("status %+v", got)
		}
	})
	inBubble(t, func(t *testing.T, b *bench) { // each record writes two keys, a commit holds three
		b.twoAccounts(10)
		b.twoKeys("ab")
		s := split(enginetest.FuncModule("accounts", func(e abi.Record, st guest.State) error {
			return st.Put(fmt.Appendf(nil, "%d/%s", e.Sequence, e.Subject), nil)
		}), 1, upcasters(new(moodyUpcaster).module(), rewritesIntoThree))
		b.limit(s, state.TxLimit{Writes: 3, Bytes: 1 << 20})
		e := b.start(s)
		got := e.awaitState(engine.Halted)
		if got.Position != 20 || !strings.Contains(got.Reason, "event 21: apply went over a limit: its writes do not fit one commit: the limit is 3 keys") {
			t.Errorf("status %+v", got)
		}
	})
}

// rewritesIntoThree makes three records of different subjects of each.
var rewritesIntoThree = enginetest.Upcaster("three", func(e abi.Record, out func(abi.Record)) error {
	for _, suffix := range []string{"", "x", "xx"} {
		out(abi.Record{Subject: append(slices.Clone(e.Subject), suffix...), Data: e.Data})
	}
	return nil
})

// An upcaster with a small buffer, with little fuel for many events, or one that says
// untruly which event it failed on, is handed fewer; only what fails alone has failed.
func TestUpcasterNeedsSmallerCalls(t *testing.T) {
	one := func(e abi.Record, out func(abi.Record)) error { out(e); return nil }
	liar := func(e abi.Record, out func(abi.Record)) error {
		if e.Sequence == 41 {
			return &guest.Error{Call: "upcast", Kind: guest.Trapped, Event: int(e.TimeNs) % 3}
		}
		return one(e, out)
	}
	for name, tt := range map[string]struct {
		module *enginetest.Module
		reason string
	}{
		"buffer":            {&enginetest.Module{Name: "b", Rewrite: one, Buffer: 200}, ""},
		"buffer, too small": {&enginetest.Module{Name: "b", Rewrite: one, Buffer: 40}, "event 1: upcaster up0: upcast has too small a batch buffer: 40 bytes for 48 bytes of events"},
		"fuel":              {&enginetest.Module{Name: "f", Rewrite: one, Fuel: 3}, ""},
		"liar":              {&enginetest.Module{Name: "l", Rewrite: liar}, "event 41: upcaster up0: upcast trapped"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(100)
				e := b.start(spec(ledgerModule, upcasters(tt.module)))
				if tt.reason != "" {
					if got := e.awaitState(engine.Halted); !strings.HasPrefix(got.Reason, tt.reason) {
						t.Errorf("status %+v", got)
					}
					return
				}
				e.awaitLive(100)
				e.wantLedger(1, 100)
			})
		})
	}
}

// What an upcaster makes is held against what it was handed, and bounded.
func TestUpcasterOutputIsBounded(t *testing.T) {
	large := enginetest.Upcaster("large", func(e abi.Record, out func(abi.Record)) error {
		for range 5 {
			out(abi.Record{Subject: e.Subject, Data: make([]byte, abi.MaxUpcast/4)})
		}
		return nil
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(3)
		e := b.start(spec(ledgerModule, upcasters(large), func(s *engine.Spec) {
			s.Upcasters[0].Filter = func([]byte) bool { return true }
		}))
		if got := e.awaitState(engine.Halted); !strings.HasPrefix(got.Reason, "event 1: upcaster up0: upcast went over a limit: output of ") {
			t.Errorf("status %+v", got)
		}
	})
}

// When an instance of an upcaster cannot be made, whatever on_error is, no event has
// failed: it is tried again by itself.
func TestUpcasterThatDoesNotStart(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(3)
		m := &noStart{Module: enginetest.Upcaster("keeps", func(e abi.Record, out func(abi.Record)) error { out(e); return nil })}
		m.not.Store(true)
		e := b.start(setsAside(ledgerModule, engine.Skip, upcasters(m), func(s *engine.Spec) { s.KeyOf = nil }))
		got := e.awaitState(engine.Stalled)
		if !strings.Contains(got.Reason, "upcaster up0: instantiate module: start trapped: no") || got.Aside != (state.Aside{}) {
			t.Errorf("status %+v", got)
		}
		m.not.Store(false)
		e.awaitLive(3)
		e.wantLedger(1, 3)
	})
}

// noStart is a module that cannot always be started.
type noStart struct {
	guest.Module
	not atomic.Bool
}

func (m *noStart) Instantiate(ctx context.Context, c guest.Config) (guest.Instance, error) {
	if m.not.Load() {
		return nil, &guest.Error{Call: "start", Kind: guest.Trapped, Text: "no", Event: -1}
	}
	return m.Module.Instantiate(ctx, c)
}

// Upcasters are a part of what identifies a generation and its source: their modules,
// settings, subjects and order, but not their names and limits. Without them the identity
// is what it was before there were any.
func TestUpcastersAndIdentity(t *testing.T) {
	with := func(change func(u []engine.Upcaster)) engine.Spec {
		return spec(ledgerModule, upcasters(rewrites, rewritesIntoThree), func(s *engine.Spec) { change(s.Upcasters) })
	}
	plain, same := spec(ledgerModule), with(func([]engine.Upcaster) {})
	seen := map[string]string{plain.Generation(): "none", same.Generation(): "two"}
	if plain.Generation() != "49b5d23434a6d74b" || plain.Source() != "c9a10271f873df08" {
		t.Errorf("without upcasters the identity is %s, of the source %s: keyspaces of earlier versions would be built anew", plain.Generation(), plain.Source())
	}
	for name, change := range map[string]func(u []engine.Upcaster){
		"module":   func(u []engine.Upcaster) { u[1].Module = rewrites },
		"settings": func(u []engine.Upcaster) { u[0].Settings = []byte(`{"a":1}`) },
		"subjects": func(u []engine.Upcaster) { u[0].Subjects = []string{"a.>"} },
		"order":    func(u []engine.Upcaster) { u[0], u[1] = u[1], u[0] },
	} {
		s := with(change)
		if other, twice := seen[s.Generation()]; twice || s.Source() == same.Source() || s.Source() == plain.Source() {
			t.Errorf("with another %s the generation is that of %q", name, other)
		}
		seen[s.Generation()] = name
	}
	named := with(func(u []engine.Upcaster) { u[0].Name, u[0].Fuel, u[0].Memory = "other", 7, 7 })
	if named.Generation() != same.Generation() {
		t.Error("name and limits are a part of the identity")
	}
}

// A projection is no upcaster, and an upcaster is no projection.
func TestModulesAreUsedForWhatTheyAre(t *testing.T) {
	for want, s := range map[string]engine.Spec{
		"does not export apply: it is an upcaster, and no projection":                               spec(rewrites),
		"has the upcaster up0 before it, whose module does not export upcast, so it is no upcaster": spec(ledgerModule, upcasters(ledgerModule)),
	} {
		if err := s.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}

// Upcast shows what becomes of one event: what the module is handed, or which upcaster
// failed, at what.
func TestUpcastOfOneEvent(t *testing.T) {
	e := abi.Record{Sequence: 3, TimeNs: 7, Subject: []byte("a.1"), Data: []byte("d")}
	s := split(journalModule, 1, upcasters(rewrites, (&moodyUpcaster{refuses: map[uint64]bool{7: true}}).module()), func(s *engine.Spec) {
		s.Filter = func(subject []byte) bool { return string(subject) == "a.other" }
	})
	records, failed, err := s.Upcast(t.Context(), e.Append(nil))
	r, rest, nerr := abi.Next(records)
	if err != nil || nerr != nil || failed != -1 || len(rest) != r.Size() || string(r.Key) != "other" || string(r.Data) != "d#1" || r.Sequence != 3 || r.TimeNs != 7 {
		t.Errorf("records %q, failed %d, %v", records, failed, err)
	}
	e.Sequence = 7
	handed, failed, err := s.Upcast(t.Context(), e.Append(nil))
	var bad *engine.UpcastError
	if !errors.As(err, &bad) || failed != 1 || bad.Upcaster != "up1" || string(handed) == string(e.Append(nil)) {
		t.Errorf("handed %q, failed %d, %v", handed, failed, err)
	}
	e.Sequence = 4
	if records, failed, err := s.Upcast(t.Context(), e.Append(nil)); len(records) != 0 || failed != -1 || err != nil {
		t.Errorf("records %q, failed %d, %v", records, failed, err)
	}
}

// What upcasters cost beside the guest's own work: one that keeps all events as they are,
// of all subjects, and of none of them.
func BenchmarkUpcast(b *testing.B) {
	source := engine.NewLaidOut()
	keeps := enginetest.Upcaster("keeps", func(e abi.Record, out func(abi.Record)) error { out(e); return nil })
	none := func([]byte) bool { return false }
	for name, change := range map[string]func(*engine.Spec){
		"without": func(*engine.Spec) {},
		"all":     upcasters(keeps),
		"none":    func(s *engine.Spec) { upcasters(keeps)(s); s.Upcasters[0].Filter = none },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				catchUp(b, source, 1, change)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*source.Events()), "ns/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}
