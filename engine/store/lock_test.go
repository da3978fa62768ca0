package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// requireLocked fails unless an error says that a data directory is in use by a
// process that serves on an address.
func requireLocked(t *testing.T, err error, dir string, pid int, address string) {
	t.Helper()
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("error is %v", err)
	}
	h := locked.Holder
	if locked.Dir != dir || h.PID != pid || h.HTTP != address || h.Started.IsZero() || h.Started.After(time.Now()) {
		t.Errorf("error says %+v; want process %d at %q", locked, pid, address)
	}
	if s := err.Error(); !strings.Contains(s, dir) || !strings.Contains(s, "process "+strconv.Itoa(pid)) {
		t.Errorf("error is %q", s)
	}
}

// While a process has a data directory nobody else gets it, be it for reading,
// and is told which process it is and where it serves; the attempts harm nothing.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "hold", dir)
	for range 2 {
		_, err := OpenDir(dir, quiet())
		requireLocked(t, err, dir, c.Process.Pid, childAddress)
		_, err = OpenOffline(dir, quiet())
		requireLocked(t, err, dir, c.Process.Pid, childAddress)
		if h, ok := Running(dir); !ok || h.PID != c.Process.Pid || h.HTTP != childAddress {
			t.Errorf("running is %+v, %v", h, ok)
		}
	}
}

// A data directory is locked within a process too, and free again once it was
// closed, how often ever.
func TestLockedBySelf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	d := openDir(t, dir)
	_, err := OpenDir(dir, quiet())
	requireLocked(t, err, dir, os.Getpid(), "")
	if err := d.ServeAt("127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	_, err = OpenDir(dir, quiet())
	requireLocked(t, err, dir, os.Getpid(), "127.0.0.1:1")
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if h, ok := Running(dir); ok {
		t.Errorf("running is %+v after closing", h)
	}
	_, err = OpenDir(openDir(t, dir).path, quiet())
	requireLocked(t, err, dir, os.Getpid(), "") // the address is not that of before
}

// The lock of a process that was killed is no lock: the next one takes the
// directory over and is named from then on.
func TestStaleLock(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "hold", dir)
	c.kill()
	if h := readHolder(dir); h.PID != c.Process.Pid {
		t.Fatalf("the file names %+v, not process %d", h, c.Process.Pid)
	}
	if h, ok := Running(dir); ok {
		t.Errorf("running is %+v", h)
	}
	openOffline(t, dir).Close()
	openDir(t, dir)
	_, err := OpenDir(dir, quiet())
	requireLocked(t, err, dir, os.Getpid(), "")
}

// A holder that did not say who it is, or only half of it, still holds the lock.
func TestUnknownHolder(t *testing.T) {
	for _, text := range []string{"", "{", "null", "other"} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			openDir(t, dir)
			if err := os.WriteFile(filepath.Join(dir, lockFile), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenDir(dir, quiet())
			if err == nil || !strings.Contains(err.Error(), dir+" is in use by another process") {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}

// Several readers can have a data directory at a time, and no engine gets it while
// one of them has it.
func TestReadersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		openDir(t, dir).Close()
		first, second := openOffline(t, dir), openOffline(t, dir)
		for _, o := range []*Offline{first, second} {
			_, err := OpenDir(dir, quiet())
			var locked *LockedError
			if !errors.As(err, &locked) || locked.Holder.PID != 0 { // the engine before them is none of them
				t.Errorf("error is %v; want one that names nobody", err)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		openDir(t, dir)
	})
}

// Those who ask whose a data directory is, or read it for a moment, do not keep an engine
// from getting it.
func TestAskingDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		openDir(t, dir).Close()
		asks, err := lockShared(dir)
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		go func() {
			d, err := OpenDir(dir, quiet())
			if err == nil {
				err = d.Close()
			}
			opened <- err
		}()
		synctest.Wait() // until it was refused, and waits
		if err := asks.Unlock(); err != nil {
			t.Fatal(err)
		}
		if err := <-opened; err != nil {
			t.Error(err)
		}
	})
}

// Whoever asks at the instant at which a new engine has taken the lock, but has not said
// so yet, is told of that one and not of the one before it.
func TestTakenOverThisInstant(t *testing.T) {
	before := startChild(t, "hold", t.TempDir())
	before.kill()
	for name, note := range map[string]Holder{"one that was killed": {PID: before.Process.Pid, HTTP: childAddress}, "nobody": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				openDir(t, dir)
				if err := noteHolder(dir, note); err != nil {
					t.Fatal(err)
				}
				told := make(chan Holder)
				go func() {
					h, _ := Running(dir)
					told <- h
				}()
				synctest.Wait() // until it has read the note
				if err := noteHolder(dir, Holder{PID: os.Getpid()}); err != nil {
					t.Fatal(err)
				}
				if h := <-told; h.PID != os.Getpid() || h.HTTP != "" {
					t.Errorf("told of %+v, want process %d", h, os.Getpid())
				}
			})
		})
	}
}
