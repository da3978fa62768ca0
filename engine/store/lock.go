package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const lockFile = "LOCK"

// Holder says who uses a data directory.
type Holder struct {
	PID     int       `json:"pid"`
	HTTP    string    `json:"http,omitempty"` // address that it serves on, host:port
	Started time.Time `json:"started"`
}

// LockedError says that another process uses a data directory.
type LockedError struct {
	Dir    string
	Holder Holder // zero when it did not say
}

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by process %d", e.Dir, e.Holder.PID)
}

// lock takes a data directory for this process alone.
func lock(dir string) (*flock.Flock, error) {
	l := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	if !ok {
		return nil, &LockedError{Dir: dir, Holder: holder(l, dir)}
	}
	if err := noteHolder(dir, Holder{PID: os.Getpid(), Started: time.Now().UTC()}); err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// holder is who keeps others from locking a data directory. Those who only read it
// leave no note: the one that is there is of an engine that has ended.
func holder(l *flock.Flock, dir string) Holder {
	if shared, err := l.TryRLock(); err == nil && shared {
		l.Unlock()
		return Holder{}
	}
	return readHolder(dir)
}

// lockShared keeps others from taking a data directory for themselves alone. It
// writes nothing.
func lockShared(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, lockFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a data directory: it has no file %s", dir, lockFile)
	}
	l := flock.New(path, flock.SetFlag(os.O_RDONLY))
	ok, err := l.TryRLock()
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	if !ok {
		return nil, &LockedError{Dir: dir, Holder: readHolder(dir)}
	}
	return l, nil
}

// noteHolder writes who holds the lock, in place: the lock is on the file itself.
func noteHolder(dir string, h Holder) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, lockFile), append(b, '\n'), 0o600)
}

// readHolder reads who holds, or held, the lock; the zero Holder when that cannot
// be told.
func readHolder(dir string) Holder {
	var h Holder
	b, err := os.ReadFile(filepath.Join(dir, lockFile))
	if err != nil || json.Unmarshal(b, &h) != nil {
		return Holder{}
	}
	return h
}

// Running tells who uses a data directory now; ok is false when nobody does.
func Running(dir string) (h Holder, ok bool) {
	l, err := lockShared(dir)
	var locked *LockedError
	if errors.As(err, &locked) {
		return locked.Holder, true
	}
	if err == nil {
		l.Unlock()
	}
	return Holder{}, false
}
