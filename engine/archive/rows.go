package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gnomon/engine/state"
)

// What a row begins with.
const (
	tagPut           = 1
	tagDelete        = 2
	tagLetter        = 3
	tagLetterDeleted = 4
	tagMemory        = 5
	tagEnd           = 6
)

// Bounds of a row.
const (
	maxKey    = 64 << 10  // bytes
	maxValue  = 128 << 20 // bytes
	memoryCut = 256 << 10 // bytes of a part of a memory, as they are written
)

// rowWriter writes the rows of steps.
type rowWriter struct {
	blocks *blockWriter
	tally  *state.Tally // of what was written
	steps  []Counts     // the last one is under way
	head   []byte       // buffer
}

// row writes a row of the step under way, which replaces an old value, if there was one.
func (w *rowWriter) row(r state.Row, old []byte, had bool) error {
	if len(r.Key) > maxKey || len(r.Value) > maxValue {
		return fmt.Errorf("key %.80q has %d bytes and a value of %d: an archive holds up to %d and %d", r.Key, len(r.Key), len(r.Value), maxKey, maxValue)
	}
	step := len(w.steps) - 1
	if err := w.tally.Add(step, r, old, had); err != nil {
		return err
	}
	w.steps[step].count(r)
	w.head = append(w.head[:0], tagOf(r))
	if r.Kind != state.OfMemory {
		w.head = binary.AppendUvarint(w.head, uint64(len(r.Key)))
		w.head = append(w.head, r.Key...)
	}
	if !r.Deleted {
		w.head = binary.AppendUvarint(w.head, uint64(len(r.Value)))
	}
	_, err := w.blocks.Write(w.head)
	if err == nil && !r.Deleted {
		_, err = w.blocks.Write(r.Value)
	}
	return err
}

func tagOf(r state.Row) byte {
	switch {
	case r.Kind == state.OfMemory:
		return tagMemory
	case r.Kind == state.OfLetters && r.Deleted:
		return tagLetterDeleted
	case r.Kind == state.OfLetters:
		return tagLetter
	case r.Deleted:
		return tagDelete
	}
	return tagPut
}

// begin begins a step, and end ends it.
func (w *rowWriter) begin() { w.steps = append(w.steps, Counts{}) }

func (w *rowWriter) end() error {
	_, err := w.blocks.Write([]byte{tagEnd})
	return err
}

// rowReader reads the rows of steps.
type rowReader struct {
	blocks *blockReader
	steps  []Counts // that were read; the last one is under way
	total  int      // steps that there should be
	key    []byte   // buffers
	value  []byte
}

// next reads a row. After the last one, and the trailer, it fails with io.EOF.
func (r *rowReader) next() (step int, row state.Row, err error) {
	for {
		if len(r.steps) > r.total {
			return 0, row, r.finish()
		}
		tag, err := r.blocks.ReadByte()
		if err != nil {
			return 0, row, early(err)
		}
		if tag == tagEnd {
			r.steps = append(r.steps, Counts{})
			continue
		}
		if row, err = r.row(tag); err != nil {
			return 0, row, early(err)
		}
		step = len(r.steps) - 1
		r.steps[step].count(row)
		return step, row, nil
	}
}

// early is the error of a stream that ends within the rows.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return damaged("its rows end too early")
	}
	return err
}

func (r *rowReader) row(tag byte) (row state.Row, err error) {
	switch tag {
	case tagPut, tagDelete:
		row.Kind = state.OfState
	case tagLetter, tagLetterDeleted:
		row.Kind = state.OfLetters
	case tagMemory:
		row.Kind = state.OfMemory
	default:
		return row, damaged("a row begins with %d", tag)
	}
	row.Deleted = tag == tagDelete || tag == tagLetterDeleted
	if row.Kind != state.OfMemory {
		if r.key, err = r.bytes(r.key, maxKey); err != nil {
			return row, err
		}
		row.Key = r.key
	}
	if !row.Deleted {
		if r.value, err = r.bytes(r.value, maxValue); err != nil {
			return row, err
		}
		row.Value = r.value
	}
	return row, nil
}

// bytes reads a size and so many bytes, into a buffer.
func (r *rowReader) bytes(buf []byte, limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r.blocks)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, ErrDamaged) {
			return nil, err
		}
		return nil, damaged("the size of a row: %w", err)
	}
	if n > limit {
		return nil, damaged("a row of %d bytes, more than %d", n, limit)
	}
	return r.blocks.appendTo(buf[:0], int(n))
}

// finish holds what was read against the trailer.
func (r *rowReader) finish() error {
	if err := r.blocks.more(); err == nil {
		return damaged("something follows its rows")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	want, got := r.blocks.trailer.Steps, r.steps[:r.total]
	if len(want) != len(got) {
		return damaged("it has %d steps, and its trailer counts %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return damaged("step %d has rows %+v, and its trailer counts %+v", i, got[i], want[i])
		}
	}
	return io.EOF
}
