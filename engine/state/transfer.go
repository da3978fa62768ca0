package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

// Errors of an Importer.
var (
	// ErrKeyspaceExists says that a keyspace cannot be made because there is one.
	ErrKeyspaceExists = errors.New("keyspace exists")
	// ErrBase says that a keyspace is not where the rows of an import begin.
	ErrBase = errors.New("keyspace is not at the base of the import")
	// ErrContent says that rows do not amount to what they are said to, or are none that
	// a keyspace could have.
	ErrContent = errors.New("content is not what it is said to be")
)

// RowKind says what a row belongs to.
type RowKind uint8

// The kinds of rows, in the order in which they travel.
const (
	OfState   RowKind = 1 + iota // a key of the state
	OfLetters                    // an event that was set aside, by LetterRow
	OfMemory                     // a part of a memory snapshot, without a key
)

// Row is a row on its way from one keyspace to another. Its slices are valid until the
// next one is asked for.
type Row struct {
	Kind RowKind
	Key  []byte
	// Value of OfMemory is a part of the snapshot's stream, see Memory; the stream is cut
	// anywhere.
	Value   []byte
	Deleted bool
}

// Import is a state that comes from elsewhere, told as steps from checkpoint to
// checkpoint. Each step has the rows that differ from the one before.
type Import struct {
	// Base is the checkpoint that the first step goes on from; nil: from nothing, into a
	// new keyspace.
	Base *Checkpoint
	// Steps are the checkpoints to commit, by version. Each lists at most one memory
	// snapshot: one at its own version, whose parts are among the rows, or that of the
	// checkpoint before.
	Steps []Checkpoint
	// Next returns the next row and the index of its step: by steps, in these by kind,
	// and in these by key. After the last one it fails with io.EOF.
	Next func() (step int, row Row, err error)
}

// Importer makes keyspaces of what comes from elsewhere. A Store may be one.
type Importer interface {
	// Import makes a keyspace, or brings one from a base forward. It returns its newest
	// checkpoint, which is the last step. The keyspace must not be open.
	//
	// A new keyspace is there as a whole, checked and on disk, or not at all, whenever the
	// process or the machine goes down. One that is brought forward is at its base, or at
	// one of the steps: then the same import goes on from there.
	//
	// It fails with ErrKeyspaceExists, ErrNoKeyspace, ErrBase, ErrContent, or the error of
	// Next; whatever was written then does not count.
	Import(ctx context.Context, projection, generation string, in Import) (Checkpoint, error)
}

// Check refuses steps that cannot follow each other.
func (in *Import) Check() error {
	if len(in.Steps) == 0 {
		return fmt.Errorf("%w: it has no step", ErrContent)
	}
	var last Checkpoint
	if in.Base != nil {
		last = *in.Base
	}
	for i, s := range in.Steps {
		switch {
		case s.Version <= last.Version:
			return fmt.Errorf("%w: step %d is at version %d, after one at %d", ErrContent, i, s.Version, last.Version)
		case len(s.Memories) > 1:
			return fmt.Errorf("%w: step %d has %d memory snapshots, and can have one", ErrContent, i, len(s.Memories))
		case len(s.Memories) == 1 && !s.bringsMemory() && !last.hasMemory(s.Memories[0].Version):
			return fmt.Errorf("%w: step %d lists a memory snapshot at version %d, which comes from nowhere", ErrContent, i, s.Memories[0].Version)
		}
		last = s
	}
	return nil
}

