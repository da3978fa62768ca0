package engine_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// simWorld is what a simulation plays in: a stream, a store, and the engine's process,
// which comes and goes. All of it is in a bubble.
type simWorld struct {
	t       *testing.T
	dice    *dice
	seen    *trace
	server  *enginetest.Server
	store   *enginetest.Store
	catalog *enginetest.Catalog
	disk    disk
	sky     atomic.Pointer[weather]
	level   atomic.Int64

	log         []simEvent // of the stream, by sequence
	skew        time.Duration
	first       uint64 // that the stream holds
	projections []*simProjection
	life        *life
	held        []heldReading
	changes     bool // modules may be changed; else the stream may be trimmed
	restores    bool // what was declared before can be run again
	outlet      *enginetest.Outlet

	mu    sync.Mutex
	gens  map[string]*simGeneration
	wrong string // what a goroutine of the engine found to be wrong
}

// simProjection is a projection whatever its module is at present.
type simProjection struct {
	simTraits
	floor floor // under which readers must not fall
	told  simEmits
}

// floor is what readers have seen. Durable is the part of it that a crash of the machine
// must leave.
type floor struct {
	seen, durable uint64
	any, some     bool // seen at all, durable at all
	loose         bool // the stream is another: what is seen may go back
}

// simGeneration is one keyspace, with what may have been ordered there.
type simGeneration struct {
	simTraits
	id       string
	keyspace *enginetest.Keyspace
	levels   []simLevel
	scripts  [][]simOrder  // one of them is what happened
	checked  state.Version // commits up to it were held against the model
	begun    bool          // where it begins was
	prefix   []simEvent    // what it has read of a history that is the stream's no more; nil: nothing
	other    bool          // which it has not noticed yet, or not found a way out of
}

type heldReading struct {
	*engine.Reading
	digest state.Digest
}

// simFailure ends a simulation.
type simFailure string

func (w *simWorld) failf(format string, args ...any) { panic(simFailure(fmt.Sprintf(format, args...))) }

// violate notes what is wrong, from any goroutine.
func (w *simWorld) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
		w.seen.saw("WRONG: %s", w.wrong)
	}
}

func (w *simWorld) failIfWrong() {
	w.mu.Lock()
	wrong := w.wrong
	w.mu.Unlock()
	if wrong != "" {
		w.failf("%s", wrong)
	}
}

func newSimWorld(t *testing.T, d *dice, seen *trace) *simWorld {
	w := &simWorld{
		t: t, dice: d, seen: seen, server: new(enginetest.Server), store: new(enginetest.Store), catalog: new(enginetest.Catalog),
		gens: map[string]*simGeneration{}, first: 1,
	}
	w.server.Create(streamName)
	w.openOutlet()
	w.calm()
	r := d.of("world")
	w.changes, w.restores = r.IntN(3) > 0, r.IntN(3) > 0
	for i := range 1 + r.IntN(3) {
		p := drawProjection(r, string(rune('p'+i)))
		p.upcast = d.of("upcasters of %s", p.name).IntN(3) == 0
		p.drawEmits(d.of("emits of %s", p.name))
		w.projections = append(w.projections, p)
	}
	for _, p := range w.projections {
		seen.step("projection %+v", p.simTraits)
	}
	return w
}

func drawProjection(r *rand.Rand, name string) *simProjection {
	policies := []engine.Policy{engine.Halt, engine.Skip, engine.DeadLetter, engine.Quarantine, engine.Quarantine}
	s := simTraits{name: name, version: 1, policy: policies[r.IntN(len(policies))], letters: []int{3, 12, 1000}[r.IntN(3)]}
	s.keep, s.swaps, s.promote = drawKeep(r), r.IntN(2) == 0, drawPromotion(r)
	s.memory, s.whole, s.keyed, s.picky = r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(4) > 0, r.IntN(3) == 0
	switch r.IntN(5) {
	case 0:
		s.start.New = true
	case 1:
		s.start.Sequence = 1 + uint64(r.IntN(9))
	}
	return &simProjection{simTraits: s}
}

// calm ends all trouble.
func (w *simWorld) calm() {
	w.sky.Store(&weather{})
	w.server.SetDown(false)
	w.server.SetSilent(false)
	w.disk.free.Store(5000 << 20)
}

