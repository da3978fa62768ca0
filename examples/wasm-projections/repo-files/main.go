// Command repo-files is a projection in Go that keeps a source tree as it stands:
// its files with their lines, its authors, and totals, from the commits that
// changed them. README.md describes its keys.
package main

import (
	"fmt"

	gnomon "gnomon/sdk/go"
)

// Change is the data of an event: one file in one commit. Binary files have no
// numbers of lines.
type Change struct {
	Path    string `json:"case"`
	What    string `json:"activity"` // file_added, file_modified or file_deleted
	Author  string `json:"resource"`
	Commit  string `json:"commit"`
	Added   int    `json:"added"`   // lines
	Removed int    `json:"removed"` // lines
}

// File is the value of a file in the tree.
type File struct {
	Lines   int    `json:"lines"`
	Changes int    `json:"changes"` // since it was added
	FirstMs int64  `json:"first_ms"`
	LastMs  int64  `json:"last_ms"`
	Author  string `json:"author"` // of the last change
	Commit  string `json:"commit"` // the last one
}

// Author is the value of an author.
type Author struct {
	Commits int    `json:"commits"`
	Changes int    `json:"changes"` // of files
	Added   int    `json:"added"`   // lines
	Removed int    `json:"removed"` // lines
	LastMs  int64  `json:"last_ms"`
	Commit  string `json:"commit"` // the last one
}

// Total is the value of the whole tree.
type Total struct {
	Files   int    `json:"files"`
	Lines   int    `json:"lines"`
	Commits int    `json:"commits"`
	Changes int    `json:"changes"` // of files
	LastMs  int64  `json:"last_ms"`
	Commit  string `json:"commit"` // the last one
}

func init() { gnomon.OnEvent(handle) }

func main() {}

func handle(ev gnomon.Event, st gnomon.State) error {
	var c Change
	if err := ev.JSON(&c); err != nil {
		return err
	}
	ms := ev.Time().UnixMilli()
	files, err := changeFile(st, &c, ms)
	if err != nil {
		return err
	}
	err = gnomon.Update(st, "author\t"+c.Author, func(a *Author) error {
		// The files of a commit follow each other.
		if a.Commit != c.Commit {
			a.Commits++
		}
		a.Changes++
		a.Added += c.Added
		a.Removed += c.Removed
		a.LastMs, a.Commit = ms, c.Commit
		return nil
	})
	if err != nil {
		return err
	}
	return gnomon.Update(st, "total", func(t *Total) error {
		if t.Commit != c.Commit {
			t.Commits++
		}
		t.Files += files
		t.Lines += c.Added - c.Removed
		t.Changes++
		t.LastMs, t.Commit = ms, c.Commit
		return nil
	})
}

// changeFile changes a file's value. It returns by how many the files of the tree
// become more.
func changeFile(st gnomon.State, c *Change, ms int64) (files int, err error) {
	key := "file\t" + c.Path
	f, present, err := gnomon.Load[File](st, key)
	if err != nil {
		return 0, err
	}
	switch {
	case c.What == "file_added" && !present:
		f.FirstMs = ms
		files = 1
	case c.What == "file_modified" && present:
	case c.What == "file_deleted" && present:
		return -1, st.Delete(key)
	default:
		return 0, fmt.Errorf("%s of %q, which is in the tree: %t", c.What, c.Path, present)
	}
	f.Lines += c.Added - c.Removed
	f.Changes++
	f.LastMs, f.Author, f.Commit = ms, c.Author, c.Commit
	return files, gnomon.Store(st, key, f)
}
