package state

import (
	"context"
	"errors"
	"time"
)

// Errors of a Keyspace and its Store.
var (
	// ErrNoCheckpoint says that nothing was committed at or before that version.
	ErrNoCheckpoint = errors.New("no checkpoint")
	// ErrNoKeyspace says that there is no such keyspace.
	ErrNoKeyspace = errors.New("keyspace not found")
	// ErrCorrupt says that stored bytes are not those that were written. It is
	// wrapped with what they belong to.
	ErrCorrupt = errors.New("stored data is damaged")
)

// Checkpoint is what one commit records beside the state: where in the stream it
// stands, and what the state amounts to.
type Checkpoint struct {
	Version  Version  `json:"-"`
	Position Position `json:"position"`
	Anchors  []Anchor `json:"anchors,omitempty"` // newest first
	Keys     int64    `json:"keys"`
	Bytes    int64    `json:"bytes"` // of keys and values
	Digest   Digest   `json:"digest"`
	Aside    Aside    `json:"aside,omitzero"`
	Schema   int      `json:"schema,omitempty"` // that the module declared which wrote the state; 0: none
	// Memories are the kept snapshots of the guest's memory, newest first.
	Memories []Memory `json:"memories,omitempty"`
	Outbox   Outbox   `json:"outbox,omitzero"`

	// What a replay of the events of the commit needs to be the same.
	Began  *Began   `json:"began,omitempty"`  // where its generation did; nil: it is not known
	After  Version  `json:"after,omitempty"`  // version of the checkpoint that it was committed on top of; 0: there was none
	Runs   string   `json:"runs,omitempty"`   // identity of what applied the events, see Spec.Generation
	Read   uint64   `json:"read,omitempty"`   // events that were read so far in this keyspace, the projection's own or not
	Passed []uint64 `json:"passed,omitempty"` // sequences of the events of this commit that failed and were skipped
	Orders uint64   `json:"orders,omitempty"` // of operators that were carried out so far: what came of them is not in the events
}

// Began is where a generation began.
type Began struct {
	Created  time.Time `json:"created"` // of the stream
	Sequence uint64    `json:"seq"`     // before the first event
}

// Memory is a stored snapshot of a guest's own memory. The state at its version
// is what the guest saw when it wrote the snapshot. Its stream is, for each blob, the
// length in bytes, u32 little-endian, and the bytes.
type Memory struct {
	Version Version `json:"version"`
	First   Version `json:"first"` // of the commits that wrote its rows, ahead of Version
	Rows    int     `json:"rows"`
	Blobs   int     `json:"blobs"`
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"` // of the stream, in hex
}

// Write is a change of one key. Slices are not changed after Commit was called.
type Write struct {
	Key     string
	Value   []byte // ignored when Delete is set
	Delete  bool
	OldSize int // bytes of the value that it replaces; 0 when there was none
}

// Commit is what becomes durable together.
type Commit struct {
	Checkpoint Checkpoint // its Version must be greater than that of every commit before
	Writes     []Write    // of the state, at most one for a key
	Letters    []Write    // of events that are set aside, by LetterRow; not bound by Limit
	Outbox     []Write    // of events to publish, by OutboxKey
	// Since, when not zero, is an older version that the writes are made on top of. What
	// was changed after it, and Writes does not change, becomes again what it was then; but
	// the outbox stays as it is.
	// Views of the commits in between stay as they are. Such a commit may hold more
	// than Limit.
	Since Version
	// Memory, when not nil, are the blobs of a memory snapshot taken at this
	// sequence. The keyspace stores them in commits of their own, from the
	// checkpoint's Version on, commits the checkpoint after them, and adds the
	// snapshot, as the newest, to the checkpoint's Memories, of which it keeps
	// KeepMemories.
	Memory       [][]byte
	KeepMemories int
}

// KeyRange is a part of the keys: those that begin with Prefix and come after After, as in
// guest.State.Scan. The zero one is all of them.
type KeyRange struct{ Prefix, After []byte }

// TxLimit bounds what one commit can hold.
type TxLimit struct {
	Writes int
	Bytes  int
}

// over is an equal share of the limit for each of n.
func (l TxLimit) Share(n int) TxLimit { return TxLimit{Writes: l.Writes / n, Bytes: l.Bytes / n} }