// start starts the engine's process with what is configured at present.
func (w *simWorld) start() {
	r := w.dice.of("start after %d steps", w.seen.count())
	l := &life{dice: w.dice, sky: &w.sky, seen: w.seen, over: make(chan struct{})}
	l.engine = engine.New(engine.Options{
		Source: simSource{l, w.server}, Store: simStore{l, w}, Catalog: simCatalog{w.catalog, l, w},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Space: &w.disk, Reserve: 1000 << 20,
		Restore: w.restorer(r, l), Outlet: simOutlet{l, w},
	})
	w.life = l
	w.store.Abandon()
	var refused []*simProjection
	for _, p := range w.projections {
		plan, err := l.engine.Declare(w.t.Context(), w.specOf(r, l, p, p.simTraits))
		if err != nil && plan.Action == engine.ActSwap { // what ran goes on
			refused = append(refused, p)
			err = l.engine.Refuse(w.t.Context(), p.name, err)
		}
		if err != nil {
			w.failf("start: %v", err)
		}
	}
	l.engine.Start(w.t.Context())
	for _, p := range refused {
		w.calm()
		if !w.declare(r, p) {
			w.failf("%s cannot be declared", p.name)
		}
	}
}

// specOf is the spec of a projection with some traits, in one life.
func (w *simWorld) specOf(r *rand.Rand, l *life, p *simProjection, traits simTraits) engine.Spec {
	spec := traits.spec(r, &w.level, func(seq uint64) { w.glance(l, p, seq) })
	spec.Module = &simModule{Module: spec.Module, life: l, name: p.name}
	for i := range spec.Upcasters {
		u := &spec.Upcasters[i]
		u.Module = &simModule{Module: u.Module, life: l, name: p.name}
	}
	return spec
}

// opened notes a keyspace that a life opens.
func (w *simWorld) opened(name, id string, ks *enginetest.Keyspace) {
	record := w.catalog.Projection(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.projections {
		if p.name == name && w.gens[name+id] == nil {
			traits := p.simTraits
			for _, g := range record.Generations {
				if g.ID == id {
					traits = traits.as(g.Declaration)
				}
			}
			ks.Max = []state.TxLimit{{Writes: 40, Bytes: 1 << 20}, {Writes: 1000, Bytes: 40_000}, {Writes: 1000, Bytes: 1 << 20}}[int(w.dice.roll("limit "+name)*3)]
			w.gens[name+id] = &simGeneration{
				simTraits: traits, id: id, keyspace: ks, scripts: [][]simOrder{nil}, levels: []simLevel{{0, int(w.level.Load())}},
				other: record.Rebuilds == 0 && p.beginsBefore(w.first),
			}
		}
	}
}

// removed notes that a life removed a keyspace, which nobody may need.
func (w *simWorld) removed(name, id string) {
	if r := w.catalog.Projection(name); id == r.Live || id == r.Candidate || id == r.Previous {
		w.violate("%s: keyspace %s is removed, though it has a role: %s, %s, %s", name, id, r.Live, r.Candidate, r.Previous)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.gens, name+id)
}

func (w *simWorld) generations() (all []*simGeneration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.gens {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *simGeneration) int { return slices.Compare([]byte(a.name+a.id), []byte(b.name+b.id)) })
	return all
}

// glance is the guest's side of it: now and then it takes its time, and a look at what
// is served while a batch is under way.
func (w *simWorld) glance(l *life, p *simProjection, seq uint64) {
	if seq%5 == 0 {
		l.dawdle("guest " + p.name)
	}
	if seq%7 == 0 && !l.isOver() {
		w.readFloor(l, p)
	}
}

