package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// targetStream takes what the tests' projections emit.
const targetStream = "T"

// inEmitBubble runs a test on a bench whose engines publish to a stream of "out.>".
func inEmitBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	inBubble(t, func(t *testing.T, b *bench) {
		b.server.CreateFor(targetStream, "out.>")
		b.outlet = enginetest.NewOutlet(b.server)
		test(t, b)
	})
}

// herald is a ledger that emits twice for each event.
func herald(e abi.Record, st guest.State) error {
	for _, word := range []string{"seen", "done"} {
		if err := st.Emit(state.Emit{Subject: "out." + word, Data: fmt.Appendf(nil, "%s %d", word, e.Sequence)}); err != nil {
			return err
		}
	}
	return ledger(e, st)
}

// emitting is a spec of a module that emits.
func emitting(name string, f enginetest.Func, change ...func(*engine.Spec)) engine.Spec {
	m := enginetest.FuncModule(name, f)
	m.Emits = true
	return spec(m, append([]func(*engine.Spec){func(s *engine.Spec) {
		s.Emit.Subjects, s.Emit.History = []string{"out.>"}, true
	}}, change...)...)
}

// emitted lists what the target stream holds.
func (b *bench) emitted() (all []abi.Record) {
	b.t.Helper()
	info, err := b.server.Stream(b.t.Context(), targetStream)
	if err != nil {
		b.t.Fatal(err)
	}
	for seq := info.First; seq <= info.Last; seq++ {
		if e, err := b.server.Event(b.t.Context(), targetStream, seq); err == nil {
			all = append(all, e)
		}
	}
	return all
}

// wantHerald checks that a herald has emitted for each event from one to another, and in
// that order, once.
func (b *bench) wantHerald(from, to int) {
	b.t.Helper()
	var want, got []string
	for seq := from; seq <= to; seq++ {
		want = append(want, fmt.Sprint("seen ", seq), fmt.Sprint("done ", seq))
	}
	for _, e := range b.emitted() {
		got = append(got, string(e.Data))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("emitted are %d, %v, want %d, from %d to %d", len(got), got, len(want), from, to)
	}
}

// drained waits until everything up to a sequence is applied, and what was emitted published.
func (r *running) drained(sequence uint64) engine.Status {
	r.t.Helper()
	return r.await(fmt.Sprintf("published at %d", sequence), func(s engine.Status) bool {
		return s.Position == sequence && s.State == engine.Live && s.Emits.Waiting == 0
	})
}

// What a projection emits is published once, in order, with what tells where it comes from;
// the rows of it are removed, and the status counts it.
func TestEmits(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(30)
		e := b.start(emitting("herald", herald))
		e.drained(30)
		b.append(3)
		s := e.drained(33)
		b.wantHerald(1, 33)
		lineage := b.catalog.Projection("p").Emission.Lineage
		if s.Emits.Published != 66 || s.Emits.PublishedSeq != 33 || s.Emits.Silent != 0 || s.Emits.Lineage != lineage || s.Emits.Trouble != "" {
			t.Errorf("status %+v", s.Emits)
		}
		first, last := b.emitted()[0], b.emitted()[65]
		for name, want := range map[string]string{
			"Nats-Msg-Id": "p/" + lineage + "/33/1", "Gnomon-Stream": streamName, "Gnomon-Sequence": "33", "Gnomon-Projection": "p", "Gnomon-Hops": "1",
		} {
			if got, _ := last.Header(name); string(got) != want {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
		if id, _ := first.Header("Nats-Msg-Id"); string(id) != "p/"+lineage+"/1/0" || string(first.Subject) != "out.seen" {
			t.Errorf("the first is %s %s", id, first.Subject)
		}
		e.wantLedger(1, 33)
		time.Sleep(5 * time.Second) // of the bubble
		ck := e.checkpoint()
		if ck.Outbox.Rows != 0 || ck.Outbox.Next != 66 || len(ck.Outbox.Marks) != 1 || ck.Outbox.Marks[0].Sequence != 66 || ck.Position.Sequence != 33 {
			t.Errorf("the outbox is %+v", ck.Outbox)
		}
	})
}

