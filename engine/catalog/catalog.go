package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/state"
)

// Catalog keeps what operators decide about projections and generations. Every
// change is on disk when the method returns. It is safe for concurrent use.
type Catalog interface {
	// Projection returns the record of a projection; the zero record when there is none.
	Projection(name string) Record
	// Update changes the record of a projection. When fn fails nothing is changed.
	Update(name string, fn func(*Record) error) error
	// Names lists the projections that have a record, sorted.
	Names() []string
}

// Record is what the catalog knows of one projection.
type Record struct {
	Live        string       `json:"live,omitempty"`      // id of the generation that readers see
	Candidate   string       `json:"candidate,omitempty"` // id of the one that is built to take over; empty: none
	Previous    string       `json:"previous,omitempty"`  // id of the one that was read before, and follows still; empty: none
	Generations []Generation `json:"generations,omitempty"`
	Changes     []Change     `json:"changes,omitempty"` // oldest first, the last maxChanges
	Snapshots   []Snapshot   `json:"snapshots,omitempty"`
	Origin      *Origin      `json:"origin,omitempty"`
	Emission    *Emission    `json:"emission,omitempty"` // nil: nothing was ever emitted
	Accepted    []Acceptance `json:"accepted,omitempty"` // oldest first
	Paused      bool         `json:"paused,omitempty"`
	Rebuilds    int          `json:"rebuilds,omitempty"` // that were asked for
}

// Origin is where a projection began. "New" and a time mean another sequence every
// day: later generations begin where the first one did.
type Origin struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"` // of the stream
	Start    string    `json:"start"`   // as configured
	Sequence uint64    `json:"seq"`     // before the first event
}

// Generation is what the catalog knows of one generation.
type Generation struct {
	ID       string    `json:"id"`                 // names its keyspace
	Identity string    `json:"identity,omitempty"` // of what runs in it, see Spec.Generation; it changes with a swap
	Source   string    `json:"source,omitempty"`   // of its events, see Spec.Source
	Module   string    `json:"module"`             // digest
	Schema   int       `json:"schema,omitempty"`   // as declared
	Memory   bool      `json:"memory,omitempty"`   // its module keeps state in its own memory
	Created  time.Time `json:"created"`
	Retired  time.Time `json:"retired,omitzero"`   // when it stopped being live
	Auto     bool      `json:"auto,omitempty"`     // it takes over by itself once it has caught up, whatever its projection declares
	Declined bool      `json:"declined,omitempty"` // readers were taken back from it: it does not take over by itself
	Dropped  bool      `json:"dropped,omitempty"`  // it is being removed
	// Declaration is what it was declared as, for whoever made its Spec to make it again.
	Declaration json.RawMessage `json:"declaration,omitempty"`
	// Past is what it ran before its code was exchanged, oldest first, the last MaxPast.
	Past []Stint `json:"past,omitempty"`
}

// Stint is what a generation ran until its code was exchanged. It is kept so that a replay
// of what it applied does the same.
type Stint struct {
	Identity    string          `json:"identity"` // see Spec.Generation
	Module      string          `json:"module"`   // digest
	Schema      int             `json:"schema,omitempty"`
	Through     state.Version   `json:"through"` // of the last commit that it made
	Declaration json.RawMessage `json:"declaration,omitempty"`
}

// MaxPast bounds what a generation remembers of what it ran: the modules are kept with it.
const MaxPast = 20

// Snapshot is a named, pinned version of a projection's state.
type Snapshot struct {
	Name       string        `json:"name"`
	Generation string        `json:"generation"`
	Version    state.Version `json:"version"`
	Memory     state.Version `json:"memory,omitzero"` // of the snapshot of the guest's memory to go on from; 0: there is none
	Sequence   uint64        `json:"sequence"`
	Time       time.Time     `json:"time"`    // of the last event it reflects
	Created    time.Time     `json:"created"` // when it was taken
	Keys       int64         `json:"keys"`
	Bytes      int64         `json:"bytes"`
	Digest     state.Digest  `json:"digest"`
}

// Withdrawn reports whether the projection was stopped as no longer declared, and nothing
// has been declared since.
func (r *Record) Withdrawn() bool {
	return len(r.Changes) > 0 && r.Changes[len(r.Changes)-1].Kind == Withdrawn
}

// Acceptance records that an operator had a projection go on though its stream is not
// the one that it read, or lost events that it did not.
type Acceptance struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"` // the operator's words
	Code   string    `json:"code"`   // of the HistoryError
	Facts  string    `json:"facts"`  // what was found
	From   uint64    `json:"from"`   // position before
	To     uint64    `json:"to"`     // and after: events between them were never applied
}

