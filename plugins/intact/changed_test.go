package intact

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Whatever happens to a file between its first byte and its last makes the read one that
// is tried again.
func TestChangedMeanwhile(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"written in place":        func(path string) error { return os.WriteFile(path, []byte("new"), 0o600) },
		"cut off":                 func(path string) error { return os.Truncate(path, 1) },
		"replaced":                func(path string) error { return replace(path, time.Now()) },
		"replaced, times and all": func(path string) error { return replace(path, old) },
		"removed":                 os.Remove,
		"linked elsewhere":        func(path string) error { return relink(path, "2") },
		"swapped for a folder":    func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := errors.Join(replace(path+"1", old), replace(path+"2", old), replace(path, old)); err != nil {
				t.Fatal(err)
			}
			if name == "linked elsewhere" {
				if err := relink(path, "1"); err != nil {
					t.Fatal(err)
				}
			}
			at := place{
				open: func() (*os.File, error) { return Open(path) },
				stat: func() (fs.FileInfo, error) { // which follows the read
					if err := change(path); err != nil {
						t.Error(err)
					}
					return os.Stat(path)
				},
			}
			_, err := at.once(100, time.Now().Add(time.Hour))
			if !errors.Is(err, ErrChanging) {
				t.Errorf("it was read: %v", err)
			}
		})
	}
}

// A file that changed in this tick of the clock is not read: it might change once more
// without a trace.
func TestTooFresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := replace(path, old); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	at := place{open: func() (*os.File, error) { return Open(path) }, stat: func() (fs.FileInfo, error) { return os.Stat(path) }}
	changed := time.Unix(0, StampOf(info).Changed)
	if _, err := at.once(100, changed.Add(tick-1)); !errors.Is(err, ErrChanging) {
		t.Errorf("within the tick: %v", err)
	}
	if b, err := at.once(100, changed.Add(tick)); err != nil || string(b) != "old" {
		t.Errorf("after the tick: %q, %v", b, err)
	}
}

var old = time.Unix(1_000_000_000, 0)

// replace puts a file of three bytes in place of another one.
func replace(path string, modified time.Time) error {
	return errors.Join(os.WriteFile(path+"~", []byte("old"), 0o600), os.Chtimes(path+"~", time.Time{}, modified), os.Rename(path+"~", path))
}

// relink makes a path a link to one beside it.
func relink(path, suffix string) error {
	return errors.Join(os.Remove(path), os.Symlink(path+suffix, path))
}
