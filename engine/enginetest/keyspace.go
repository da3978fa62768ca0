package enginetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"gnomon/engine/state"
)

// Keyspace keeps every version of a state in memory. Its methods may be called
// concurrently.
type Keyspace struct {
	// Refuse, when not nil, is asked before each commit; its error becomes that of
	// the commit. It may wait.
	Refuse func(state.Commit) error
	// Max is what a commit can hold; zero: a thousand keys, a mebibyte.
	Max state.TxLimit

	mu          sync.Mutex
	checkpoints []state.Checkpoint // oldest first
	rows        map[string][]revision
	memories    map[state.Version][][]byte
	pins        map[state.Version]int
	durable     state.Version
	open        map[state.Version]int // views
	kept        state.Version         // see Keep; 0: nothing was asked for
	horizon     state.Version         // versions below it are no longer kept
	left        bool                  // a crash may have left rows above the newest checkpoint
	unable      error                 // to sync; see FailSync
	closed      atomic.Int64
}

type revision struct {
	version state.Version
	value   []byte
	present bool
}

// NewKeyspace makes an empty keyspace.
func NewKeyspace() *Keyspace {
	return &Keyspace{rows: map[string][]revision{}, memories: map[state.Version][][]byte{}, pins: map[state.Version]int{}, open: map[state.Version]int{}}
}

// Checkpoint implements state.Keyspace.
func (k *Keyspace) Checkpoint(v state.Version) (state.Checkpoint, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range slices.Backward(k.checkpoints) {
		if c.Version <= v {
			return c, nil
		}
	}
	return state.Checkpoint{}, state.ErrNoCheckpoint
}

// Latest implements state.Keyspace.
func (k *Keyspace) Latest() (state.Checkpoint, error) { return k.Checkpoint(^state.Version(0)) }

// Commit implements state.Keyspace.
func (k *Keyspace) Commit(_ context.Context, c state.Commit) (state.Checkpoint, error) {
	if k.Refuse != nil {
		if err := k.Refuse(c); err != nil {
			return state.Checkpoint{}, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	ck := c.Checkpoint
	if n := len(k.checkpoints); n > 0 && ck.Version <= k.checkpoints[n-1].Version {
		return ck, fmt.Errorf("version %d is not greater than %d", ck.Version, k.checkpoints[n-1].Version)
	}
	if size := len(c.Writes); c.Since == 0 && size > k.Limit().Writes {
		return ck, fmt.Errorf("%d writes, more than %d", size, k.Limit().Writes)
	}
	if k.left {
		k.passLeftoversLocked(ck.Version)
	}
	if c.Since != 0 {
		k.takeBackLocked(c.Since, ck.Version)
	}
	for _, w := range c.Writes {
		k.setLocked(rowKey(ofState, w.Key), revision{ck.Version, bytes.Clone(w.Value), !w.Delete})
	}
	for _, w := range c.Letters {
		k.setLocked(rowKey(ofLetters, w.Key), revision{ck.Version, bytes.Clone(w.Value), !w.Delete})
	}
	for _, w := range c.Outbox {
		k.setLocked(rowKey(ofOutbox, w.Key), revision{ck.Version, bytes.Clone(w.Value), !w.Delete})
	}
	if c.Memory != nil {
		ck.Memories = k.remember(ck, c.Memory, c.KeepMemories)
	}
	k.checkpoints = append(k.checkpoints, ck)
	return ck, nil
}

// takeBackLocked makes everything changed since a version what it was then.
func (k *Keyspace) takeBackLocked(since, at state.Version) {
	for key, revisions := range k.rows {
		if revisions[len(revisions)-1].version > since && !strings.HasPrefix(key, ofOutbox) {
			value, present := k.getLocked(key, since)
			k.setLocked(key, revision{at, value, present})
		}
	}
}

// setLocked adds a revision, in place of one of the same version.
func (k *Keyspace) setLocked(key string, r revision) {
	all := k.rows[key]
	if n := len(all); n > 0 && all[n-1].version == r.version {
		all = all[:n-1]
	}
	k.rows[key] = append(all, r)
}

// remember stores a memory snapshot and lists those that are kept.
func (k *Keyspace) remember(ck state.Checkpoint, blobs [][]byte, keep int) []state.Memory {
	h, size := sha256.New(), int64(0)
	_ = state.MemoryStream(blobs, 1<<20, func(part []byte) error { h.Write(part); return nil })
	for _, b := range blobs {
		size += int64(len(b))
	}
	m := state.Memory{Version: ck.Version, First: ck.Version, Rows: len(blobs), Blobs: len(blobs), Bytes: size, SHA256: hex.EncodeToString(h.Sum(nil))}
	k.memories[ck.Version] = blobs
	all := append([]state.Memory{m}, ck.Memories...)
	return all[:min(len(all), keep)]
}

// DamageMemory makes the memory snapshot of a version unreadable.
func (k *Keyspace) DamageMemory(v state.Version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.memories, v)
}

// Memory implements state.Keyspace.
func (k *Keyspace) Memory(m state.Memory) ([][]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	blobs, ok := k.memories[m.Version]
	if !ok || m.Version < k.horizon {
		return nil, fmt.Errorf("memory snapshot at %d: %w", m.Version.Sequence(), state.ErrCorrupt)
	}
	return blobs, nil
}

// Changes implements state.Keyspace.
func (k *Keyspace) Changes(kind state.RowKind, after, at state.Version, within state.KeyRange, fn func(state.Row) bool) error {
	rows, err := k.changed(kind, after, at, within)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if !fn(r) {
			return nil
		}
	}
	return nil
}