// Rows reads keys and values. It is safe for concurrent use.
type Rows interface {
	// Get returns a value, which is the caller's, and whether the key is present.
	// It fails with ErrCorrupt when the stored bytes are not those written.
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan calls fn as guest.State.Scan does.
	Scan(prefix, after []byte, fn func(key, value []byte) bool) error
}

// View reads a keyspace at one version, whatever is committed meanwhile. It is
// safe for concurrent use. The version stays readable until Close.
type View interface {
	Rows // the state
	Version() Version
	// Letters are the events that were set aside, by LetterRow.
	Letters() Rows
	// Outbox are the emitted events that are not known to be published, by OutboxKey.
	Outbox() Rows
	Close()
}

// Keyspace keeps the state, positions and snapshots of one generation of a
// projection. Views and Checkpoint may be used concurrently with Commit; Commit
// is called by one goroutine at a time.
type Keyspace interface {
	// Checkpoint returns the newest checkpoint at or before a version, or
	// ErrNoCheckpoint.
	Checkpoint(v Version) (Checkpoint, error)
	// Latest returns the checkpoint to go on from: the newest one committed, or,
	// after a crash of the machine, the newest that is certain to be on disk. It
	// fails with ErrNoCheckpoint when the keyspace is new.
	Latest() (Checkpoint, error)
	// View opens a view of the state at a version.
	View(v Version) (View, error)
	// Commit makes a checkpoint and its writes visible, all or nothing, and
	// returns the checkpoint as stored. A crash of the process after it returned
	// loses nothing; for a crash of the machine see Sync. What a crash left above the
	// newest checkpoint is never seen.
	Commit(ctx context.Context, c Commit) (Checkpoint, error)
	// Memory returns the blobs of a stored memory snapshot, checked against its
	// SHA-256; ErrCorrupt when they differ.
	Memory(m Memory) (blobs [][]byte, err error)
	// Changes calls fn for each row of a kind, OfState or OfLetters, that a commit after one
	// version, and up to another, wrote or deleted, by key, until it returns false: as it is
	// at the later version. A row that is what it was before may be among them. Both versions
	// must be kept readable, by views or pins, from the time of the older one on.
	Changes(kind RowKind, after, at Version, within KeyRange, fn func(r Row) bool) error
	// Revisions calls fn for the version of each commit after one version, and up to another,
	// that wrote or deleted a key of the state, newest first, until it returns false. There
	// may be some that left it as it was, and versions that no commit has. Both versions must
	// be kept readable.
	Revisions(key []byte, after, at Version, fn func(v Version) bool) error
	// Sync makes every commit so far durable against a crash of the machine and
	// returns the version that is.
	Sync(ctx context.Context) (Version, error)
	// Durable returns the version that the last Sync made durable.
	Durable() Version
	// Pin keeps a version readable until Unpin, across restarts of the caller's own
	// making: the keyspace forgets pins when it is closed.
	Pin(v Version)
	Unpin(v Version)
	// Keep keeps every version from v on readable, until it is called again; MaxVersion: only
	// what is needed to go on. It is to be called when the keyspace was opened: until then
	// nothing is kept. It cannot bring back what is gone.
	Keep(v Version)
	// Oldest is the version from which on every one that was committed is readable, whoever
	// reads it. It never goes back, also across restarts; 0 before the first commit.
	Oldest() Version
	// Limit is what one commit can hold.
	Limit() TxLimit
	// DiskBytes is the size of the keyspace on disk.
	DiskBytes() int64
	// Close syncs and closes. Views must be closed before.
	Close() error
}

// Store opens keyspaces.
type Store interface {
	// Open opens the keyspace of a projection's generation, and creates it when it
	// is absent and create is set; ErrNoKeyspace otherwise.
	Open(ctx context.Context, projection, generation string, create bool) (Keyspace, error)
	// Remove removes a keyspace with all that it holds. It must not be open. One that is
	// absent, or was removed in part, may be removed again.
	Remove(projection, generation string) error
}

// Needed is the oldest version that a replay from a checkpoint on needs.
func (c Checkpoint) Needed() Version {
	if len(c.Memories) == 0 {
		return c.Version
	}
	return min(c.Version, c.Memories[0].Version)
}
