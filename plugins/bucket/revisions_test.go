package bucket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a crash leaves between any two steps of a change is put away at the next start,
// and the folder has what it had before, or after.
func TestLeftOvers(t *testing.T) {
	r := newRig(t)
	r.deploy("count", "v1", "toml")
	r.mirror = r.open()
	must(t, r.mirror.Once(t.Context(), r.js))
	store := filepath.Join(filepath.Dir(r.folder), ".modules.d")
	newest, err := os.Readlink(r.folder)
	must(t, err)
	for _, dir := range []string{"new-123", "r99", "r0", "whatever"} {
		must(t, os.MkdirAll(filepath.Join(store, dir), 0o700))
		must(t, os.WriteFile(filepath.Join(store, dir, "count.wasm"), []byte("half"), 0o600))
	}
	must(t, os.Symlink("r99", filepath.Join(store, "link")))
	// The next revision was complete, and not linked to.
	next := filepath.Join(store, "r3")
	must(t, errors.Join(os.MkdirAll(next, 0o700), os.WriteFile(filepath.Join(next, "count.wasm"), []byte("v0"), 0o600)))

	r.mirror = r.open()
	r.holds(map[string]string{"count.wasm": "v1", "count.toml": "toml"})
	if left := names(t, store); !slices.Equal(left, []string{"r1", "r2"}) || filepath.Base(newest) != "r2" {
		t.Errorf("beside the folder are %v; it leads to %s", left, newest)
	}
	r.deploy("count", "v2")
	must(t, r.mirror.Once(t.Context(), r.js))
	r.holds(map[string]string{"count.wasm": "v2"})
}

// A revision that is replaced is kept for a minute, for those who read it.
func TestFormerRevisions(t *testing.T) {
	r := newRig(t)
	r.mirror = r.open()
	store := filepath.Join(filepath.Dir(r.folder), ".modules.d")
	for range 3 {
		r.deploy("count", fmt.Sprint(time.Now()))
		must(t, r.mirror.Once(t.Context(), r.js))
	}
	if left := names(t, store); !slices.Equal(left, []string{"r1", "r2", "r3", "r4"}) {
		t.Errorf("revisions are %v", left)
	}
	past := time.Now().Add(-grace)
	must(t, os.Chtimes(filepath.Join(store, "r3"), past, past)) // when r2 was replaced
	r.deploy("count", "last")
	must(t, r.mirror.Once(t.Context(), r.js))
	if left := names(t, store); !slices.Contains(left, "r3") || !slices.Contains(left, "r4") || !slices.Contains(left, "r5") || slices.Contains(left, "r2") {
		t.Errorf("revisions are %v", left)
	}
	for _, n := range names(t, store) {
		must(t, os.Chtimes(filepath.Join(store, n), past, past))
	}
	r.mirror = r.open()
	if left := names(t, store); !slices.Equal(left, []string{"r5"}) {
		t.Errorf("revisions are %v", left)
	}
	r.holds(map[string]string{"count.wasm": "last"})
}

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// A deployment whose files are not what they were, or not there, is not used, and is
// fetched again; the others are.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, r *rig){
		"changed": func(t *testing.T, r *rig) {
			must(t, os.WriteFile(filepath.Join(r.folder, "count.wasm"), []byte("v0"), 0o600))
		},
		"cut off": func(t *testing.T, r *rig) { must(t, os.Truncate(filepath.Join(r.folder, "count.toml"), 1)) },
		"removed": func(t *testing.T, r *rig) { must(t, os.Remove(filepath.Join(r.folder, "count.wasm"))) },
		"no file": func(t *testing.T, r *rig) {
			must(t, errors.Join(os.Remove(filepath.Join(r.folder, "count.wasm")), os.Mkdir(filepath.Join(r.folder, "count.wasm"), 0o700)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.deploy("count", "v1", "toml")
			r.deploy("other", "v1")
			r.mirror = r.open()
			must(t, r.mirror.Once(t.Context(), r.js))
			damage(t, r)
			r.mirror = r.open()
			r.holds(map[string]string{"other.wasm": "v1"})
			must(t, r.mirror.Once(t.Context(), r.js))
			r.holds(map[string]string{"count.wasm": "v1", "count.toml": "toml", "other.wasm": "v1"})
			if !strings.Contains(r.log.String(), "deployed module is damaged") {
				t.Errorf("the log does not tell:\n%s", r.log)
			}
		})
	}
}

// Without its record a folder is as empty as without a bucket of its name; both are
// filled again.
func TestNothingToGoBy(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, folder string){
		"no record":     func(t *testing.T, folder string) { must(t, os.Remove(filepath.Join(folder, recordFile))) },
		"half a record": func(t *testing.T, folder string) { must(t, os.Truncate(filepath.Join(folder, recordFile), 20)) },
		"another bucket": func(t *testing.T, folder string) {
			must(t, writeAgain(filepath.Join(folder, recordFile), modules, "OTHER"))
		},
		"bad names": func(t *testing.T, folder string) {
			must(t, writeAgain(filepath.Join(folder, recordFile), "count.wasm", "../x.wasm"))
		},
		"no revision": func(t *testing.T, folder string) {
			must(t, os.RemoveAll(filepath.Join(filepath.Dir(folder), ".modules.d")))
		},
		"no folder": func(t *testing.T, folder string) { must(t, os.Remove(folder)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.deploy("count", "v1")
			r.mirror = r.open()
			must(t, r.mirror.Once(t.Context(), r.js))
			change(t, r.folder)
			r.mirror = r.open()
			r.holds(map[string]string{})
			must(t, r.mirror.Once(t.Context(), r.js))
			r.holds(map[string]string{"count.wasm": "v1"})
		})
	}
}

// writeAgain replaces a text in a file.
func writeAgain(path, old, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, text)), 0o600)
}

// A folder that is somebody's own is not replaced.
func TestFolderOfSomebodyElse(t *testing.T) {
	r := newRig(t)
	for says, make := range map[string]func() error{
		"is not the link that it should be: move it away": func() error { return os.Mkdir(r.folder, 0o700) },
		"which is no revision: remove it":                 func() error { return os.Symlink(t.TempDir(), r.folder) },
	} {
		must(t, make())
		if _, err := Open(MirrorOptions{Bucket: modules, Folder: r.folder}); err == nil || !strings.Contains(err.Error(), r.folder) || !strings.Contains(err.Error(), says) {
			t.Errorf("error = %v, want %s", err, says)
		}
		must(t, os.Remove(r.folder))
	}
}

// A change that cannot be written leaves what was there, and is made when it can.
func TestDiskFails(t *testing.T) {
	r := newRig(t)
	r.deploy("count", "v1")
	r.mirror = r.open()
	must(t, r.mirror.Once(t.Context(), r.js))
	r.deploy("count", "v2")
	must(t, errors.Join(os.Remove(r.folder), os.Mkdir(r.folder, 0o700), os.WriteFile(filepath.Join(r.folder, "x"), nil, 0o600)))
	if err := r.mirror.Once(t.Context(), r.js); err == nil || !strings.Contains(err.Error(), "make a revision of deployed modules") {
		t.Errorf("error = %v", err)
	}
	must(t, os.RemoveAll(r.folder))
	must(t, r.mirror.Once(t.Context(), r.js))
	r.holds(map[string]string{"count.wasm": "v2"})
}
