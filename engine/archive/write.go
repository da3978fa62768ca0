package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"gnomon/engine/state"
)

// Source is what an archive is written from. A state.Keyspace is one.
type Source interface {
	Checkpoint(v state.Version) (state.Checkpoint, error)
	View(v state.Version) (state.View, error)
	Changes(kind state.RowKind, after, at state.Version, within state.KeyRange, fn func(r state.Row) bool) error
	Memory(m state.Memory) (blobs [][]byte, err error)
}

// Export is what to write.
type Export struct {
	Source  Source
	Version state.Version // of the state; there must be a checkpoint at it, and it must be kept readable
	// Since is the version that an incremental archive builds upon; 0: it is full. There must
	// be a checkpoint at it, and it must have been kept readable from then on.
	Since state.Version
	About About
}

// Summary says what was written.
type Summary struct {
	Manifest Manifest
	Trailer  Trailer
	Bytes    int64 // of the file
}

// Write writes an archive. It reads pinned versions, so that commits may go on, and takes
// memory for a few blocks, the largest row, and the blobs of a memory snapshot. What it
// reads is held against the checkpoints: it fails with state.ErrContent, and leaves a
// file without a trailer, when they differ.
func Write(ctx context.Context, w io.Writer, x Export) (Summary, error) {
	e := &exporting{Export: x, ctx: ctx, views: map[state.Version]state.View{}}
	defer e.close()
	s, err := e.write(w)
	if err != nil {
		return s, fmt.Errorf("export %s at %d: %w", x.About.Projection, x.Version.Sequence(), err)
	}
	return s, nil
}

// exporting is an archive being written.
type exporting struct {
	Export
	ctx   context.Context
	views map[state.Version]state.View
	rows  *rowWriter
	n     int // rows looked at
}

func (e *exporting) close() {
	for _, v := range e.views {
		v.Close()
	}
}

func (e *exporting) write(w io.Writer) (s Summary, err error) {
	m := Manifest{About: e.About, Created: time.Now().UTC()}
	if m.Base, m.Steps, err = e.plan(); err != nil {
		return s, err
	}
	in := m.steps()
	if err := in.Check(); err != nil {
		return s, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return s, fmt.Errorf("manifest: %w", err)
	}
	if len(text) > maxManifest {
		return s, fmt.Errorf("manifest has %d bytes, more than %d: are the settings that large?", len(text), maxManifest)
	}
	blocks, err := newBlockWriter(w)
	if err != nil {
		return s, err
	}
	if err := blocks.head(text); err != nil {
		return s, err
	}
	e.rows = &rowWriter{blocks: blocks, tally: state.NewTally(in, 0)}
	before := in.Base
	for i := range in.Steps {
		if err := e.step(before, &in.Steps[i]); err != nil {
			return s, e.explain(err)
		}
		before = &in.Steps[i]
	}
	if err := e.rows.tally.Close(); err != nil {
		return s, e.explain(err)
	}
	t, err := blocks.close(Trailer{Steps: e.rows.steps})
	return Summary{m, t, blocks.size}, err
}

// explain adds what may be the reason for content that does not match.
func (e *exporting) explain(err error) error {
	if e.Since != 0 && errors.Is(err, state.ErrContent) {
		return fmt.Errorf("%w; the state at %d may not have been kept: export all of it", err, e.Since.Sequence())
	}
	return err
}

// plan finds the steps, and has their versions kept readable.
func (e *exporting) plan() (base *Point, steps []Point, err error) {
	if e.Since >= e.Version {
		return nil, nil, fmt.Errorf("since sequence %d (version %d) there is nothing to export: it must be older", e.Since.Sequence(), e.Since)
	}
	last, err := e.checkpoint(e.Version)
	if err != nil {
		return nil, nil, err
	}
	if e.Since != 0 {
		ck, err := e.checkpoint(e.Since)
		if err != nil {
			return nil, nil, err
		}
		p := pointOf(ck)
		base = &p
	}
	if len(last.Memories) > 0 {
		if m := last.Memories[0]; m.Version > e.Since && m.Version < e.Version {
			ck, err := e.checkpoint(m.Version)
			if err != nil {
				return nil, nil, fmt.Errorf("its guest goes on from the memory stored at %d: %w; export what is served now", m.Version.Sequence(), err)
			}
			steps = append(steps, pointOf(ck))
		}
	}
	return base, append(steps, pointOf(last)), nil
}

// checkpoint returns the checkpoint at just that version, with the newest of its memory
// snapshots, and opens a view of the state there.
func (e *exporting) checkpoint(v state.Version) (ck state.Checkpoint, err error) {
	if e.views[v], err = e.Source.View(v); err != nil {
		delete(e.views, v)
		return ck, err
	}
	if ck, err = e.Source.Checkpoint(v); err != nil {
		return ck, err
	}
	if ck.Version != v {
		return ck, fmt.Errorf("%w at version %d: the newest before it is at %d", state.ErrNoCheckpoint, v, ck.Version)
	}
	if len(ck.Memories) > 1 {
		ck.Memories = ck.Memories[:1:1]
	}
	return ck, nil
}

// step writes the rows that lead from one checkpoint to the next; before is nil for the
// first of a full archive.
func (e *exporting) step(before, ck *state.Checkpoint) error {
	e.rows.begin()
	for _, kind := range []state.RowKind{state.OfState, state.OfLetters} {
		var err error
		if before == nil {
			err = e.all(kind, ck.Version)
		} else {
			err = e.changed(kind, before.Version, ck.Version)
		}
		if err != nil {
			return err
		}
	}
	if len(ck.Memories) > 0 && ck.Memories[0].Version == ck.Version {
		if err := e.memory(ck.Memories[0]); err != nil {
			return err
		}
	}
	return e.rows.end()
}

// rowsOf are the rows of a kind at a version.
func (e *exporting) rowsOf(kind state.RowKind, v state.Version) state.Rows {
	if kind == state.OfLetters {
		return e.views[v].Letters()
	}
	return e.views[v]
}

// all writes all rows of a kind.
func (e *exporting) all(kind state.RowKind, at state.Version) error {
	var failed error
	err := e.rowsOf(kind, at).Scan(nil, nil, func(key, value []byte) bool {
		if failed = e.alive(); failed == nil {
			failed = e.rows.row(state.Row{Kind: kind, Key: key, Value: value}, nil, false)
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

// changed writes the rows of a kind that differ between two versions.
func (e *exporting) changed(kind state.RowKind, after, at state.Version) error {
	before := e.rowsOf(kind, after)
	var failed error
	err := e.Source.Changes(kind, after, at, state.KeyRange{}, func(r state.Row) bool {
		failed = e.alive()
		var old []byte
		var had bool
		if failed == nil {
			old, had, failed = before.Get(r.Key)
		}
		same := !had && r.Deleted || had && !r.Deleted && bytes.Equal(old, r.Value)
		if failed == nil && !same {
			failed = e.rows.row(r, old, had)
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

// alive looks now and then whether the export is still wanted.
func (e *exporting) alive() error {
	if e.n++; e.n%256 == 0 {
		return e.ctx.Err()
	}
	return nil
}

// memory writes a memory snapshot.
func (e *exporting) memory(m state.Memory) error {
	blobs, err := e.Source.Memory(m)
	if err != nil {
		return err
	}
	return state.MemoryStream(blobs, memoryCut, func(part []byte) error {
		return e.rows.row(state.Row{Kind: state.OfMemory, Value: part}, nil, false)
	})
}
