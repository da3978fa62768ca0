package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// rig is an engine over a stream, a store and an outlet in memory, which runs guests of
// the kit in the sandbox.
type rig struct {
	*testing.T
	server  enginetest.Server
	store   enginetest.Store
	catalog enginetest.Catalog
	outlet  *enginetest.Outlet

	mu   sync.Mutex
	said []string // by the guest
}

// Enabled implements guest.Log.
func (r *rig) Enabled(level int) bool { return level >= 0 }

// Line implements guest.Log.
func (r *rig) Line(l guest.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, l.Text)
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t}
	r.server.Create("S")
	r.server.CreateFor("T", "out.>")
	r.outlet = enginetest.NewOutlet(&r.server)
	return r
}

// fuelOfRig is that of one call: the guest each uses a tenth of it where it is told to.
const fuelOfRig = 1_000_000

// module loads a guest. What is added to its name makes another module of it, for custom
// sections are not looked at.
func (r *rig) module(name string, fuel uint64) *host.Module {
	r.Helper()
	name, more, _ := strings.Cut(name, "+")
	code := Guest(name)
	if more != "" {
		code = append(slices.Clip(code), 0, byte(len(more)+1), byte(len(more)))
		code = append(code, more...)
	}
	m, err := sandbox.Host.Load(r.Context(), code, host.Limits{Fuel: fuel})
	if err != nil {
		r.Fatal(err)
	}
	return m
}

