package plugins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

const patience = 30 * time.Second

var errLimit = errors.New("too many open files")

// modes are the ways in which changes are found: told by the system, or looked for.
var modes = map[string]WatchOptions{
	"told":       {Poll: time.Hour, Settle: 20 * time.Millisecond},
	"looked for": {Poll: 10 * time.Millisecond, Settle: 20 * time.Millisecond, notifier: func() (*fsnotify.Watcher, error) { return nil, errLimit }},
}

// watch watches a folder "plugins" and a file "config.toml" in dir.
func watch(t *testing.T, dir string, o WatchOptions) *Watcher {
	t.Helper()
	o.Folders, o.Files = []string{filepath.Join(dir, "plugins")}, []string{filepath.Join(dir, "config.toml")}
	w := Watch(t.Context(), o)
	t.Cleanup(w.Close)
	return w
}

// awaitChange waits for a change.
func awaitChange(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.Changes():
	case <-time.After(patience):
		t.Fatal("no change is reported")
	}
}

// Whatever changes is reported: files that come, go, or are others, by whatever means,
// in a folder that may come and go itself.
func TestChanges(t *testing.T) {
	type step struct {
		name   string
		change func(t *testing.T, dir string) // dir is where the folder and the file are
	}
	for mode, o := range modes {
		for name, steps := range map[string][]step{
			"files": {
				{"a module", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.wasm", "1") }},
				{"written in place", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.wasm", "2") }},
				{"appended to", func(t *testing.T, dir string) { appendTo(t, dir+"/plugins/a.wasm", "3") }},
				{"renamed to", func(t *testing.T, dir string) {
					write(t, dir+"/plugins/.a.wasm.tmp", "4")
					must(t, os.Rename(dir+"/plugins/.a.wasm.tmp", dir+"/plugins/a.wasm"))
				}},
				{"with its times", func(t *testing.T, dir string) {
					info, err := os.Stat(dir + "/plugins/a.wasm")
					must(t, err)
					write(t, dir+"/plugins/a.wasm", "5")
					must(t, os.Chtimes(dir+"/plugins/a.wasm", time.Time{}, info.ModTime()))
				}},
				{"its configuration", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.toml", "x") }},
				{"its signature", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.wasm.minisig", "x") }},
				{"another name", func(t *testing.T, dir string) {
					must(t, os.Rename(dir+"/plugins/a.wasm", dir+"/plugins/b.wasm"))
				}},
				{"removed", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/plugins/b.wasm")) }},
				{"no file", func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/plugins/c.wasm", 0o700)) }},
			},
			"the configuration": {
				{"created", func(t *testing.T, dir string) { write(t, dir+"/config.toml", "1") }},
				{"written in place", func(t *testing.T, dir string) { write(t, dir+"/config.toml", "2") }},
				{"saved by an editor", func(t *testing.T, dir string) {
					must(t, os.Rename(dir+"/config.toml", dir+"/config.toml~"))
					write(t, dir+"/config.toml", "3")
					must(t, os.Remove(dir+"/config.toml~"))
				}},
				{"removed", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/config.toml")) }},
			},
			"links": {
				{"to a module", func(t *testing.T, dir string) {
					write(t, dir+"/store/1", "1")
					link(t, "../store/1", dir+"/plugins/a.wasm")
				}},
				{"to another one", func(t *testing.T, dir string) {
					write(t, dir+"/store/2", "2")
					link(t, "../store/2", dir+"/plugins/a.wasm")
				}},
				{"to nothing", func(t *testing.T, dir string) { link(t, "../store/3", dir+"/plugins/a.wasm") }},
				{"to a folder in between", func(t *testing.T, dir string) {
					write(t, dir+"/plugins/v1/a.wasm", "1")
					write(t, dir+"/plugins/v2/a.wasm", "2")
					link(t, "v1", dir+"/plugins/current")
					link(t, "current/a.wasm", dir+"/plugins/a.wasm")
				}},
				{"to another folder", func(t *testing.T, dir string) { link(t, "v2", dir+"/plugins/current") }},
			},
			"a ConfigMap": {
				{"of modules", func(t *testing.T, dir string) { configMap(t, dir+"/plugins/a.wasm", 1) }},
				{"is updated", func(t *testing.T, dir string) { configMap(t, dir+"/plugins/a.wasm", 2) }},
				{"of the configuration", func(t *testing.T, dir string) { configMap(t, dir+"/config.toml", 1) }},
				{"is updated, too", func(t *testing.T, dir string) { configMap(t, dir+"/config.toml", 2) }},
			},
			"the folder": {
				{"a module in it", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.wasm", "1") }},
				{"removed", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir+"/plugins")) }},
				{"back", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.wasm", "2") }},
				{"changed", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.wasm", "3") }},
				{"another one in its place", func(t *testing.T, dir string) {
					write(t, dir+"/other/a.wasm", "4")
					must(t, os.Rename(dir+"/plugins", dir+"/old"))
					must(t, os.Rename(dir+"/other", dir+"/plugins"))
				}},
				{"changed again", func(t *testing.T, dir string) { write(t, dir+"/plugins/a.wasm", "5") }},
				{"a link in its place", func(t *testing.T, dir string) {
					write(t, dir+"/v1/a.wasm", "6")
					must(t, os.RemoveAll(dir+"/plugins"))
					link(t, "v1", dir+"/plugins")
				}},
				{"changed behind the link", func(t *testing.T, dir string) { write(t, dir+"/v1/a.wasm", "7") }},
				{"linked elsewhere", func(t *testing.T, dir string) {
					write(t, dir+"/v2/a.wasm", "8")
					link(t, "v2", dir+"/plugins")
				}},
				{"changed there", func(t *testing.T, dir string) { write(t, dir+"/v2/a.wasm", "9") }},
			},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if name != "the folder" {
					must(t, os.Mkdir(dir+"/plugins", 0o700))
				}
				w := watch(t, dir, o)
				for _, s := range steps {
					if !t.Run(s.name, func(t *testing.T) {
						before := w.picture()
						s.change(t, dir)
						for !w.picture().equal(shoot(nil, w.look(), nil)) { // it may be reported in parts
							awaitChange(t, w)
						}
						if w.picture().equal(before) {
							t.Error("nothing changed")
						}
					}) {
						return
					}
				}
			})
		}
	}
}

// picture is what was reported last.
func (w *Watcher) picture() picture {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, errors.Join(err, f.Close()))
}

// configMap does with a file what Kubernetes does when it mounts or updates a volume: it
// is linked into a folder that is linked elsewhere at once.
func configMap(t *testing.T, path string, version int) {
	t.Helper()
	dir, name := filepath.Split(path)
	data := fmt.Sprintf("..2026_%d", version)
	write(t, filepath.Join(dir, data, name), fmt.Sprint(version))
	link(t, data, filepath.Join(dir, "..data"))
	if version == 1 {
		link(t, filepath.Join("..data", name), path)
	}
}

// What leaves every content as it was is no change: times, permissions, the same bytes
// again in another file, files that belong to no module, folders below.
func TestNoChange(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.wasm", "1")
	folders, files := []string{dir}, []string{dir + "/config"}
	before := shoot(nil, look(folders, files), nil)
	for name, change := range map[string]func() error{
		"touched":     func() error { return os.Chtimes(dir+"/a.wasm", time.Time{}, time.Now().Add(time.Hour)) },
		"permissions": func() error { return os.Chmod(dir+"/a.wasm", 0o400) },
		"written again": func() error {
			return errors.Join(os.Remove(dir+"/a.wasm"), os.WriteFile(dir+"/a.wasm", []byte("1"), 0o600))
		},
		"no module's": func() error { return os.WriteFile(dir+"/a.wasm.tmp", []byte("1"), 0o600) },
		"below":       func() error { return errors.Join(os.Mkdir(dir+"/b", 0o700), os.WriteFile(dir+"/b/b.wasm", nil, 0o600)) },
	} {
		must(t, change())
		if after := shoot(before, look(folders, files), nil); !after.equal(before) {
			t.Errorf("%s: a change", name)
		}
	}
	must(t, os.WriteFile(dir+"/config", nil, 0o600))
	if shoot(before, look(folders, files), nil).equal(before) {
		t.Error("a new file is no change")
	}
}

// A file that was read within the tick of its file system's clock is read again, though
// its stamp is the same; so is one that something was heard of. Others are not.
func TestReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.wasm")
	write(t, path, "1")
	s := look([]string{dir}, nil)
	before := shoot(nil, s, nil)
	write(t, path, "2")
	if shoot(before, s, nil).equal(before) || !before.restless() {
		t.Error("a file that may have changed is not read again")
	}
	aged := picture{path: before[path]}
	r := aged[path]
	r.at = r.at.Add(racy)
	aged[path] = r
	if !shoot(aged, s, nil).equal(aged) || aged.restless() {
		t.Error("a file that has not changed is read again")
	}
	if shoot(aged, s, map[string]bool{path: true}).equal(aged) {
		t.Error("a file that something was heard of is not read again")
	}
}

// A file that is written bit by bit is reported when it is complete.
func TestSettles(t *testing.T) {
	for mode, o := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			o.Settle, o.Within = 300*time.Millisecond, patience
			dir := t.TempDir()
			must(t, os.Mkdir(dir+"/plugins", 0o700))
			w := watch(t, dir, o)
			f, err := os.Create(dir + "/plugins/a.wasm")
			must(t, err)
			defer f.Close()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			parts, longest, last := 0, time.Duration(0), time.Now()
			for ; parts < 80; parts++ {
				_, err := f.WriteString("part")
				must(t, err)
				select {
				case <-w.Changes():
					if longest = max(longest, time.Since(last)); longest < o.Settle/2 { // or else this machine stood still
						t.Fatalf("reported after %d parts, with pauses of %v at most", parts+1, longest)
					}
				case <-tick.C:
				}
				longest, last = max(longest, time.Since(last)), time.Now()
			}
			must(t, f.Close())
			awaitChange(t, w)
		})
	}
}

