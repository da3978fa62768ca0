package engine

import (
	"encoding/json"
	"time"

	"gnomon/engine/state"
)

// Catalog keeps what operators decide about projections and generations. Every
// change is on disk when the method returns. It is safe for concurrent use.
type Catalog interface {
	// Projection returns the record of a projection; the zero record when there is none.
	Projection(name string) CatalogRecord
	// Update changes the record of a projection. When fn fails nothing is changed.
	Update(name string, fn func(*CatalogRecord) error) error
	// Names lists the projections that have a record, sorted.
	Names() []string
}

// CatalogRecord is what the catalog knows of one projection.
type CatalogRecord struct {
	Live        string             `json:"live,omitempty"`      // id of the generation that readers see
	Candidate   string             `json:"candidate,omitempty"` // id of the one that is built to take over; empty: none
	Previous    string             `json:"previous,omitempty"`  // id of the one that was read before, and follows still; empty: none
	Generations []GenerationRecord `json:"generations,omitempty"`
	Changes     []Change           `json:"changes,omitempty"` // oldest first, the last maxChanges
	Snapshots   []Snapshot         `json:"snapshots,omitempty"`
	Origin      *Origin            `json:"origin,omitempty"`
	Emission    *Emission          `json:"emission,omitempty"` // nil: nothing was ever emitted
	Accepted    []Acceptance       `json:"accepted,omitempty"` // oldest first
	Paused      bool               `json:"paused,omitempty"`
	Rebuilds    int                `json:"rebuilds,omitempty"` // that were asked for
}

// Origin is where a projection began. "New" and a time mean another sequence every
// day: later generations begin where the first one did.
type Origin struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"` // of the stream
	Start    string    `json:"start"`   // as configured
	Sequence uint64    `json:"seq"`     // before the first event
}

// GenerationRecord is what the catalog knows of one generation.
type GenerationRecord struct {
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
	// Past is what it ran before its code was exchanged, oldest first, the last maxPast.
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

// maxPast bounds what a generation remembers of what it ran: the modules are kept with it.
const maxPast = 20

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
func (r *CatalogRecord) Withdrawn() bool {
	return len(r.Changes) > 0 && r.Changes[len(r.Changes)-1].Kind == Withdrawn
}
