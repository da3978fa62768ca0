package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"gnomon/engine/state"
)

const (
	memTable   = 8 << 20 // bytes
	blockCache = 8 << 20 // bytes
)

// Keyspace is a Badger database with its identity file. It implements
// state.Keyspace.
type Keyspace struct {
	dir      string
	db       *badger.DB
	readOnly bool
	room     func(need uint64) error // that a writable one looks for

	mu       sync.Mutex // guards what follows
	identity identity
	latest   state.Checkpoint      // the newest committed
	holds    map[state.Version]int // versions that views and pins keep, with their numbers
	kept     state.Version         // every version from it on is to stay readable
	horizon  state.Version         // versions below it may be gone
	whole    state.Version         // all versions from it on are known to be there, if it is above the horizon

	left []leftover // of Commit alone, in the order of their versions

	closing sync.Once
	closed  error
}

var _ state.Keyspace = (*Keyspace)(nil)

// options are Badger's, measured with many small keyspaces side by side. Reads
// are mostly served by the runner's own cache, so Badger's are small.
func dbOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithBlockCacheSize(blockCache).
		WithIndexCacheSize(0).
		WithCompression(options.None).
		WithNumCompactors(2).
		WithNumLevelZeroTables(2).
		WithNumLevelZeroTablesStall(8).
		WithNumVersionsToKeep(1).
		WithDetectConflicts(false).  // there is one writer
		WithSyncWrites(false).       // Sync makes commits durable
		WithValueThreshold(1 << 20). // larger than any row: values stay in the tree
		WithValueLogFileSize(1 << 20).
		WithMetricsEnabled(false)
}

// openKeyspace opens the database beside an identity.
func openKeyspace(dir string, id identity, log *slog.Logger) (*Keyspace, error) {
	k := &Keyspace{dir: dir, identity: id, holds: map[state.Version]int{}, kept: state.MaxVersion}
	if err := k.guard(); err != nil {
		return nil, err
	}
	db, err := openDB(k.dbDir(), dbOptions(k.dbDir()).WithLogger(badgerLog{log}))
	if err != nil {
		return nil, err
	}
	k.db = db
	if err := k.findLatest(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := k.findLeftovers(); err != nil {
		return nil, errors.Join(fmt.Errorf("look for unfinished commits: %w", err), db.Close())
	}
	k.identity.Boot, k.identity.Clean = bootID(), false
	if err := k.identity.write(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("write identity: %w", err), db.Close())
	}
	return k, nil
}

// openDB opens a database; name is what errors call it.
func openDB(name string, o badger.Options) (*badger.DB, error) {
	if !o.ReadOnly {
		if err := dropEmptyLogs(o.Dir); err != nil {
			return nil, fmt.Errorf("open database %s: %w", name, err)
		}
	}
	db, err := badger.OpenManaged(o)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %s", name, oneLine(err))
	}
	return db, nil
}