// spec is a projection of a guest.
func (r *rig) spec(guest string, change ...func(*engine.Spec)) engine.Spec {
	r.Helper()
	s := engine.Spec{
		Name: "p", Module: r.module(guest, fuelOfRig), Stream: "S", Log: r, Fuel: fuelOfRig, Memory: 16 << 20,
		Batch: streams.ReadLimit{Events: 100, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20,
		MemorySnapshots: engine.MemoryPolicy{Events: 2, Every: time.Hour, Keep: 2}, Pins: engine.PinPolicy{Max: 1},
		Emit: engine.EmitRules{Subjects: []string{"out.>"}, History: true}, OnError: engine.Skip, AutoPromote: engine.PromoteItself,
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// store stores events: subject and data in turns.
func (r *rig) events(list ...string) *rig {
	for i := 0; i < len(list); i += 2 {
		r.server.Append("S", "e."+list[i], []byte(list[i+1]))
	}
	return r
}

// run runs projections to the end of the stream, and hands the engine to look.
func (r *rig) run(spec engine.Spec, look func(e *engine.Engine)) {
	r.Helper()
	e := engine.New(engine.Options{Source: &r.server, Store: &r.store, Catalog: &r.catalog, Outlet: r.outlet, Log: slog.New(slog.DiscardHandler)})
	defer func() {
		if err := e.Close(); err != nil {
			r.Error(err)
		}
	}()
	if _, err := e.Declare(r.Context(), spec); err != nil {
		r.Fatal(err)
	}
	e.Start(r.Context())
	r.await(e)
	look(e)
}

// await waits until the projection has reached the end of the stream.
func (r *rig) await(e *engine.Engine) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	if err := e.AwaitEnd(ctx); err != nil {
		st, _ := e.Status("p")
		r.Fatalf("%v: it is %s: %s", err, st.State, st.Reason)
	}
}

// state requires the state to be keys and values in turns.
func (r *rig) state(e *engine.Engine, want ...string) {
	r.Helper()
	got := map[string]string{}
	reading, err := e.Read("p")
	if err != nil {
		r.Fatal(err)
	}
	defer reading.Close()
	if err := reading.Scan(nil, nil, func(k, v []byte) bool { got[string(k)] = string(v); return true }); err != nil {
		r.Fatal(err)
	}
	if !maps.Equal(got, rows(want...)) {
		r.Errorf("the state is %.300q, not %q", got, want)
	}
}

// emitted lists the subjects of what was emitted.
func (r *rig) emitted() (list []string) {
	r.Helper()
	info, err := r.server.Stream(r.Context(), "T")
	if err != nil {
		r.Fatal(err)
	}
	for n := uint64(1); n <= info.Last; n++ {
		e, err := r.server.Event(r.Context(), "T", n)
		if err != nil {
			r.Fatal(err)
		}
		list = append(list, string(e.Subject))
	}
	return list
}

// lines are the lines that the guest logged, of some words.
func (r *rig) lines(words ...string) (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.said {
		if len(words) == 0 || slices.Contains(words, l) {
			list = append(list, l)
		}
	}
	return list
}

// out is the data of an event for which each emits to a subject.
func out(letter, subject string) string { return letter + string(rune(len(subject))) + subject }

// engineRules are the rules that bind the engine around the sandbox, each with what shows it.
var engineRules = []struct {
	rules []string
	says  string
	run   func(r *rig)
}{
	{[]string{"X5", "X6", "X4"}, "of a batch with events that fail in any way everything else is applied, in a fresh instance", func(r *rig) {
		r.events("a", "p1", "b", "f", "c", "p2", "d", "t", "e", "p3", "f", "l", "g", "p4").run(r.spec("each"), func(e *engine.Engine) {
			r.state(e, "e.a", "p1", "e.c", "p2", "e.e", "p3", "e.g", "p4")
		})
	}},
	{[]string{"X6", "X7"}, "what fails is one event, and the reason has the words of the guest", func(r *rig) {
		r.events("a", "p1", "b", "f: the second", "c", "p2").run(r.spec("each", func(s *engine.Spec) { s.OnError, s.Letters = engine.DeadLetter, 10 }), func(e *engine.Engine) {
			reading, err := e.Read("p")
			if err != nil {
				r.Fatal(err)
			}
			defer reading.Close()
			var letters []string
			if err := state.ReadLetters(reading, 0, func(l state.Letter) bool {
				letters = append(letters, fmt.Sprint(l.Sequence, " ", l.Error))
				return true
			}); err != nil {
				r.Fatal(err)
			}
			if len(letters) != 1 || !strings.HasPrefix(letters[0], "2 ") || !strings.Contains(letters[0], "f: the second") {
				r.Errorf("set aside are %q", letters)
			}
		})
	}},
	{[]string{"E5"}, "what is emitted is published once, in order; what a failing event emits is not", func(r *rig) {
		r.events("a", out("e", "out.1"), "b", "f", "c", out("e", "out.2")).run(r.spec("each"), func(*engine.Engine) {})
		r.run(r.spec("each"), func(*engine.Engine) {}) // again, on the same store
		if got := r.emitted(); !slices.Equal(got, []string{"out.1", "out.2"}) {
			r.Errorf("published were %q", got)
		}
	}},
	{[]string{"E6"}, "a subject that is not listed, or has wildcards, fails the event", func(r *rig) {
		r.events("a", out("e", "elsewhere"), "b", out("e", "out.*"), "c", out("e", "out.fine")).run(r.spec("each"), func(e *engine.Engine) {
			r.state(e, "e.c", out("e", "out.fine"))
		})
		if got := r.emitted(); !slices.Equal(got, []string{"out.fine"}) {
			r.Errorf("published were %q", got)
		}
	}},
	{[]string{"E7"}, "a header that is reserved, and too many hops, fail the event", func(r *rig) {
		store := func(subject string, headers ...string) {
			r.server.Store("S", abi.Record{Subject: []byte(subject), Data: []byte(out("h", "out.x")), Headers: []byte(encodeHeaders(headers...))})
		}
		store("e.reserved", "Nats-Msg-Id", "1")
		store("e.ours", "Gnomon-Stream", "1")
		store("e.malformed", "a b\n", "1")
		store("e.fine", "name", "1")
		store("e.hops", engine.HeaderHops, "9")
		r.run(r.spec("each"), func(e *engine.Engine) { r.state(e, "e.fine", out("h", "out.x")) })
	}},
	{[]string{"B6"}, "a batch has an event at least and as many at most as are configured", func(r *rig) {
		for range 20 {
			r.events("a", "p")
		}
		r.run(r.spec("each", func(s *engine.Spec) { s.Batch.Events = 3 }), func(*engine.Engine) {})
		total := 0
		for _, dots := range r.lines() {
			if total += len(dots); len(dots) < 1 || len(dots) > 3 {
				r.Errorf("a batch had %d events", len(dots))
			}
		}
		if total != 20 {
			r.Errorf("%d events came in batches, not 20", total)
		}
	}},
	{[]string{"B7", "B8"}, "batches are cut to a fixed buffer, and an event that is larger than it fails", func(r *rig) {
		large, tooLarge := "p"+strings.Repeat("x", 100_000), "p"+strings.Repeat("x", 200_000)
		r.events("a", large, "b", large, "c", tooLarge, "d", large).run(r.spec("each"), func(e *engine.Engine) {
			r.state(e, "e.a", large, "e.b", large, "e.d", large)
		})
	}},
	{[]string{"B9", "U8"}, "upcasters work one after the other on records of their subjects, and what became of one event stays together", func(r *rig) {
		for range 7 {
			r.events("a", "p", "b", "p")
		}
		double := engine.Upcaster{Name: "double", Module: r.module("double", fuelOfRig), Fuel: fuelOfRig, Memory: 4 << 20}
		double.Filter = func(subject []byte) bool { return string(subject) == "e.a" }
		r.run(r.spec("each", func(s *engine.Spec) { s.Upcasters, s.Batch.Events = []engine.Upcaster{double, double}, 3 }), func(*engine.Engine) {})
		total := 0
		for _, dots := range r.lines() {
			if total += len(dots); len(dots)%4 > 2 {
				r.Errorf("a batch had %d records, so one event was cut", len(dots))
			}
		}
		if total != 7*4+7 {
			r.Errorf("%d records came, not 35", total)
		}
	}},
	{[]string{"U9", "U10"}, "an event that an upcaster fails at is the only one that fails, and memory of upcasters is neither saved nor restored", func(r *rig) {
		double := engine.Upcaster{Name: "double", Module: r.module("double", fuelOfRig), Fuel: fuelOfRig, Memory: 4 << 20}
		r.events("a", "p1", "b", "f", "c", "p2").run(r.spec("each", func(s *engine.Spec) { s.Upcasters = []engine.Upcaster{double} }), func(e *engine.Engine) {
			r.state(e, "e.a", "p1", "e.c", "p2")
		})
	}},
	{[]string{"F2", "F1"}, "a call that runs out of fuel with several events is made again with fewer", func(r *rig) {
		var want []string
		for i := range 40 { // of which a call has fuel for ten
			key := fmt.Sprint(i)
			r.events(key, "s")
			want = append(want, "e."+key, "s")
		}
		r.events("never", "l").run(r.spec("each"), func(e *engine.Engine) { r.state(e, want...) })
	}},
	{[]string{"L3"}, "an event that writes more than a commit takes fails", func(r *rig) {
		r.events("a", "p", "b", "w", "c", "p").run(r.spec("each"), func(e *engine.Engine) { r.state(e, "e.a", "p", "e.c", "p") })
	}},
	{[]string{"P3", "P6"}, "memory is restored into a fresh instance after init, and is never newer or older than the keys", func(r *rig) {
		r.events("a", "p", "a", "p", "a", "f", "a", "p").run(r.spec("counts"), func(e *engine.Engine) { r.state(e, "n", "0003") })
		r.events("a", "p").run(r.spec("counts"), func(e *engine.Engine) { r.state(e, "n", "0004") })
		last := ""
		for _, call := range r.lines() {
			if call == "restore" && last != "init" {
				r.Errorf("restore was called after %s: %q", last, r.lines())
			}
			last = call
		}
		if count(r.lines(), "restore") < 2 {
			r.Errorf("restore was not called for each start: %q", r.lines())
		}
	}},
	{[]string{"Q5", "Q6"}, "a query has an instance of its own, with the newest snapshot of the memory", func(r *rig) {
		r.events("a", "p", "a", "p").run(r.spec("counts"), func(e *engine.Engine) {
			if got, err := ask(r, e); err != nil || got != "0003" { // one more than there were, in memory of its own
				r.Errorf("it answers %q, %v", got, err)
			}
			r.state(e, "n", "0002")
		})
	}},
	{[]string{"Q3"}, "a query is about the state of one sequence", func(r *rig) {
		r.events("a", "one", "a", "two").run(r.spec("keys"), func(e *engine.Engine) {
			if got, err := ask(r, e); err != nil || got != "two" {
				r.Errorf("it answers %q, %v", got, err)
			}
		})
	}},
	{[]string{"Q7"}, "a module that is not metered is not asked", func(r *rig) {
		spec := r.spec("keys")
		spec.Module, spec.Fuel = r.module("keys", 0), 0
		r.events("a", "p").run(spec, func(e *engine.Engine) {
			if got, err := ask(r, e); err == nil {
				r.Errorf("it answers %q", got)
			}
		})
	}},
	{[]string{"G1", "G3"}, "migrate is called once, after init and restore, and its writes stay", func(r *rig) {
		r.events("a", "p").run(r.spec("counts", swap(1)), func(e *engine.Engine) { r.state(e, "n", "0001") })
		before := len(r.lines())
		r.events("a", "p").run(r.spec("counts+2", swap(2)), func(e *engine.Engine) { r.state(e, "n", "0002", "migrate", "1") })
		if got := r.lines()[before:]; !subsequence(got, "init", "restore", "migrate", "apply") || count(got, "migrate") != 1 {
			r.Errorf("the new module was called %q", got)
		}
	}},
	{[]string{"G4"}, "a migrate that fails leaves nothing, and the module before goes on", func(r *rig) {
		r.events("a", "one").run(r.spec("keys", swap(9)), func(e *engine.Engine) {
			if _, err := e.Declare(r.Context(), r.spec("keys+2", swap(10))); err == nil || len(r.lines("migrate")) != 1 {
				r.Errorf("migrate was called %d times, error %v", len(r.lines("migrate")), err)
			}
			r.events("a", "two")
			r.await(e)
			r.state(e, "last", "two")
		})
	}},
	{[]string{"G5"}, "a swap without a rise of the schema calls no migrate", func(r *rig) {
		r.events("a", "one").run(r.spec("keys", swap(1)), func(*engine.Engine) {})
		r.events("a", "two").run(r.spec("keys+2", swap(1)), func(e *engine.Engine) { r.state(e, "last", "two") })
		if got := r.lines("migrate"); len(got) > 0 {
			r.Errorf("it was called %d times", len(got))
		}
	}},
}

func swap(schema int) func(*engine.Spec) {
	return func(s *engine.Spec) { s.OnChange, s.Schema = engine.SwapCode, schema }
}

func ask(r *rig, e *engine.Engine) (string, error) {
	reading, err := e.Read("p")
	if err != nil {
		return "", err
	}
	defer reading.Close()
	a, err := reading.Query(r.Context(), nil)
	return string(a.Body), err
}

// subsequence reports whether words occur in a list in this order.
func subsequence(list []string, words ...string) bool {
	for _, l := range list {
		if len(words) > 0 && l == words[0] {
			words = words[1:]
		}
	}
	return len(words) == 0
}

func count(list []string, word string) (n int) {
	for _, l := range list {
		if l == word {
			n++
		}
	}
	return n
}

// The engine does around the sandbox what docs/ABI.md says: of batches that fail, of what
// is emitted, of upcasters, migrations and queries.
func TestEngine(t *testing.T) {
	for _, tt := range engineRules {
		t.Run(fmt.Sprint(tt.rules, " ", tt.says), func(t *testing.T) { tt.run(newRig(t)) })
	}
}
