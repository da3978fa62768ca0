package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// Format is the version of the format that this package writes, and reads.
const Format = 1

// Errors of reading. They are wrapped with what is wrong.
var (
	// ErrFormat says that a file is no archive, or one of a format that this engine does
	// not know.
	ErrFormat = errors.New("not an archive that this engine reads")
	// ErrDamaged says that an archive is not as it was written.
	ErrDamaged = errors.New("archive is damaged")
	// ErrForeign says that an archive is of something else than what is asked for.
	ErrForeign = errors.New("archive is of something else")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// About says whose state an archive has.
type About struct {
	Engine     string          `json:"engine,omitempty"` // version of the engine that wrote it
	Projection string          `json:"projection"`
	Generation string          `json:"generation"`         // names the keyspace that it was written from
	Identity   string          `json:"identity,omitempty"` // of module, settings and source, see engine.Spec.Generation
	Source     string          `json:"source,omitempty"`   // of the events alone
	Module     string          `json:"module"`             // digest
	Settings   json.RawMessage `json:"settings,omitempty"`
	Origin     *catalog.Origin `json:"origin,omitempty"` // where the projection began
}

// Manifest says what an archive has.
type Manifest struct {
	About
	Created time.Time `json:"created"` // when it was written
	// Base is the checkpoint that an incremental archive builds upon; nil: it is full.
	Base *Point `json:"base,omitempty"`
	// Steps are the checkpoints that the rows lead to, one after the other. The last one is
	// what the archive is of.
	Steps []Point `json:"steps"`
}

// Point is a checkpoint with its version.
type Point struct {
	Version    state.Version    `json:"version"`
	Checkpoint state.Checkpoint `json:"checkpoint"`
}

func pointOf(c state.Checkpoint) Point { return Point{c.Version, c} }

func (p Point) checkpoint() state.Checkpoint {
	p.Checkpoint.Version = p.Version
	return p.Checkpoint
}

// Full reports whether the archive has all of the state.
func (m *Manifest) Full() bool { return m.Base == nil }

// Checkpoint is what the archive is of: where in which stream it stands, and what the
// state amounts to.
func (m *Manifest) Checkpoint() state.Checkpoint { return m.Steps[len(m.Steps)-1].checkpoint() }

// steps are the manifest's as an import has them.
func (m *Manifest) steps() state.Import {
	var in state.Import
	if m.Base != nil {
		base := m.Base.checkpoint()
		in.Base = &base
	}
	for _, s := range m.Steps {
		in.Steps = append(in.Steps, s.checkpoint())
	}
	return in
}

// Check fails with ErrForeign unless the archive is of what is asked for: of this
// projection, identity, source and module. An empty field takes any.
func (m *Manifest) Check(want About) error {
	for _, c := range []struct{ what, is, want, way string }{
		{"projection", m.Projection, want.Projection, "import it there"},
		{"source", m.Source, want.Source, "stream, subjects, start, key or upcasters differ"},
		{"module", m.Module, want.Module, "deploy that module first"},
		{"generation", m.Identity, want.Identity, "module, settings or source differ"},
	} {
		if c.want != "" && c.is != c.want {
			return fmt.Errorf("%w: it is of %s %.80q, and not of %.80q: %s", ErrForeign, c.what, c.is, c.want, c.way)
		}
	}
	return nil
}

// Trailer is the end of an archive.
type Trailer struct {
	Steps  []Counts `json:"steps"`  // as in the manifest
	SHA256 string   `json:"sha256"` // of every byte before the trailer's block, in hex
}

// Counts are the numbers of rows of a step.
type Counts struct {
	Keys           int64 `json:"keys"`
	Deleted        int64 `json:"deleted,omitempty"` // keys
	Letters        int64 `json:"letters,omitempty"`
	LettersDeleted int64 `json:"letters_deleted,omitempty"`
	MemoryParts    int64 `json:"memory_parts,omitempty"`
}

func (c *Counts) count(r state.Row) {
	switch {
	case r.Kind == state.OfMemory:
		c.MemoryParts++
	case r.Kind == state.OfLetters && r.Deleted:
		c.LettersDeleted++
	case r.Kind == state.OfLetters:
		c.Letters++
	case r.Deleted:
		c.Deleted++
	default:
		c.Keys++
	}
}