// checkpoint is that of what is served.
func (r *running) checkpoint() state.Checkpoint {
	r.t.Helper()
	reading, err := r.Read("p")
	if err != nil {
		r.t.Fatal(err)
	}
	defer reading.Close()
	return reading.Checkpoint
}

// What the stream held before the projection first ran is its history, for which nothing is
// emitted, also after a restart and by a generation that is built anew.
func TestHistoryIsSilent(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		quiet := func(s *engine.Spec) { s.Emit.History = false }
		b.append(20)
		e := b.start(emitting("herald", herald, quiet))
		s := e.drained(20)
		if s.Emits.Silent != 40 || s.Emits.SilentThrough != 20 || len(b.emitted()) > 0 {
			t.Errorf("status %+v, emitted %d", s.Emits, len(b.emitted()))
		}
		b.append(5)
		e.drained(25)
		e.stop()
		b.append(5) // is no history, though nobody was there
		e = b.start(emitting("herald", herald, quiet))
		e.drained(30)
		b.wantHerald(21, 30)
		if err := e.Rebuild(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		before := e.status().Generation
		e.await("the rebuilt", func(s engine.Status) bool { return s.Generation != before })
		b.append(5)
		e.drained(35)
		b.wantHerald(21, 35)
		e.wantLedger(1, 35)
	})
}

// What a projection must not emit fails the event that it is about, and says why; the others
// go on, and what had been emitted for the one that fails is not published.
func TestForbiddenEmits(t *testing.T) {
	header := func(name, value string) []byte { h, _ := abi.AppendHeader(nil, name, value); return h }
	for _, c := range []struct {
		what string
		emit state.Emit
		want string
	}{
		{"a subject that is not listed", state.Emit{Subject: "other.x"}, "emit to other.x, which is not allowed: projection.emit.subjects are out.>"},
		{"a subject with an empty token", state.Emit{Subject: "out..x"}, "empty token"},
		{"a subject with a wildcard", state.Emit{Subject: "out.*"}, "wildcard"},
		{"a header of the server's", state.Emit{Subject: "out.x", Headers: header("nats-Msg-Id", "1")}, `header "nats-Msg-Id" is reserved`},
		{"a header of our own", state.Emit{Subject: "out.x", Headers: header("Gnomon-Hops", "0")}, `header "Gnomon-Hops" is reserved`},
		{"a header that is none", state.Emit{Subject: "out.x", Headers: []byte("abc")}, "form of a record's"},
		{"a header that would begin another", state.Emit{Subject: "out.x", Headers: header("x", "1\r\nNats-Msg-Id: 1")}, "line break"},
		{"a header name with a colon", state.Emit{Subject: "out.x", Headers: header("x:y", "1")}, "header name"},
		{"more headers than a stream takes", state.Emit{Subject: "out.x", Headers: header("x", strings.Repeat("h", 63<<10))}, "bytes of headers"},
		{"too much data", state.Emit{Subject: "out.x", Data: make([]byte, 100_000)}, "max_payload"},
	} {
		t.Run(c.what, func(t *testing.T) {
			inEmitBubble(t, func(t *testing.T, b *bench) {
				b.append(10)
				b.outlet.Max = 100_000
				bad := func(e abi.Record, st guest.State) error {
					if err := herald(e, st); err != nil || e.Sequence != 5 {
						return err
					}
					return st.Emit(c.emit)
				}
				e := b.start(emitting("bad", bad, func(s *engine.Spec) { s.OnError, s.Letters = engine.DeadLetter, 10 }))
				e.drained(10)
				e.wantLedger(1, 10, 5)
				for _, m := range b.emitted() {
					if seq, _ := m.Header("Gnomon-Sequence"); string(seq) == "5" {
						t.Errorf("published is %s", m.Data)
					}
				}
				if n := len(b.emitted()); n != 18 {
					t.Errorf("%d are published", n)
				}
				if letters := e.setAside(); len(letters) != 1 || !strings.Contains(letters[0].Error, c.want) {
					t.Errorf("set aside are %+v", letters)
				}
			})
		})
	}
}

