package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"gnomon/engine/state"
)

// maxSteps bounds the steps of an archive: more are never needed.
const maxSteps = 2

// Reader reads an archive from front to back. It takes memory for a few blocks and the
// largest row, whatever the file says of itself.
type Reader struct {
	manifest Manifest
	blocks   *blockReader
	rows     *rowReader
	err      error // that ended it
}

// NewReader reads the manifest of an archive. It fails with ErrFormat or ErrDamaged.
func NewReader(r io.Reader) (*Reader, error) {
	blocks, err := newBlockReader(r)
	if err != nil {
		return nil, err
	}
	text, err := blocks.head()
	if err != nil {
		return nil, err
	}
	a := &Reader{blocks: blocks}
	if err := json.Unmarshal(text, &a.manifest); err != nil {
		return nil, damaged("its manifest: %w", err)
	}
	if n := len(a.manifest.Steps); n > maxSteps {
		return nil, damaged("its manifest has %d steps, more than %d", n, maxSteps)
	}
	in := a.manifest.steps()
	if err := in.Check(); err != nil {
		return nil, damaged("its manifest: %w", err)
	}
	a.rows = &rowReader{blocks: blocks, steps: []Counts{{}}, total: len(in.Steps)}
	return a, nil
}

// Manifest says what the archive has.
func (r *Reader) Manifest() Manifest { return r.manifest }

// Next returns the next row and the index of its step. It fails with io.EOF after the
// last one, when all of the file is as it was written, and with ErrDamaged otherwise.
func (r *Reader) Next() (step int, row state.Row, err error) {
	if r.err != nil {
		return 0, state.Row{}, r.err
	}
	step, row, err = r.rows.next()
	r.err = err
	return step, row, err
}

// Trailer returns the end of the archive, once Next has failed with io.EOF.
func (r *Reader) Trailer() (Trailer, bool) {
	if !errors.Is(r.err, io.EOF) {
		return Trailer{}, false
	}
	return *r.blocks.trailer, true
}

// Verify reads all of a fresh reader's archive, and holds what it can against the
// manifest: all rows of a full archive up to its first step, and of others their number.
// It fails with ErrDamaged or state.ErrContent.
func (r *Reader) Verify(ctx context.Context) error {
	in := r.manifest.steps()
	in.Steps = in.Steps[:1]
	tally := state.NewTally(in, 0)
	for n := 0; ; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		step, row, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && r.manifest.Full():
			return tally.Close()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if step == 0 && r.manifest.Full() {
			if err := tally.Add(step, row, nil, false); err != nil {
				return err
			}
		}
	}
}

// Import makes a keyspace of a fresh reader's archive, or brings one forward from its
// base, see state.Importer. The caller has checked that it is of what the keyspace is
// of, see Manifest.Check. It returns the newest checkpoint of the keyspace.
func (r *Reader) Import(ctx context.Context, to state.Importer, projection, generation string) (state.Checkpoint, error) {
	in := r.manifest.steps()
	in.Next = r.Next
	ck, err := to.Import(ctx, projection, generation, in)
	if err == nil && !errors.Is(r.err, io.EOF) {
		err = fmt.Errorf("the keyspace took %d and left the end of the archive", ck.Position.Sequence)
	}
	return ck, err
}
