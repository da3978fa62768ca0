// Package intact reads files that somebody else may be writing: whole, or not at all
// (os.Root, on Linux read leases). It knows nothing of what is in them.
package intact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Errors of reading. They are wrapped with facts.
var (
	// ErrChanging says that a file is being written or replaced just now: what would be
	// read may be a part of it, or parts of two. Reading it again later may succeed.
	ErrChanging = errors.New("is being written")
	// ErrNotRegular says that there is something else than a file, or a link to one.
	ErrNotRegular = errors.New("is not a regular file")
)

// TooLargeError is a file that is larger than it may be.
type TooLargeError struct {
	Size  int64 // in bytes; of one that grows: so many at least
	Limit int64 // in bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("has %d bytes or more: the limit is %d", e.Size, e.Limit)
}

const (
	// tick is longer than the time between two values of a local file system's clock.
	// A file whose times are older than that shows by them when it changes again.
	tick  = 20 * time.Millisecond
	tries = 10
)

// Read reads a file of at most limit bytes below root. Links are followed where they do
// not leave it. What it returns was the content of the file at one moment, as far as can
// be told: nobody had it open for writing (which is known on Linux, for files of this
// process's user), and its size, its times and what the name leads to were the same
// before and after. A file that changes, or a link that leads nowhere, is tried again for
// about a fifth of a second; then it fails with ErrChanging, or with fs.ErrNotExist.
//
// A copy that was given up half way is not told from a whole file.
func Read(root *os.Root, name string, limit int64) ([]byte, error) {
	return read(place{
		open: func() (*os.File, error) { return root.OpenFile(name, os.O_RDONLY|nonblock, 0) },
		stat: func() (fs.FileInfo, error) { return root.Stat(name) },
		link: func() (fs.FileInfo, error) { return root.Lstat(name) },
	}, limit)
}

// ReadFile is Read for any path.
func ReadFile(path string, limit int64) ([]byte, error) {
	return read(place{
		open: func() (*os.File, error) { return Open(path) },
		stat: func() (fs.FileInfo, error) { return os.Stat(path) },
		link: func() (fs.FileInfo, error) { return os.Lstat(path) },
	}, limit)
}

// Open opens a file for reading. It does not wait for the other end of a pipe.
func Open(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|nonblock, 0) }

// place is where a file is looked for.
type place struct {
	open func() (*os.File, error)
	stat func() (fs.FileInfo, error)
	link func() (fs.FileInfo, error) // Lstat
}

func read(at place, limit int64) (b []byte, err error) {
	for try := range tries {
		if try > 0 {
			time.Sleep(tick)
		}
		if b, err = at.once(limit, time.Now()); !errors.Is(err, ErrChanging) && !at.dangles(err) {
			return b, err
		}
	}
	return nil, err
}

// dangles reports whether a file is not there because a link leads nowhere, as one does
// for a moment when what it led to was replaced and removed while it was followed.
func (at place) dangles(err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err = at.link()
	return err == nil
}

func (at place) once(limit int64, now time.Time) ([]byte, error) {
	file, err := at.open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	before, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !before.Mode().IsRegular():
		return nil, fmt.Errorf("%w but %s", ErrNotRegular, before.Mode().Type())
	case before.Size() > limit:
		return nil, &TooLargeError{Size: before.Size(), Limit: limit}
	case StampOf(before).Fresh(now, tick):
		return nil, fmt.Errorf("%w: it changed just now", ErrChanging)
	case beingWritten(file):
		return nil, fmt.Errorf("%w: another program has it open for writing", ErrChanging)
	}
	b, err := readAll(file, before.Size(), limit)
	if err != nil {
		return nil, err
	}
	return b, at.unchanged(file, before, len(b))
}

// readAll reads one byte more than there should be, which tells a file that grows.
func readAll(file *os.File, size, limit int64) ([]byte, error) {
	b := make([]byte, size+1)
	n, err := io.ReadFull(file, b)
	switch {
	case err == nil && size == limit:
		return nil, &TooLargeError{Size: size + 1, Limit: limit}
	case err == nil:
		return nil, fmt.Errorf("%w: it grows", ErrChanging)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	}
	return b[:n], nil
}

// unchanged reports how a file changed while it was read.
func (at place) unchanged(file *os.File, before fs.FileInfo, n int) error {
	after, err := file.Stat()
	if err != nil {
		return err
	}
	now, err := at.stat()
	switch {
	case err != nil, StampOf(now) != StampOf(before):
		return fmt.Errorf("%w: it was replaced while it was read", ErrChanging)
	case StampOf(after) != StampOf(before), int64(n) != before.Size():
		return fmt.Errorf("%w: it changed while it was read", ErrChanging)
	case beingWritten(file):
		return fmt.Errorf("%w: another program has it open for writing", ErrChanging)
	}
	return nil
}

// Stamp tells one state of a file from others, as far as can be told without reading
// it. Stamps can be compared.
type Stamp struct {
	Mode     fs.FileMode
	Size     int64 // in bytes
	Modified int64 // in nanoseconds since 1970
	Changed  int64 // of the inode, likewise, which nobody can set back; 0 where there is none
	Device   uint64
	Inode    uint64
}

// StampOf makes the stamp of a file.
func StampOf(info fs.FileInfo) Stamp {
	s := Stamp{Mode: info.Mode(), Size: info.Size(), Modified: info.ModTime().UnixNano()}
	s.addSystem(info)
	return s
}

// Fresh reports whether a file was changed within a span around now. What changed within
// a tick of its file system's clock may change again without another stamp; a span of two
// seconds is enough for every file system that is in use.
func (s Stamp) Fresh(now time.Time, span time.Duration) bool {
	changed := s.Changed
	if changed == 0 {
		changed = s.Modified // which may be any time, also a later one than now
	}
	return changed > now.Add(-span).UnixNano() && changed < now.Add(span).UnixNano()
}