func (k *Keyspace) changed(kind state.RowKind, after, at state.Version, keys state.KeyRange) (list []state.Row, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range []state.Version{after, at} {
		if v == 0 {
			continue // before the first commit
		}
		if err := k.keptLocked(v); err != nil {
			return nil, err
		}
	}
	for _, row := range slices.Sorted(maps.Keys(k.rows)) {
		key, ours := strings.CutPrefix(row, rowKey(kindOf(kind), ""))
		ours = ours && strings.HasPrefix(key, string(keys.Prefix)) && (len(keys.After) == 0 || key > string(keys.After))
		within := func(r revision) bool { return r.version > after && r.version <= at }
		if ours && slices.ContainsFunc(k.rows[row], within) {
			value, present := k.getLocked(row, at)
			list = append(list, state.Row{Kind: kind, Key: []byte(key), Value: value, Deleted: !present})
		}
	}
	return list, nil
}

// Revisions implements state.Keyspace.
func (k *Keyspace) Revisions(key []byte, after, at state.Version, fn func(state.Version) bool) error {
	k.mu.Lock()
	all := slices.Clone(k.rows[rowKey(ofState, string(key))])
	k.mu.Unlock()
	for _, r := range slices.Backward(all) {
		if r.version > after && r.version <= at && !fn(r.version) {
			break
		}
	}
	return nil
}

// Sync implements state.Keyspace.
func (k *Keyspace) Sync(context.Context) (state.Version, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unable != nil {
		return k.durable, k.unable
	}
	k.syncLocked()
	return k.durable, nil
}

// FailSync has every Sync fail with an error, until it is nil.
func (k *Keyspace) FailSync(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unable = err
}

// syncLocked makes everything durable, and lets go of the versions that nobody can ask for
// any more.
func (k *Keyspace) syncLocked() {
	n := len(k.checkpoints)
	if n == 0 {
		return
	}
	newest := k.checkpoints[n-1]
	if k.durable == newest.Version {
		return
	}
	k.durable = newest.Version
	kept := newest.Version
	if k.kept > 0 {
		kept = min(kept, k.kept)
	}
	for _, m := range newest.Memories {
		kept = min(kept, m.Version)
	}
	for _, holds := range []map[state.Version]int{k.pins, k.open} {
		for v := range holds {
			kept = min(kept, v)
		}
	}
	k.horizon = max(k.horizon, kept)
}

// keptLocked fails for a version that is no longer kept. In a store its state may be
// there yet, or in part.
func (k *Keyspace) keptLocked(v state.Version) error {
	if v < k.horizon {
		return fmt.Errorf("sequence %d is no longer kept: the oldest is %d", v.Sequence(), k.horizon.Sequence())
	}
	return nil
}

// Durable implements state.Keyspace.
func (k *Keyspace) Durable() state.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.durable
}

// Keep implements state.Keyspace.
func (k *Keyspace) Keep(v state.Version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = max(v, 1)
}

// Oldest implements state.Keyspace.
func (k *Keyspace) Oldest() state.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.checkpoints) == 0 {
		return 0
	}
	return max(k.horizon, 1)
}

// Pin implements state.Keyspace.
func (k *Keyspace) Pin(v state.Version) { k.countPin(v, 1) }

// Unpin implements state.Keyspace.
func (k *Keyspace) Unpin(v state.Version) { k.countPin(v, -1) }

func (k *Keyspace) countPin(v state.Version, by int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	count(k.pins, v, by)
}

func count(holds map[state.Version]int, v state.Version, by int) {
	if holds[v] += by; holds[v] == 0 {
		delete(holds, v)
	}
}

// Pins lists the pinned versions, lowest first.
func (k *Keyspace) Pins() []state.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.pins))
}

// Limit implements state.Keyspace.
func (k *Keyspace) Limit() state.TxLimit {
	if k.Max == (state.TxLimit{}) {
		return state.TxLimit{Writes: 1000, Bytes: 1 << 20}
	}
	return k.Max
}

// DiskBytes implements state.Keyspace.
func (k *Keyspace) DiskBytes() int64 { return 0 }