// Begin returns how many of the steps a keyspace at a checkpoint has made already. It
// fails with ErrBase when the checkpoint is neither the base nor one of the steps.
func (in *Import) Begin(at Checkpoint) (int, error) {
	if in.Base == nil {
		return 0, nil
	}
	if at.Same(*in.Base) {
		return 0, nil
	}
	for i, s := range in.Steps {
		if at.Same(s) {
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("%w: that is %s, and the keyspace stands at %s", ErrBase, in.Base.where(), at.where())
}

// Same reports whether two checkpoints are the same one of the same history.
func (c Checkpoint) Same(o Checkpoint) bool {
	return c.Version == o.Version && c.Digest == o.Digest && c.Keys == o.Keys && c.Bytes == o.Bytes &&
		c.Position.Stream == o.Position.Stream && c.Position.Created.Equal(o.Position.Created) && c.Position.Sequence == o.Position.Sequence
}

// where names a checkpoint for people.
func (c Checkpoint) where() string {
	return fmt.Sprintf("sequence %d of stream %s created %s, version %d, with %d keys and digest %s",
		c.Position.Sequence, c.Position.Stream, c.Position.Created.UTC().Format("2006-01-02T15:04:05.999999999Z"), c.Version, c.Keys, c.Digest)
}

// bringsMemory reports whether a memory snapshot was taken at the checkpoint.
func (c Checkpoint) bringsMemory() bool { return c.hasMemory(c.Version) }

func (c Checkpoint) hasMemory(v Version) bool {
	return len(c.Memories) > 0 && c.Memories[0].Version == v
}

// Tally holds the rows of an import against what its steps are said to amount to.
type Tally struct {
	steps  []Checkpoint
	step   int        // under way
	sum    Checkpoint // what the rows so far amount to
	kind   RowKind    // of the last row
	key    []byte     // of the last row
	memory memoryTally
}

// NewTally makes a tally of an import into a keyspace that has made some of its steps.
func NewTally(in Import, done int) *Tally {
	t := &Tally{steps: in.Steps, step: done}
	if done > 0 {
		t.sum = in.Steps[done-1]
	} else if in.Base != nil {
		t.sum = *in.Base
	}
	return t
}

// Add takes a row in. Old is the value that it replaces, if the key had one. It fails
// with ErrContent when the row is out of order, deletes what is not there, or when the
// steps before its own do not amount to what they should.
func (t *Tally) Add(step int, r Row, old []byte, had bool) error {
	for t.step < step {
		if err := t.end(); err != nil {
			return err
		}
	}
	if err := t.order(step, r, had); err != nil {
		return err
	}
	switch r.Kind {
	case OfState:
		if had {
			t.sum.Keys, t.sum.Bytes = t.sum.Keys-1, t.sum.Bytes-int64(len(r.Key)+len(old))
			t.sum.Digest.Sub(Term(r.Key, old))
		}
		if !r.Deleted {
			t.sum.Keys, t.sum.Bytes = t.sum.Keys+1, t.sum.Bytes+int64(len(r.Key)+len(r.Value))
			t.sum.Digest.Add(Term(r.Key, r.Value))
		}
	case OfLetters:
		if had {
			t.sum.Aside.Letters--
		}
		if !r.Deleted {
			t.sum.Aside.Letters++
		}
	case OfMemory:
		t.memory.write(r.Value)
	}
	return nil
}

func (t *Tally) order(step int, r Row, had bool) error {
	same := r.Kind == t.kind
	switch {
	case step != t.step || step >= len(t.steps):
		return fmt.Errorf("%w: a row of step %d comes in step %d of %d", ErrContent, step, t.step, len(t.steps))
	case r.Kind < t.kind || r.Kind < OfState || r.Kind > OfMemory:
		return fmt.Errorf("%w: a row of kind %d comes after one of kind %d", ErrContent, r.Kind, t.kind)
	case same && r.Kind != OfMemory && bytes.Compare(r.Key, t.key) <= 0:
		return fmt.Errorf("%w: key %.80q comes after %.80q", ErrContent, r.Key, t.key)
	case r.Deleted && (!had || r.Kind == OfMemory):
		return fmt.Errorf("%w: key %.80q is deleted and was not there", ErrContent, r.Key)
	case r.Kind == OfMemory && !t.steps[step].bringsMemory():
		return fmt.Errorf("%w: step %d has parts of a memory snapshot and lists none", ErrContent, step)
	case r.Kind == OfLetters && len(r.Key) != len(LetterRow(0)):
		return fmt.Errorf("%w: an event set aside has a key of %d bytes", ErrContent, len(r.Key))
	}
	t.kind, t.key = r.Kind, append(t.key[:0], r.Key...)
	return nil
}

// end holds a step against its checkpoint, and begins the next.
func (t *Tally) end() error {
	if t.step >= len(t.steps) {
		return fmt.Errorf("%w: there are rows of more than %d steps", ErrContent, len(t.steps))
	}
	want, got := t.steps[t.step], t.sum
	if got.Keys != want.Keys || got.Bytes != want.Bytes || got.Digest != want.Digest {
		return fmt.Errorf("%w: the state at %d has %d keys, %d bytes, digest %s; it should have %d, %d, %s",
			ErrContent, want.Position.Sequence, got.Keys, got.Bytes, got.Digest, want.Keys, want.Bytes, want.Digest)
	}
	if got.Aside.Letters != want.Aside.Letters {
		return fmt.Errorf("%w: at %d there are %d events set aside, and should be %d", ErrContent, want.Position.Sequence, got.Aside.Letters, want.Aside.Letters)
	}
	if want.bringsMemory() {
		if err := t.memory.check(want.Memories[0]); err != nil {
			return err
		}
	}
	t.step, t.kind, t.key, t.memory = t.step+1, 0, t.key[:0], memoryTally{}
	return nil
}

// Close holds the last steps against their checkpoints.
func (t *Tally) Close() error {
	for t.step < len(t.steps) {
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

// memoryTally reads the stream of a memory snapshot.
type memoryTally struct {
	sum   hash.Hash
	blobs int
	bytes int64
	left  int64  // of the blob under way
	size  []byte // of the next blob, as far as it was read
}

func (m *memoryTally) write(part []byte) {
	m.hash().Write(part)
	for len(part) > 0 {
		if m.left == 0 {
			n := min(4-len(m.size), len(part))
			m.size, part = append(m.size, part[:n]...), part[n:]
			if len(m.size) == 4 {
				m.left = int64(binary.LittleEndian.Uint32(m.size))
				m.blobs, m.bytes, m.size = m.blobs+1, m.bytes+m.left, m.size[:0]
			}
			continue
		}
		n := min(m.left, int64(len(part)))
		m.left, part = m.left-n, part[n:]
	}
}

func (m *memoryTally) hash() hash.Hash {
	if m.sum == nil {
		m.sum = sha256.New()
	}
	return m.sum
}

// check holds the stream against what it should be.
func (m *memoryTally) check(want Memory) error {
	sum := hex.EncodeToString(m.hash().Sum(nil))
	if m.left != 0 || len(m.size) != 0 || m.blobs != want.Blobs || m.bytes != want.Bytes || sum != want.SHA256 {
		return fmt.Errorf("%w: the memory snapshot at %d has %d blobs, %d bytes, SHA-256 %s; it should have %d, %d, %s",
			ErrContent, want.Version.Sequence(), m.blobs, m.bytes, sum, want.Blobs, want.Bytes, want.SHA256)
	}
	return nil
}

// MemoryStream calls fn with parts of the stream of a memory snapshot, see Memory, of at
// most size bytes.
func MemoryStream(blobs [][]byte, size int, fn func(part []byte) error) error {
	for _, b := range blobs {
		if err := fn(binary.LittleEndian.AppendUint32(nil, uint32(len(b)))); err != nil {
			return err
		}
		for len(b) > 0 {
			n := min(len(b), size)
			if err := fn(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
	}
	return nil
}