// Emission is what a projection has emitted, whichever of its generations did: it goes on
// with the next one that is read. It is not changed in place.
type Emission struct {
	// Lineage is a part of the identity of every emitted event. It is another one when the
	// sequences of the stream mean other events than before.
	Lineage string `json:"lineage"`
	// Through is the sequence up to which events emit nothing any more: they are of the
	// history, or a generation that was read before has emitted what came of them.
	Through uint64 `json:"through"`
	// Former are the lineages before this one, of events that the generation that is read
	// had emitted, and not published yet, when it went on with another history of the stream.
	Former []string `json:"former,omitempty"`
	// Except are those up to there that were set aside by the generation that was read
	// before: when they are retried they emit.
	Except []uint64 `json:"except,omitempty"`
	// Targets are the streams that were published to, as they were before the first event,
	// or when a generation took over.
	Targets []state.Mark `json:"targets,omitempty"`
}

// Silent reports whether an event emits nothing.
func (e *Emission) Silent(cause uint64) bool {
	if cause > e.Through {
		return false
	}
	_, excepted := slices.BinarySearch(e.Except, cause)
	return !excepted
}

// PassesOver reports whether an emitted event is not to be published.
func (e *Emission) PassesOver(r *state.OutboxRow) bool {
	return e.Silent(r.Cause) && !slices.Contains(e.Former, r.Lineage)
}

// Target is the mark of a stream, or nil.
func (e *Emission) Target(stream string) *state.Mark {
	if e == nil {
		return nil
	}
	i := slices.IndexFunc(e.Targets, func(m state.Mark) bool { return m.Stream == stream })
	if i < 0 {
		return nil
	}
	return &e.Targets[i]
}

// WithTarget is the emission with a mark, in place of that of the same stream.
func (e *Emission) WithTarget(m state.Mark) *Emission {
	if e == nil {
		return nil
	}
	next := *e
	next.Targets = slices.DeleteFunc(slices.Clone(e.Targets), func(o state.Mark) bool { return o.Stream == m.Stream })
	next.Targets = append(next.Targets, m)
	return &next
}

// Snapshot returns the snapshot of a name, which must be one of a generation. It fails with
// ErrNoSnapshot.
func (r Record) Snapshot(name, generation string) (Snapshot, error) {
	i := slices.IndexFunc(r.Snapshots, func(s Snapshot) bool { return s.Name == name })
	switch {
	case i < 0:
		return Snapshot{}, fmt.Errorf("%w: %q", ErrNoSnapshot, name)
	case r.Snapshots[i].Generation != generation:
		return Snapshot{}, fmt.Errorf("%w of this generation: %q is one of generation %s, and this is %s", ErrNoSnapshot, name, r.Snapshots[i].Generation, generation)
	}
	return r.Snapshots[i], nil
}

// Generation returns the record of a generation; ok is false when there is none.
func (r Record) Generation(id string) (g Generation, ok bool) {
	if found := r.Find(id); found != nil {
		return *found, true
	}
	return g, false
}

// SwappedSince reports whether the code of a generation was exchanged after a time: from
// then on its events are applied by another module, or under other settings.
func (r Record) SwappedSince(generation string, t time.Time) bool {
	return slices.ContainsFunc(r.Changes, func(c Change) bool {
		return c.Generation == generation && (c.Kind == Swapped || c.Kind == Migrated) && c.Time.After(t)
	})
}

// PastOf returns what a generation was declared as when it had an identity.
func (r *Record) PastOf(generation, identity string) (*Generation, bool) {
	g := r.Find(generation)
	if g == nil || identity == "" {
		return nil, false
	}
	if g.Identity == identity {
		return g, true
	}
	for _, was := range g.Past {
		if was.Identity == identity {
			return &Generation{ID: g.ID, Identity: was.Identity, Module: was.Module, Schema: was.Schema, Declaration: was.Declaration}, true
		}
	}
	return nil, false
}

// needed are the versions that have to be kept for a snapshot: its own, and that of the
// memory which a guest that keeps state there goes on from, so that it can be exported.
func (s Snapshot) Versions() []state.Version {
	if s.Memory == 0 {
		return []state.Version{s.Version}
	}
	return []state.Version{s.Version, s.Memory}
}

// ErrNoSnapshot says that a projection has no snapshot of that name.
var ErrNoSnapshot = errors.New("no such snapshot")