// Closed is how many times it was closed.
func (k *Keyspace) Closed() int64 { return k.closed.Load() }

// OpenViews is how many views have not been closed.
func (k *Keyspace) OpenViews() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, views := range k.open {
		n += views
	}
	return n
}

// Checkpoints lists what was committed, oldest first.
func (k *Keyspace) Checkpoints() []state.Checkpoint {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.checkpoints)
}

// Crash is the end of the process that had it open, which forgets its pins. When the
// machine goes down with it only what is durable is still a commit; the rows of later
// ones are left over, as they may be on a disk, until a commit passes their versions.
func (k *Keyspace) Crash(machine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.pins)
	k.kept = 0
	if !machine {
		return
	}
	k.left = true
	k.checkpoints = slices.DeleteFunc(k.checkpoints, func(c state.Checkpoint) bool { return c.Version > k.durable })
	maps.DeleteFunc(k.memories, func(v state.Version, _ [][]byte) bool { return v > k.durable })
}

// passLeftoversLocked removes the rows that a crash left above the last commit, up to
// the version of the next one.
func (k *Keyspace) passLeftoversLocked(to state.Version) {
	var last state.Version
	if n := len(k.checkpoints); n > 0 {
		last = k.checkpoints[n-1].Version
	}
	for key, revisions := range k.rows {
		k.rows[key] = slices.DeleteFunc(revisions, func(r revision) bool { return r.version > last && r.version <= to })
		if len(k.rows[key]) == 0 {
			delete(k.rows, key)
		}
	}
}

// Close implements state.Keyspace.
func (k *Keyspace) Close() error {
	k.mu.Lock()
	k.syncLocked()
	k.kept = 0
	k.mu.Unlock()
	k.closed.Add(1)
	if n := k.OpenViews(); n != 0 {
		return fmt.Errorf("%d views are open", n)
	}
	return nil
}

// View implements state.Keyspace.
func (k *Keyspace) View(v state.Version) (state.View, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.keptLocked(v); err != nil {
		return nil, err
	}
	return k.viewLocked(v), nil
}

// Any views a version though it may be one that is no longer kept.
func (k *Keyspace) Any(v state.Version) state.View {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.viewLocked(v)
}

func (k *Keyspace) viewLocked(v state.Version) state.View {
	count(k.open, v, 1)
	return &view{rows: rows{k, v, ofState}, keyspace: k, version: v}
}

type view struct {
	rows
	keyspace *Keyspace
	version  state.Version
	closed   atomic.Bool
}

func (v *view) Version() state.Version { return v.version }

func (v *view) Letters() state.Rows { return rows{v.keyspace, v.version, ofLetters} }

func (v *view) Outbox() state.Rows { return rows{v.keyspace, v.version, ofOutbox} }

func (v *view) Close() {
	if !v.closed.Swap(true) {
		v.keyspace.mu.Lock()
		defer v.keyspace.mu.Unlock()
		count(v.keyspace.open, v.version, -1)
	}
}

// rows are those of a kind at a version.
type rows struct {
	keyspace *Keyspace
	version  state.Version
	kind     string
}

// The kinds of rows.
const (
	ofState   = "s"
	ofLetters = "l"
	ofOutbox  = "o"
)

func kindOf(k state.RowKind) string {
	if k == state.OfLetters {
		return ofLetters
	}
	return ofState
}

// rowKey is where a key of a kind is kept.
func rowKey(kind, key string) string { return kind + key }

func (r rows) Get(key []byte) ([]byte, bool, error) {
	r.keyspace.mu.Lock()
	defer r.keyspace.mu.Unlock()
	value, ok := r.keyspace.getLocked(rowKey(r.kind, string(key)), r.version)
	return bytes.Clone(value), ok, nil
}

// Scan holds nothing while fn runs, which may take as long as it likes.
func (r rows) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	for _, row := range r.among(prefix, after) {
		if !fn([]byte(row[0]), []byte(row[1])) {
			return nil
		}
	}
	return nil
}

// among lists keys and values in order.
func (r rows) among(prefix, after []byte) (list [][2]string) {
	r.keyspace.mu.Lock()
	defer r.keyspace.mu.Unlock()
	for _, row := range slices.Sorted(maps.Keys(r.keyspace.rows)) {
		key, ours := strings.CutPrefix(row, rowKey(r.kind, ""))
		if !ours || !strings.HasPrefix(key, string(prefix)) || len(after) > 0 && key <= string(after) {
			continue
		}
		if value, ok := r.keyspace.getLocked(row, r.version); ok {
			list = append(list, [2]string{key, string(value)})
		}
	}
	return list
}

// getLocked returns what a row was at a version.
func (k *Keyspace) getLocked(row string, v state.Version) ([]byte, bool) {
	for _, r := range slices.Backward(k.rows[row]) {
		if r.version <= v {
			return r.value, r.present
		}
	}
	return nil, false
}