// dropEmptyLogs removes logs without a byte. A process that is killed just after it created
// one, or just before it removes one, leaves it so; it holds nothing, and Badger 4.9 refuses
// to open because of it, for it takes it for one that it has made itself this moment.
func dropEmptyLogs(dir string) error {
	for _, kind := range []string{"*.mem", "*.vlog"} {
		logs, err := filepath.Glob(filepath.Join(dir, kind))
		if err != nil {
			return err
		}
		for _, path := range logs {
			info, err := os.Stat(path)
			if err == nil && info.Size() == 0 {
				err = os.Remove(path)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *Keyspace) dbDir() string { return filepath.Join(k.dir, "db") }

// guard refuses a database that Badger would harm or be harmed by. One that lost
// its manifest it would open as an empty one, and delete its tables.
func (k *Keyspace) guard() error {
	if k.identity.Durable > 0 {
		if _, err := os.Stat(filepath.Join(k.dbDir(), badger.ManifestFilename)); err != nil {
			return fmt.Errorf("database %s holds commits up to %d, but its manifest is missing: %w", k.dbDir(), k.identity.Durable.Sequence(), state.ErrCorrupt)
		}
	}
	return checkTables(k.dbDir(), k.identity.Clean)
}

// findLatest finds the checkpoint to go on from. After a crash of the machine it is
// the durable one, and a new run begins: what an earlier run left above it is not
// to be trusted, now or at the next start.
func (k *Keyspace) findLatest() error {
	k.identity.begin()
	ck, err := k.newestTrusted()
	if err != nil {
		return fmt.Errorf("read last checkpoint: %w", err)
	}
	k.horizon = k.identity.Horizon
	if k.horizon == 0 && k.identity.Durable > 0 { // it is from before horizons were noted
		k.whole = ck.Version
	}
	if ck.Version < k.identity.Durable {
		return fmt.Errorf("database %s ends at %d, but commits up to %d were on disk: %w", k.dbDir(), ck.Version.Sequence(), k.identity.Durable.Sequence(), state.ErrCorrupt)
	}
	k.latest = ck
	return nil
}

// newestTrusted returns the newest checkpoint that this run wrote or that is
// durable; the zero one when there is none.
func (k *Keyspace) newestTrusted() (state.Checkpoint, error) { return k.trusted(state.MaxVersion) }

// trusted returns the newest checkpoint up to a version that is not one of those that a
// crash of the machine took; the zero one when there is none. Such may be found on disk:
// they are whole, and what followed them is another history.
func (k *Keyspace) trusted(v state.Version) (ck state.Checkpoint, err error) {
	defer recoverDamage(&err)
	id := k.identityNow()
	tx := k.db.NewTransactionAt(uint64(v), false)
	defer tx.Discard()
	o := badger.DefaultIteratorOptions
	o.AllVersions, o.PrefetchValues = true, false
	it := tx.NewKeyIterator(checkpointKey, o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		row, err := readCheckpoint(it.Item())
		if err != nil && state.Version(it.Item().Version()) <= id.Durable {
			return ck, err
		}
		if err == nil && id.wrote(row) {
			return row.Checkpoint, nil
		}
	}
	return ck, nil
}

// checkpointRow is a checkpoint as it is stored.
type checkpointRow struct {
	state.Checkpoint
	Run int `json:"run"` // see identity
}

func readCheckpoint(item *badger.Item) (row checkpointRow, err error) {
	err = item.Value(func(b []byte) error {
		_, payload, err := open(checkpointKey, b)
		if err != nil {
			return err
		}
		return json.Unmarshal(payload, &row)
	})
	row.Version = state.Version(item.Version())
	return row, err
}

// Latest implements state.Keyspace.
func (k *Keyspace) Latest() (state.Checkpoint, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.latest.Version == 0 {
		return state.Checkpoint{}, state.ErrNoCheckpoint
	}
	return k.latest, nil
}

// Checkpoint implements state.Keyspace.
func (k *Keyspace) Checkpoint(v state.Version) (ck state.Checkpoint, err error) {
	if v == 0 {
		return ck, state.ErrNoCheckpoint
	}
	tx := k.db.NewTransactionAt(uint64(v), false)
	defer tx.Discard()
	item, err := tx.Get(checkpointKey)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return ck, state.ErrNoCheckpoint
	}
	if err != nil {
		return ck, fmt.Errorf("read checkpoint at %d: %w", v.Sequence(), err)
	}
	row, err := readCheckpoint(item)
	if err != nil || k.identityNow().wrote(row) {
		return row.Checkpoint, err
	}
	if ck, err = k.trusted(v); err == nil && ck.Version == 0 {
		err = state.ErrNoCheckpoint
	}
	return ck, err
}

func (k *Keyspace) identityNow() identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.identity
}

// Limit implements state.Keyspace. It bounds the memory that a commit takes, for what
// does not fit a transaction is written ahead of it.
func (k *Keyspace) Limit() state.TxLimit { return state.TxLimit{Writes: 64 << 10, Bytes: 8 << 20} }

// hold keeps a version readable.
func (k *Keyspace) hold(v state.Version) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v < k.horizon {
		return fmt.Errorf("sequence %d is no longer kept: the oldest is %d", v.Sequence(), k.horizon.Sequence())
	}
	k.holds[v]++
	return nil
}

func (k *Keyspace) unhold(v state.Version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds[v]--; k.holds[v] <= 0 {
		delete(k.holds, v)
	}
}

// Pin implements state.Keyspace.
func (k *Keyspace) Pin(v state.Version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.holds[v]++
}

