package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// simEmits is what the model knows of the events that a projection emits.
type simEmits struct {
	from    uint64 // events up to there emit nothing
	known   bool   // from is
	skip    uint64 // what the target stream held when the history had changed
	between bool   // it is changing
}

// drawEmits draws what a projection emits. That does not depend on its module's version.
func (p *simProjection) drawEmits(r *rand.Rand) {
	p.emits, p.retells = r.IntN(3) > 0, r.IntN(2) == 0
	p.waits = []int{0, 6, 60, 1000}[r.IntN(4)]
}

// openOutlet makes the stream that is published to, and what publishes.
func (w *simWorld) openOutlet() {
	w.server.CreateFor(targetStream, "out.>")
	w.outlet = enginetest.NewOutlet(w.server)
	w.outlet.Window = []time.Duration{0, 2 * time.Minute}[w.dice.of("window").IntN(2)]
	w.outlet.Break(func(group []streams.Message) enginetest.Fault {
		p := w.sky.Load().outlet
		if !w.dice.hit("outlet", p) {
			return enginetest.NoFault
		}
		fault := []enginetest.Fault{enginetest.Lost, enginetest.AckLost, enginetest.Torn, enginetest.Refused}[int(w.dice.roll("what fault")*4)]
		w.seen.saw("publishing %s and %d more: fault %d", group[0].ID, len(group)-1, fault)
		return fault
	})
}

// emitCount is how many events the guest emits for one.
func emitCount(seq uint64) int { return 1 + int(seq%3) }

// emit emits for an event.
func (g *simGuest) emit(seq uint64, st guest.State) error {
	if !g.emits {
		return nil
	}
	for i := range emitCount(seq) {
		if err := st.Emit(state.Emit{Subject: "out." + g.name, Data: fmt.Appendf(nil, "%d %d", seq, i)}); err != nil {
			return err
		}
	}
	return nil
}

// simOutlet is the outlet as one life sees it.
type simOutlet struct {
	*life
	world *simWorld
}

func (o simOutlet) source() simSource { return simSource{o.life, o.world.server} }

// StreamFor implements streams.Outlet.
func (o simOutlet) StreamFor(ctx context.Context, subject string) (streams.Info, error) {
	if err := o.source().fails("stream for"); err != nil {
		return streams.Info{}, err
	}
	return o.world.outlet.StreamFor(ctx, subject)
}

// Publish implements streams.Outlet. The process may end before, between or after.
func (o simOutlet) Publish(ctx context.Context, stream string, messages []streams.Message) (n int, last uint64, err error) {
	o.dawdle("publish")
	given := len(messages)
	messages = messages[:1+int(o.dice.roll("publish")*float64(given))%given]
	if err := o.durable(messages); err != nil {
		o.world.violate("%v", err)
	}
	err = o.do("publish", func() error {
		n, last, err = o.world.outlet.Publish(ctx, stream, messages)
		return err
	})
	if errors.Is(err, errCrashed) {
		return 0, 0, fmt.Errorf("%w: %w", streams.ErrSourceDown, err)
	}
	if err == nil && n < given {
		err = errPart
	}
	return n, last, err
}

var errPart = fmt.Errorf("%w: it takes no more at once", streams.ErrRefused)

// durable checks that what causes messages would survive a crash of the machine.
func (o simOutlet) durable(messages []streams.Message) error {
	name, _, _ := strings.Cut(messages[0].ID, "/")
	for _, g := range o.world.generations() {
		record := o.world.catalog.Projection(name)
		if g.name != name || g.id != record.Live {
			continue
		}
		for _, m := range messages {
			if d := g.keyspace.Durable(); d.Sequence() < m.Group {
				return fmt.Errorf("%s is published, and durable is %d", m.ID, d.Sequence())
			}
		}
	}
	return nil
}

// Stored implements streams.Outlet.
func (o simOutlet) Stored(ctx context.Context, stream string, subjects []string, after uint64, fn func(id string, sequence uint64) bool) error {
	o.dawdle("stored")
	if err := o.source().fails("stored"); err != nil {
		return err
	}
	return o.world.outlet.Stored(ctx, stream, subjects, after, fn)
}

// MaxBytes implements streams.Outlet.
func (o simOutlet) MaxBytes() int { return o.world.outlet.MaxBytes() }

// published reports whether what is read has published all that it emitted.
func (w *simWorld) published(g simRole, s engine.Status) bool {
	return g.role != engine.RoleLive || s.Emits == nil || s.Emits.Waiting == 0
}

// waitsForLive reports whether a generation is so far ahead of what is read that it takes no
// more events.
func waitsForLive(s engine.Status) bool {
	return s.State == engine.Stalled && strings.Contains(s.Reason, "the generation that is read has not come that far")
}

// recordedEmits notes where a projection begins to emit. That never goes back.
func (w *simWorld) recordedEmits(name string, before, after catalog.Record) {
	if after.Emission == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.projections {
		if p.name == name && !p.told.known {
			p.told.from, p.told.known = after.Emission.Through, true
		}
	}
}

// rewriteEmits notes that the history changes.
func (w *simWorld) rewriteEmits() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.projections {
		p.told.between = true
	}
}