// What changes for ever is reported all the same, again and again.
func TestNeverSettles(t *testing.T) {
	for mode, o := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			o.Settle, o.Within = patience, 50*time.Millisecond
			dir := t.TempDir()
			must(t, os.Mkdir(dir+"/plugins", 0o700))
			w := watch(t, dir, o)
			ctx, stop := context.WithCancel(t.Context())
			var writer sync.WaitGroup
			defer writer.Wait()
			defer stop()
			writer.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					if err := os.WriteFile(dir+"/plugins/a.wasm", fmt.Append(nil, i), 0o600); err != nil {
						t.Error(err)
						return
					}
				}
			})
			for range 3 {
				awaitChange(t, w)
			}
		})
	}
}

// Without events, Polling says why, until there are some again.
func TestPolling(t *testing.T) {
	var refused atomic.Bool
	refused.Store(true)
	dir := t.TempDir()
	w := watch(t, dir, WatchOptions{Poll: 5 * time.Millisecond, notifier: func() (*fsnotify.Watcher, error) {
		if refused.Load() {
			return nil, errLimit
		}
		return fsnotify.NewWatcher()
	}})
	if err := w.Polling(); !errors.Is(err, errLimit) || !strings.Contains(err.Error(), "fs.inotify.max_user_instances") {
		t.Errorf("Polling() = %v", err)
	}
	refused.Store(false)
	for deadline := time.Now().Add(patience); w.Polling() != nil; {
		if time.Now().After(deadline) {
			t.Fatalf("still: %v", w.Polling())
		}
		<-time.After(time.Millisecond)
	}
}

