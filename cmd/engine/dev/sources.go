package dev

import (
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gnomon/cmd/engine/cli"
)

// sources are the files of a project, less those that are made of them.
type sources struct {
	dir     string
	roots   []string   // files and folders, those below them included; none: dir
	without []string   // folders
	written []*os.File // that the program writes to, which may be among them
	last    picture
}

// picture is what was in files, by path.
type picture map[string]sourceFile

type sourceFile struct {
	size    int64
	changed time.Time
	content [sha256.Size]byte
}

// lookEvery is the time between two looks at the sources. Events of the file system would
// be faster, and have to be asked for folder by folder; there are a few dozen files.
const lookEvery = 200 * time.Millisecond

// madeFolders are names of folders that hold nothing but what tools make.
var madeFolders = []string{"build", "node_modules", "target"}

// look reads the files that have changed since the last look. A file that cannot be read
// is one that is not there.
func (s *sources) look() picture {
	now := picture{}
	roots := s.roots
	if len(roots) == 0 {
		roots = []string{s.dir}
	}
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil: // it is gone meanwhile
			case d.IsDir() && path != root && s.passed(path, d.Name()):
				return fs.SkipDir
			case !d.IsDir():
				s.lookAt(path, d, now)
			}
			return nil
		})
	}
	s.last = now
	return now
}

// lookAt reads a file, if it is a source, and has changed.
func (s *sources) lookAt(path string, d fs.DirEntry, now picture) {
	info, err := d.Info()
	if err != nil || !info.Mode().IsRegular() || isAside(d.Name()) || s.isWritten(info) {
		return
	}
	if f, ok := s.last[path]; ok && f.size == info.Size() && f.changed.Equal(info.ModTime()) && time.Since(f.changed) > racyFor {
		now[path] = f
	} else if content, err := contentOf(path); err == nil {
		now[path] = sourceFile{info.Size(), info.ModTime(), content}
	}
}

// racyFor is for how long a file may change again without another time.
const racyFor = 2 * time.Second

// passed reports whether a folder holds no sources.
func (s *sources) passed(path, name string) bool {
	if strings.HasPrefix(name, ".") || slices.Contains(madeFolders, name) {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && slices.ContainsFunc(s.without, func(dir string) bool {
		other, err := os.Stat(dir)
		return err == nil && os.SameFile(info, other)
	})
}

// isAside reports whether a file is what editors keep beside another, or a log.
func isAside(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".log")
}

// isWritten reports whether a file is one that is written to by looking at the others: each
// look would find it changed.
func (s *sources) isWritten(file fs.FileInfo) bool {
	return slices.ContainsFunc(s.written, func(f *os.File) bool {
		info, err := f.Stat()
		return err == nil && os.SameFile(info, file)
	})
}

func contentOf(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// await waits until the files have another content than those that were seen, and have come
// to rest, and returns which; none when ctx ended.
func (s *sources) await(ctx context.Context, seen picture) []string {
	for before := seen; cli.Wait(ctx, lookEvery); {
		now := s.look()
		files := now.otherThan(seen)
		if len(files) > 0 && len(now.otherThan(before)) == 0 {
			for i, f := range files {
				if rel, err := filepath.Rel(s.dir, f); err == nil {
					files[i] = rel
				}
			}
			return files
		}
		before = now
	}
	return nil
}

// otherThan lists the files that are not in the other one as they are in this one, sorted.
func (p picture) otherThan(o picture) []string {
	other := map[string]bool{}
	for path, f := range p {
		if g, ok := o[path]; !ok || g.content != f.content {
			other[path] = true
		}
	}
	for path := range o {
		if _, ok := p[path]; !ok {
			other[path] = true
		}
	}
	return slices.Sorted(maps.Keys(other))
}
