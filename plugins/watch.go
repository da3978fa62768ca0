package plugins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions say what is watched, and how patiently. Zero durations are the defaults.
type WatchOptions struct {
	// Folders are folders of modules. What counts in them are the files *.wasm, *.toml
	// and *.minisig directly in them. They need not exist.
	Folders []string
	// Files are others, such as the configuration. They need not exist.
	Files []string
	// Poll is the time between two looks, for where no events arrive: network file
	// systems, some mounts into containers. Default: 1 s.
	Poll time.Duration
	// Settle is for how long nothing may change before a change is reported. Default: 150 ms.
	Settle time.Duration
	// Within bounds that: what changes on and on is reported so often. Default: 1 s.
	Within time.Duration

	notifier func() (*fsnotify.Watcher, error) // fsnotify.NewWatcher, but for tests
}

// Watcher tells when something changed in folders and files: content that is another, a
// file that came or went. A file that was touched, or written again as it was, is no
// change. Folders and files may be created, replaced and removed, also by links on the
// way to them. Its methods may be called from any goroutine.
type Watcher struct {
	WatchOptions
	changes chan struct{}
	stop    context.CancelFunc
	done    chan struct{} // closed when run has ended

	// Of the goroutine of run.
	events  *fsnotify.Watcher      // nil: there are none
	watched map[string]fs.FileInfo // folders that events come from, as they were then
	heard   map[string]bool        // files of which there were events since they were read

	mu      sync.Mutex
	last    picture // what was reported last; only run changes it
	polling error   // why events do not arrive
}

// Watch begins to watch; what changes after it returns is reported. So a program that
// reads what is watched after that misses nothing. It ends with ctx, or with Close.
func Watch(ctx context.Context, o WatchOptions) *Watcher {
	o.Folders, o.Files = cleaned(o.Folders), cleaned(o.Files)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.Settle = cmp.Or(o.Settle, 150*time.Millisecond)
	o.Within = cmp.Or(o.Within, time.Second)
	if o.notifier == nil {
		o.notifier = fsnotify.NewWatcher
	}
	w := &Watcher{
		WatchOptions: o, changes: make(chan struct{}, 1), done: make(chan struct{}),
		watched: map[string]fs.FileInfo{}, heard: map[string]bool{},
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.listen()
	w.last = shoot(nil, w.look(), nil)
	go w.run(ctx)
	return w
}

func cleaned(paths []string) []string {
	var all []string
	for _, p := range paths {
		all = append(all, filepath.Clean(p))
	}
	return all
}

// Changes receives a value when something changed since the last one was taken. It is
// never closed.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Polling returns why changes are found by looking only, up to Poll later; nil: they are
// reported by the system, and looked for besides.
func (w *Watcher) Polling() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.polling
}

// Close ends the watch and waits for that. It may be called more than once.
func (w *Watcher) Close() {
	w.stop()
	<-w.done
}

// Read calls read until nothing of what is watched has changed meanwhile, so that what
// it reads of several files was there at one moment; also again when it fails with
// ErrChanging. It returns the error of the last call. It fails with ErrChanging when
// that does not come to rest within ten calls: then there is another change to come, or
// it is to be tried later.
func (w *Watcher) Read(ctx context.Context, read func() error) error {
	for range 10 {
		before := w.look()
		err := read()
		if !errors.Is(err, ErrChanging) && maps.Equal(before, w.look()) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.Settle):
		}
	}
	return fmt.Errorf("what is in %v and %v %w, again and again", w.Folders, w.Files, ErrChanging)
}

func (w *Watcher) look() stamps { return look(w.Folders, w.Files) }

func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer w.deafen()
	poll := time.NewTicker(w.Poll)
	defer poll.Stop()
	for {
		events, errs := w.channels()
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			w.listen()
			if w.last.same(w.look()) && !w.last.restless() {
				continue
			}
		case e, ok := <-events:
			if ok && !w.hear(e) {
				continue
			}
			w.missUnless(ok)
		case err := <-errs:
			w.miss(err)
		}
		if !w.settle(ctx) {
			return
		}
	}
}