// readFloor holds what is served against what was served before.
func (w *simWorld) readFloor(l *life, p *simProjection) {
	w.mu.Lock()
	was := p.floor
	w.mu.Unlock()
	reading, err := l.engine.Read(p.name)
	switch {
	case errors.Is(err, engine.ErrNotReady):
		if was.any && !was.loose {
			w.violate("%s: nothing is served, though %d was", p.name, was.seen)
		}
		return
	case errors.Is(err, errDisk):
		return
	case err != nil:
		w.violate("%s: read: %v", p.name, err)
		return
	}
	defer reading.Close()
	at := reading.Checkpoint.Position.Sequence
	if at < was.seen && !was.loose {
		w.violate("%s: what is served went back from %d to %d", p.name, was.seen, at)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &p.floor
	f.any, f.seen = true, max(f.seen, at)
	if g := w.gens[p.name+reading.Generation]; g != nil {
		if v := g.keyspace.Durable(); v > 0 && v <= reading.Checkpoint.Version {
			f.some, f.durable = true, max(f.durable, v.Sequence())
		}
	}
}

// hold keeps a reading open over what follows.
func (w *simWorld) hold(name string) {
	if reading, err := w.life.engine.Read(name); err == nil {
		w.held = append(w.held, heldReading{reading, reading.Checkpoint.Digest})
		w.failIfNot(reading)
	}
}

// release ends the readings that are held, which have not changed.
func (w *simWorld) release() {
	for _, h := range w.held {
		if d := digestOf(scanned(h.View)); d != h.digest {
			w.failf("a reading at %d changed while it was open", h.Checkpoint.Position.Sequence)
		}
		h.Close()
	}
	w.held = nil
}

// stop ends the process: in good order, or from one moment to the next, and the machine
// with it.
func (w *simWorld) stop(how string) {
	w.release()
	l := w.life
	if how != "stop" {
		l.end(how)
	}
	done := make(chan error, 1)
	go func() { done <- l.engine.Close() }()
	select {
	case err := <-done:
		if err != nil && !l.isOver() {
			w.failf("close: %v", err)
		}
	case <-time.After(time.Hour): // of the bubble
		panic("the engine does not close:\n" + w.seen.last())
	}
	crashed := l.isOver()
	l.end("closed")
	for _, p := range w.projections {
		if open := w.store.Opened(p.name); !crashed && len(open) > 0 {
			w.failf("%s: keyspaces are still open: %v", p.name, open)
		}
	}
	if n := l.views.Load(); n != 0 {
		w.failf("%d views were not closed", n)
	}
	if _, open := w.server.Readers(); open != 0 {
		w.failf("%d readers were not closed", open)
	}
	for _, g := range w.generations() {
		g.keyspace.Crash(how == "power")
		if how == "power" {
			g.mayHaveLost()
		}
	}
	if !crashed {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.projections {
		if how == "power" {
			p.floor.any, p.floor.seen = p.floor.some, p.floor.durable
		}
	}
}

// append stores n events.
func (w *simWorld) append(r *rand.Rand, n int) {
	kinds := []simKind{simAdd, simAdd, simAdd, simAdd, simAdd, simAdd, simAdd, simClear, simSpare, simAdd, simAdd, simAdd, simPoison, simOdd}
	for i := range n {
		kind := kinds[r.IntN(len(kinds))]
		if len(w.log)%4 > 0 && kind == simPoison {
			kind = simAdd
		}
		e := simEvent{subject: fmt.Sprintf("%c.k%d", "aab"[r.IntN(3)], r.IntN(7)), data: fmt.Appendf(nil, "%c%d-%d", kind, 1+r.IntN(3), r.IntN(1000))}
		e.time = time.Now().Add(w.skew)
		e.seq = w.server.Store(streamName, abi.Record{Subject: []byte(e.subject), Headers: asOne(len(w.log), i == n-1), Data: e.data})
		w.log = append(w.log, e)
	}
}

// asOne are the headers of every other ten events: some are published as one, and of some of
// those the end is missing.
func asOne(n int, last bool) []byte {
	if n/10%2 == 0 {
		return nil
	}
	h, _ := abi.AppendHeader(nil, "Nats-Batch-Id", fmt.Sprint(n/10))
	if (last || n%10 == 9) && n/10%6 < 5 {
		h, _ = abi.AppendHeader(h, "Nats-Batch-Commit", "1")
	}
	return h
}

func (w *simWorld) last() uint64 { return uint64(len(w.log)) }

// sleep lets the bubble's time pass, and gives up when something is wrong.
func (w *simWorld) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	w.failIfWrong()
}