// settleEmits begins anew with what is emitted, once a projection is at rest in the history
// that there is: what was emitted before is of another one.
func (w *simWorld) settleEmits(p *simProjection) {
	s := w.status(p)
	info, err := w.server.Stream(w.t.Context(), targetStream)
	if g := w.generation(p); g == nil || g.other || err != nil || s.State != engine.Live && s.State != engine.Halted {
		return
	}
	from := s.Committed
	if e := w.catalog.Projection(p.name).Emission; e != nil {
		from = max(from, e.Through)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.told = simEmits{from: from, known: true, skip: info.Last}
}

// simEmitted is what a target stream holds for one event.
type simEmitted struct {
	count int
	at    int // place among all events for which there is something
}

// checkEmitted holds what is emitted against the model: everything once, and in order; at
// rest also nothing too little.
func (w *simWorld) checkEmitted(p *simProjection, rests bool) {
	w.mu.Lock()
	e := p.told
	w.mu.Unlock()
	if e.between && rests {
		w.settleEmits(p)
	}
	if !p.emits || e.between {
		return
	}
	emitted := w.emittedBy(p, e.skip)
	for seq, m := range emitted {
		if rests && m.count != emitCount(seq) {
			s := w.status(p)
			w.failf("%s: of event %d %d are emitted, want %d: %+v, %+v", p.name, seq, m.count, emitCount(seq), s, s.Emits)
		}
		retried := e.skip > 0 && p.policy != engine.Halt && p.policy != engine.Skip // of before
		if seq <= e.from && !retried {
			w.failf("%s: event %d is emitted for, and those up to %d must not be", p.name, seq, e.from)
		}
	}
	g := w.generation(p)
	if !rests || g == nil || !e.known || len(g.keyspace.Checkpoints()) == 0 {
		return
	}
	newest, err := g.keyspace.Latest()
	if err != nil {
		return
	}
	s := w.status(p)
	if s.State != engine.Live && s.State != engine.Halted {
		return
	}
	o := w.observe(g, newest)
	from := max(e.from, g.keyspace.Checkpoints()[0].Position.Sequence)
	tainted := map[string]bool{}
	for i := range w.log {
		ev := &w.log[i]
		fails := ev.kind() == simPoison || ev.kind() == simOdd
		if fails {
			tainted[ev.account()] = true
		}
		if ev.seq <= from || ev.seq > newest.Position.Sequence || !p.picks(ev.subject) || ev.deleted {
			continue
		}
		_, has := emitted[ev.seq]
		applied := o.read[ev.seq] && o.letters[ev.seq] == ""
		switch {
		case !w.changes && e.skip == 0 && has != applied: // there is one generation
			w.failf("%s: event %d is applied: %v, and emitted for: %v", p.name, ev.seq, applied, has)
		case has || fails || o.letters[ev.seq] != "" || w.wasAside(p, ev.seq) || p.policy == engine.Quarantine && tainted[ev.account()]:
			// whether it was applied when it was to emit, the model does not know
		default:
			w.failf("%s (%+v): nothing is emitted for event %d, though it is applied up to %d: %+v, %+v", p.name, p.simTraits, ev.seq, newest.Position.Sequence, s, s.Emits)
		}
	}
}

// wasAside reports whether an event was set aside by the generation that was read before.
func (w *simWorld) wasAside(p *simProjection, seq uint64) bool {
	e := w.catalog.Projection(p.name).Emission
	return e != nil && slices.Contains(e.Except, seq)
}

// emittedBy reads what a projection has emitted, and checks that nothing came twice, and in
// which order.
func (w *simWorld) emittedBy(p *simProjection, after uint64) map[uint64]simEmitted {
	all := map[uint64]simEmitted{}
	ids := map[string]bool{}
	info, err := w.server.Stream(w.t.Context(), targetStream)
	if err != nil {
		return nil // the server is down
	}
	var last uint64
	place := -1
	for seq := after + 1; seq <= info.Last; seq++ {
		m, err := w.server.Event(w.t.Context(), targetStream, seq)
		if err != nil || string(m.Subject) != "out."+p.name {
			continue
		}
		id := idOf(m)
		var cause uint64
		var n int
		if _, err := fmt.Sscanf(string(m.Data), "%d %d", &cause, &n); err != nil {
			w.failf("%s: emitted is %q", p.name, m.Data)
		}
		if ids[id] || !strings.HasSuffix(id, fmt.Sprintf("/%d/%d", cause, n)) {
			w.failf("%s: %q is emitted as %s, which is there already: %v", p.name, m.Data, id, ids[id])
		}
		ids[id] = true
		if cause != last {
			place++
		}
		mark := all[cause]
		if mark.count != n || mark.count > 0 && cause != last {
			w.failf("%s: %q is emitted after %d of that event, and after event %d", p.name, m.Data, mark.count, last)
		}
		if cause < last && (p.policy == engine.Halt || p.policy == engine.Skip) {
			w.failf("%s: event %d is emitted for after event %d", p.name, cause, last)
		}
		all[cause], last = simEmitted{mark.count + 1, place}, cause
	}
	return all
}

func idOf(m abi.Record) string {
	id, _ := m.Header("Nats-Msg-Id")
	return string(id)
}