// A chain of projections that emit for one another comes to an end: the event that has come
// through too many fails.
func TestHops(t *testing.T) {
	for _, c := range []struct {
		limit int
		came  string
		fails bool
	}{{0, "", false}, {0, "7", false}, {0, "8", true}, {2, "1", false}, {2, "2", true}, {2, "many", false}} {
		inEmitBubble(t, func(t *testing.T, b *bench) {
			h, _ := abi.AppendHeader(nil, "gnomon-hops", c.came)
			b.server.Store(streamName, abi.Record{Subject: []byte("e.x"), Headers: h})
			e := b.start(emitting("herald", herald, func(s *engine.Spec) { s.Emit.MaxHops = c.limit }))
			if c.fails {
				if s := e.awaitState(engine.Halted); !strings.Contains(s.Reason, "max_hops") {
					t.Errorf("reason %s", s.Reason)
				}
				return
			}
			e.drained(1)
			b.wantHerald(1, 1)
		})
	}
}

// What an event is traced by passes on to what it causes, as it is written, unless the guest
// says something else.
func TestTraceContext(t *testing.T) {
	for _, c := range []struct{ own, want string }{
		{"", "TraceParent=cause tracestate=state"},
		{"Traceparent=mine", "Traceparent=mine"},
		{"x-other=1", "x-other=1 TraceParent=cause tracestate=state"},
	} {
		inEmitBubble(t, func(t *testing.T, b *bench) {
			h, _ := abi.AppendHeader(nil, "TraceParent", "cause")
			h, _ = abi.AppendHeader(h, "tracestate", "state")
			h, _ = abi.AppendHeader(h, "x-private", "kept out")
			b.server.Store(streamName, abi.Record{Subject: []byte("e.x"), Headers: h})
			e := b.start(emitting("tracer", func(e abi.Record, st guest.State) error {
				m := state.Emit{Subject: "out.x"}
				if name, value, ok := strings.Cut(c.own, "="); ok {
					m.Headers, _ = abi.AppendHeader(nil, name, value)
				}
				return st.Emit(m)
			}))
			e.drained(1)
			var got []string
			for rest := b.emitted()[0].Headers; len(rest) > 0; {
				name, value, after, err := abi.NextHeader(rest)
				if err != nil {
					t.Fatal(err)
				}
				if n := string(name); !strings.HasPrefix(n, "Gnomon-") && !strings.HasPrefix(n, "Nats-") {
					got = append(got, n+"="+string(value))
				}
				rest = after
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("headers are %v, want %s", got, c.want)
			}
		})
	}
}

// A declaration of a module that emits says where to, and not to its own input.
func TestEmitDeclarations(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		e := b.start()
		for _, c := range []struct {
			subjects, input []string
			want            string
		}{
			{nil, nil, "list where to in projection.emit"},
			{[]string{"out..x"}, nil, "empty token"},
			{[]string{"out.>", "e.alert"}, []string{"e.*"}, "may emit to e.alert, and the projection gets e.*"},
			{[]string{">"}, []string{"e.x"}, "may emit to >"},
			{[]string{"e.alert"}, nil, "may emit to e.alert, and the projection gets e.>"}, // all that the stream takes
			{[]string{"e.alert"}, []string{"e.x"}, ""},
			{[]string{"out.>"}, nil, ""},
		} {
			s := emitting("herald", herald, func(s *engine.Spec) { s.Emit.Subjects, s.Subjects = c.subjects, c.input })
			s.Name = fmt.Sprint("p", len(c.want))
			_, err := e.Declare(t.Context(), s)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("emits %v of %v: %v, want %s", c.subjects, c.input, err, c.want)
			}
			s.Emit.AllowLoop = true
			if _, err := e.Declare(t.Context(), s); strings.Contains(c.want, "may emit") && err != nil {
				t.Errorf("emits %v of %v, as it is allowed: %v", c.subjects, c.input, err)
			}
		}
	})
}
