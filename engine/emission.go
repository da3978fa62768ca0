package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

func newLineage() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// rights say what a generation may emit.
type rights struct {
	live bool // it is the generation that is read
	// shared is what the projection has emitted, as the catalog has it; nil: nothing yet.
	shared *atomic.Pointer[catalog.Emission]
	// floor is, for a generation that is not read, up to where the one that is has dealt
	// with the stream for good. What is emitted of later events is kept until that has
	// passed them, for it may stop before, and this one take over.
	floor func() uint64
}

// emission is what the projection has emitted; nil: nothing yet.
func (r *rights) emission() *catalog.Emission {
	if r == nil {
		return nil
	}
	return r.shared.Load()
}

// silent reports whether an event emits nothing, as far as is known.
func (r *rights) silent(cause uint64) bool {
	if r == nil {
		return true
	}
	e := r.emission()
	switch {
	case !r.live:
		return cause <= r.floor() || e != nil && cause <= e.Through
	case e == nil:
		return false
	}
	return e.Silent(cause)
}

// mayPublish reports whether what is emitted may be published now.
func (r *rights) mayPublish() bool { return r != nil && r.live && r.emission() != nil }

// grantLocked tells each generation what it may emit. The lock is the projection's.
func (p *projection) grantLocked() {
	shareEmission(p.engine.catalog, p.name, &p.emission)
	live := p.live
	for _, g := range p.generationsLocked() {
		g.runner.rights.Store(&rights{live: g == live, shared: &p.emission, floor: func() uint64 {
			switch {
			case live == nil || live.failed != nil:
				return math.MaxUint64
			case live.hasNothing():
				return 0
			case !comparable(live, g):
				return math.MaxUint64
			}
			return live.keyspace.Durable().Sequence()
		}})
		g.runner.changes()
	}
}

// shareEmission makes what is shared that which the catalog has, which others may change at
// the same time.
func shareEmission(c catalog.Catalog, name string, shared *atomic.Pointer[catalog.Emission]) {
	for recorded := c.Projection(name).Emission; ; {
		shared.Store(recorded)
		again := c.Projection(name).Emission
		if again == recorded {
			return
		}
		recorded = again
	}
}

// beginEmission notes where a projection begins to emit, if its module does and that is
// not known yet: after what the stream holds, unless the history is to be emitted for, too.
func (r *Runner) beginEmission(ctx context.Context) error {
	right := r.rights.Load()
	if right == nil || !right.live || right.emission() != nil || !r.spec.Module.Traits().Emits {
		return nil
	}
	first := &catalog.Emission{Lineage: newLineage()}
	if ck, err := r.keyspace.Latest(); err == nil {
		first.Through = ck.Position.Sequence
	}
	if !r.spec.Emit.History {
		info, err := r.source.Stream(ctx, r.spec.Stream)
		if err != nil {
			return &sourceError{err}
		}
		first.Through = max(first.Through, info.Last)
	}
	return r.setEmission(func(e *catalog.Emission) *catalog.Emission {
		if e != nil {
			return e
		}
		r.log.Info("events after this one emit", "sequence", first.Through, "lineage", first.Lineage)
		return first
	})
}

// setEmission changes what is recorded of the projection's emission.
func (r *Runner) setEmission(change func(e *catalog.Emission) *catalog.Emission) error {
	err := r.catalog.Update(r.name, func(rec *catalog.Record) error {
		rec.Emission = change(rec.Emission)
		return nil
	})
	if err != nil {
		return &storeError{fmt.Errorf("note what is emitted: %w", err)}
	}
	if right := r.rights.Load(); right != nil {
		shareEmission(r.catalog, r.name, right.shared)
		r.changes()
	}
	return nil
}

// handOver is the emission that another generation goes on with, which stands at a
// sequence. Both stand still, and everything that was emitted is published.
func (p *projection) handOver(live, other *generation, at uint64) (func(*catalog.Record), error) {
	var aside []uint64
	same := live.hasNothing() || comparable(live, other) && live.runner.State() != Diverged
	if same {
		var err error
		if aside, err = live.letters(); err != nil {
			return nil, fmt.Errorf("read what %s has set aside: %w", live.id, err)
		}
	}
	stood, marks := live.runner.Published().Position.Sequence, live.runner.outbox.knownMarks()
	emits := other.spec != nil && other.spec.Module.Traits().Emits
	return func(r *catalog.Record) {
		if r.Emission == nil && !emits {
			return
		}
		next := &catalog.Emission{Lineage: newLineage(), Through: at}
		if was := r.Emission; was != nil {
			next.Targets = was.Targets
			if same {
				next.Lineage = was.Lineage
				aside = slices.DeleteFunc(aside, was.Silent)
			}
		}
		if same {
			next.Through, next.Except = stood, aside
			if was := r.Emission; was != nil && was.Through > stood { // it is still in the history
				next.Through = was.Through
			}
		}
		for _, m := range marks {
			next = next.WithTarget(m)
		}
		r.Emission = next
	}, nil
}

// hasNothing reports whether a generation has committed nothing, and so emitted nothing.
func (g *generation) hasNothing() bool {
	return g.failed == nil && g.runner.Published().Version == 0
}

// letters are the sequences of the events that a generation has set aside, in order.
func (g *generation) letters() (all []uint64, err error) {
	ck := g.runner.Published()
	if ck.Aside.Letters == 0 {
		return nil, nil
	}
	v, err := g.keyspace.View(ck.Version)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	err = state.ReadLetters(v, 0, func(l state.Letter) bool { all = append(all, l.Sequence); return true })
	return all, err
}
