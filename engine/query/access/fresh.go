package access

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gnomon/plugins/intact"
)

const (
	// lookEvery is how often files are looked at, while somebody asks for what they say.
	lookEvery = time.Second
	maxFile   = 1 << 20 // bytes
)

// fresh is a value that is made of files, and made anew when their content changes. When
// that fails, the last good one stays.
type fresh[T any] struct {
	what  string // for the log
	files []string
	make  func(contents [][]byte) (T, error)
	log   *slog.Logger

	value atomic.Pointer[T]
	mu    sync.Mutex
	seen  [][]byte
	next  time.Time
	told  string // the last error that the log has
}

// open makes the value for the first time.
func (f *fresh[T]) open() error {
	contents, err := f.read()
	if err != nil {
		return err
	}
	v, err := f.make(contents)
	if err != nil {
		return err
	}
	f.value.Store(&v)
	f.seen, f.next = contents, time.Now().Add(lookEvery)
	return nil
}

// get returns the value. One of those who ask looks at the files now and then; the others
// do not wait for it.
func (f *fresh[T]) get() T {
	if f.mu.TryLock() {
		if now := time.Now(); !now.Before(f.next) {
			f.look()
			f.next = time.Now().Add(lookEvery)
		}
		f.mu.Unlock()
	}
	return *f.value.Load()
}

// trouble is why the files are not taken as they are, and what was read before holds; empty:
// they are.
func (f *fresh[T]) trouble() string {
	f.get()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

func (f *fresh[T]) look() {
	contents, err := f.read()
	if err == nil && same(contents, f.seen) {
		f.told = ""
		return
	}
	var v T
	if err == nil {
		v, err = f.make(contents)
	}
	switch {
	case err == nil:
		f.value.Store(&v)
		f.seen, f.told = contents, ""
		f.log.Info(f.what+" were read anew", "files", f.files)
	case err.Error() != f.told:
		f.told = err.Error()
		f.log.Error(f.what+" cannot be read anew; what was read before holds", "error", err)
	}
}

func same(a, b [][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// read reads all files. One that is no regular file, such as a pipe, can be read once only:
// it stays as it was.
func (f *fresh[T]) read() ([][]byte, error) {
	var all [][]byte
	for i, file := range f.files {
		b, err := intact.ReadFile(file, maxFile)
		if errors.Is(err, intact.ErrNotRegular) {
			if f.seen != nil {
				all = append(all, f.seen[i])
				continue
			}
			b, err = os.ReadFile(file)
		}
		if err != nil {
			return nil, named(file, err)
		}
		all = append(all, b)
	}
	return all, nil
}

// named puts the path before an error that does not have it.
func named(file string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return err
	}
	return &fs.PathError{Op: "read", Path: file, Err: err}
}