// Unpin implements state.Keyspace.
func (k *Keyspace) Unpin(v state.Version) { k.unhold(v) }

// Keep implements state.Keyspace.
func (k *Keyspace) Keep(v state.Version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = v
}

// Oldest implements state.Keyspace.
func (k *Keyspace) Oldest() state.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.latest.Version == 0 {
		return 0
	}
	return max(k.horizon, k.whole, 1)
}

// advanceHorizonLocked gives up the versions that nobody can ask for any more, once a commit
// with memory snapshots from a version on is durable.
func (k *Keyspace) advanceHorizonLocked(durable, oldest state.Version) {
	h := min(oldestOf(k.latest), durable, oldest, max(k.kept, 1))
	for v := range k.holds {
		h = min(h, v)
	}
	k.horizon = max(k.horizon, h)
}

// oldestOf is the oldest version that going on from a checkpoint needs.
func oldestOf(c state.Checkpoint) state.Version {
	if n := len(c.Memories); n > 0 {
		return min(c.Version, c.Memories[n-1].Version)
	}
	return c.Version
}

// Durable implements state.Keyspace.
func (k *Keyspace) Durable() state.Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.identity.Durable
}

// Sync implements state.Keyspace.
func (k *Keyspace) Sync(context.Context) (state.Version, error) {
	k.mu.Lock()
	at, oldest, durable := k.latest.Version, oldestOf(k.latest), k.identity.Durable
	k.mu.Unlock()
	if at == durable {
		return at, nil
	}
	if err := k.syncFiles(); err != nil {
		return durable, fmt.Errorf("sync %s: %w", k.dir, err)
	}
	k.mu.Lock()
	k.advanceHorizonLocked(at, oldest)
	horizon := k.horizon
	k.mu.Unlock()
	// What Badger may drop is noted first: what a read finds below it, after a crash too, may
	// be wrong.
	if err := k.noteDurable(at, false); err != nil {
		return durable, err
	}
	k.db.SetDiscardTs(uint64(horizon))
	return at, nil
}

// syncFiles syncs the logs of all memory tables. Badger's Sync leaves out those
// that are full but not yet written as a table.
func (k *Keyspace) syncFiles() error {
	logs, err := filepath.Glob(filepath.Join(k.dbDir(), "*.mem"))
	if err != nil {
		return err
	}
	errs := []error{k.db.Sync()}
	for _, path := range logs {
		errs = append(errs, syncPath(path))
	}
	return errors.Join(append(errs, syncPath(k.dbDir()))...)
}

func (k *Keyspace) noteDurable(v state.Version, clean bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := k.identity
	id.Durable, id.Clean, id.Horizon = v, clean, k.horizon
	if err := id.write(k.dir); err != nil {
		return fmt.Errorf("note durable position: %w", err)
	}
	k.identity = id
	return nil
}

// DiskBytes implements state.Keyspace.
func (k *Keyspace) DiskBytes() int64 { return diskBytes(k.dir) }

// Close implements state.Keyspace.
func (k *Keyspace) Close() error {
	k.closing.Do(func() {
		if k.readOnly {
			k.closed = k.db.Close()
			return
		}
		_, err := k.Sync(context.Background())
		// Badger ends with a table of what its logs hold, and where there is no room for it the
		// process dies. What a kill leaves is as good.
		if full := k.room(keyspaceRoom); full != nil {
			k.closed = fmt.Errorf("keyspace %s is left as a kill would leave it: %w", k.dir, full)
			return
		}
		closed := k.db.Close()
		if err == nil && closed == nil {
			k.mu.Lock()
			at := k.latest.Version
			k.mu.Unlock()
			err = k.noteDurable(at, true)
		}
		k.closed = errors.Join(err, closed)
	})
	return k.closed
}

// badgerLog passes Badger's warnings and errors on.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Error("badger: " + trim(f, a)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn("badger: " + trim(f, a)) }
func (l badgerLog) Infof(string, ...any)        {}
func (l badgerLog) Debugf(string, ...any)       {}

func trim(format string, args []any) string {
	s := fmt.Sprintf(format, args...)
	for len(s) > 0 && s[len(s)-1] == '\n' {
		s = s[:len(s)-1]
	}
	return s
}