// When events are lost, everything is looked at; when they end, they are asked for anew.
func TestEventsAreLost(t *testing.T) {
	sources := make(chan *fsnotify.Watcher, 2)
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/plugins", 0o700))
	o := modes["told"]
	o.notifier = func() (*fsnotify.Watcher, error) {
		f, err := fsnotify.NewWatcher()
		sources <- f
		return f, err
	}
	w := watch(t, dir, o)
	first := <-sources
	for _, dir := range first.WatchList() {
		must(t, first.Remove(dir)) // so that nothing is told of what follows
	}
	write(t, dir+"/plugins/a.wasm", "1")
	first.Errors <- fsnotify.ErrEventOverflow
	awaitChange(t, w)
	first.Errors <- errLimit
	<-sources
	write(t, dir+"/plugins/a.wasm", "2")
	awaitChange(t, w)
}

// A Watcher ends with its context or with Close, which may be called more than once.
func TestClose(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := Watch(ctx, WatchOptions{Folders: []string{t.TempDir()}})
	cancel()
	<-w.done
	w.Close()
	w = Watch(t.Context(), WatchOptions{Folders: []string{t.TempDir()}})
	w.Close()
	w.Close()
}

// What is read of several files belongs together: it is read again when one of them
// changed meanwhile, or was being written; what never comes to rest is ErrChanging.
func TestReadTogether(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/plugins/a.wasm", "0")
	w := watch(t, dir, modes["told"])
	calls := 0
	err := w.Read(t.Context(), func() error {
		switch calls++; calls {
		case 1:
			write(t, dir+"/plugins/a.wasm", "1")
		case 2:
			return fmt.Errorf("module a.wasm %w", ErrChanging)
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := w.Read(t.Context(), func() error { return errLimit }); !errors.Is(err, errLimit) {
		t.Errorf("the error of a read: %v", err)
	}
	calls = 0
	err = w.Read(t.Context(), func() error {
		calls++
		write(t, dir+"/plugins/a.wasm", strings.Repeat("x", calls))
		return nil
	})
	if !errors.Is(err, ErrChanging) || calls != 10 {
		t.Errorf("what changes for ever: %d calls, %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := w.Read(ctx, func() error { cancel(); return ErrChanging }); !errors.Is(err, context.Canceled) {
		t.Errorf("the context ends: %v", err)
	}
}
