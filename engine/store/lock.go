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
	var ok, held bool
	var err error
	// Those who only ask whose the directory is have the lock for an instant, and do not
	// keep an engine from starting.
	soon(func() bool {
		if ok, err = l.TryLock(); !ok && err == nil {
			held = heldAlone(l)
		}
		return ok || held || err != nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	case held:
		return nil, &LockedError{Dir: dir, Holder: holder(dir)}
	case !ok: // those who read it leave no note: the one that is there is of an engine that has ended
		return nil, &LockedError{Dir: dir}
	}
	if err := noteHolder(dir, Holder{PID: os.Getpid(), Started: time.Now().UTC()}); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory %s: %w", dir, err), l.Unlock())
	}
	return l, nil
}

// heldAlone reports whether somebody has the lock that nobody can share.
func heldAlone(l *flock.Flock) bool {
	shared, err := l.TryRLock()
	if shared {
		_ = l.Unlock()
	}
	return err == nil && !shared
}

// holder is who has a data directory. A note of a process that has ended, or none, is what
// one finds who looks between the instants at which a new one took the lock and said so.
func holder(dir string) (h Holder) {
	soon(func() bool {
		h = readHolder(dir)
		return h.PID != 0 && !processEnded(h.PID)
	})
	return h
}

// soon asks until the answer is yes, but gives up after a moment.
func soon(yes func() bool) {
	const moment, pause = 250 * time.Millisecond, 5 * time.Millisecond
	for began := time.Now(); !yes() && time.Since(began) < moment; {
		time.Sleep(pause)
	}
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
		return nil, &LockedError{Dir: dir, Holder: holder(dir)}
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