// burst is for how long the events of one change follow each other.
const burst = 10 * time.Millisecond

// settle waits until what is watched has come to rest, and reports it if it is not what
// it was. It returns false when ctx ended.
func (w *Watcher) settle(ctx context.Context) bool {
	deadline := time.Now().Add(w.Within)
	if _, ok := w.wait(ctx, burst); !ok {
		return false
	}
	w.listen() // before each look, so that nothing falls between
	for before := w.look(); ; {
		quiet, ok := w.wait(ctx, min(w.Settle, time.Until(deadline)))
		if !ok {
			return false
		}
		w.listen()
		now := w.look()
		if quiet && maps.Equal(before, now) || !time.Now().Before(deadline) {
			w.report(now)
			return true
		}
		before = now
	}
}

// wait listens for a while, and reports whether nothing was heard. Ok is false when ctx
// ended.
func (w *Watcher) wait(ctx context.Context, d time.Duration) (quiet, ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	quiet = true
	for {
		events, errs := w.channels()
		select {
		case <-ctx.Done():
			return false, false
		case <-timer.C:
			return quiet, true
		case e, ok := <-events:
			quiet = !w.hear(e) && quiet
			w.missUnless(ok)
		case err := <-errs:
			w.miss(err)
			quiet = false
		}
	}
}

func (w *Watcher) report(now stamps) {
	next := shoot(w.last, now, w.heard)
	clear(w.heard)
	changed := !next.equal(w.last)
	w.mu.Lock()
	w.last = next
	w.mu.Unlock()
	if !changed {
		return
	}
	select {
	case w.changes <- struct{}{}:
	default: // the last one was not taken yet
	}
}

// hear notes an event, and reports whether it may be of something that is watched.
func (w *Watcher) hear(e fsnotify.Event) bool {
	path := filepath.Clean(e.Name)
	inside := slices.Contains(w.Folders, filepath.Dir(path))
	if inside && ofModule(path) || slices.Contains(w.Files, path) {
		w.heard[path] = true
		return true
	}
	return inside || swapped(filepath.Base(path)) || slices.Contains(w.Folders, path)
}

// miss notes that events may be lost.
func (w *Watcher) miss(err error) {
	for path := range w.last {
		w.heard[path] = true
	}
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		w.deafen() // listen begins anew
	}
}

// missUnless notes that events end.
func (w *Watcher) missUnless(more bool) {
	if !more {
		w.miss(fsnotify.ErrClosed)
	}
}

// channels are nil where no events come from.
func (w *Watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.events == nil {
		return nil, nil
	}
	return w.events.Events, w.events.Errors
}

// listen asks for events from the folders, from those that they are in, and from those
// that files are in: what replaces a file is an event of its folder.
func (w *Watcher) listen() {
	err := w.open()
	if err == nil {
		there := w.events.WatchList()
		for _, dir := range slices.Concat(w.Folders, parents(w.Folders), parents(w.Files)) {
			err = cmp.Or(err, w.listenTo(dir, slices.Contains(there, dir)))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polling = err
}

func (w *Watcher) open() (err error) {
	if w.events == nil {
		if w.events, err = w.notifier(); err != nil {
			w.events = nil
			return fmt.Errorf("changes of files are not reported (inotify: fs.inotify.max_user_instances): %w", err)
		}
	}
	return nil
}

// listenTo asks for events from a folder, also when another one is in its place.
func (w *Watcher) listenTo(dir string, already bool) error {
	info, err := os.Stat(dir)
	if err == nil && already && os.SameFile(info, w.watched[dir]) {
		return nil
	}
	if already {
		_ = w.events.Remove(dir) // which fails when it is gone meanwhile
	}
	delete(w.watched, dir)
	if err != nil {
		return nil // nothing is there yet, or it cannot be looked into
	}
	if err := w.events.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("changes in %s are not reported (inotify: fs.inotify.max_user_watches): %w", dir, err)
	}
	w.watched[dir] = info
	return nil
}

// deafen closes what events come from.
func (w *Watcher) deafen() {
	if w.events != nil {
		_ = w.events.Close()
		w.events = nil
	}
	clear(w.watched)
}
