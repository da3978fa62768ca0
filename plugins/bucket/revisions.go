package bucket

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gnomon/plugins/intact"
)

// revisions are the folder of a Mirror. The folder is a link to its newest revision, which
// has all files, and never changes: a change makes another one, and then links to that. So
// whoever opens the folder sees it as it was at one moment; revisions before the newest
// one are kept for a while for those. They stand in a folder beside it, whose name begins
// with a dot.
type revisions struct {
	folder string // the link
	store  string // where the revisions are
	newest int    // number; 0: there is none
}

// record says what a revision holds. It is a file in it.
type record struct {
	Bucket      string              `json:"bucket"`
	Deployments map[string]deployed `json:"deployments"`
}

// deployed is one deployment in a revision.
type deployed struct {
	NUID   string            `json:"nuid"`   // of the object
	Digest string            `json:"digest"` // of the object
	Files  map[string]string `json:"files"`  // their SHA-256 digests in hex, by name
}

const recordFile = ".deployed.json"

// openRevisions finds the newest revision, removes what a crash left, and returns what
// the newest one holds: of the deployments those whose files are all what they were.
func openRevisions(folder string) (*revisions, record, map[string]error, error) {
	folder = filepath.Clean(folder)
	v := &revisions{folder: folder, store: filepath.Join(filepath.Dir(folder), "."+filepath.Base(folder))}
	if err := os.MkdirAll(v.store, 0o700); err != nil {
		return nil, record{}, nil, fmt.Errorf("create folder of deployed modules: %w", err)
	}
	to, err := os.Readlink(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v, record{}, nil, nil
	case err != nil:
		return nil, record{}, nil, fmt.Errorf("folder of deployed modules %s is not the link that it should be: move it away (%w)", folder, err)
	}
	if v.newest, err = revision(filepath.Base(to)); err != nil {
		return nil, record{}, nil, fmt.Errorf("folder of deployed modules %s leads to %s, which is no revision: remove it", folder, to)
	}
	held, damaged := v.verify()
	v.sweep()
	return v, held, damaged, nil
}

// revision reads the name of a revision.
func revision(name string) (int, error) {
	digits, ok := strings.CutPrefix(name, "r")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no revision", name)
	}
	return n, nil
}

func (v *revisions) path(n int) string { return filepath.Join(v.store, "r"+strconv.Itoa(n)) }

// verify reads the newest revision, and says which deployments are damaged, and how.
func (v *revisions) verify() (held record, damaged map[string]error) {
	damaged = map[string]error{}
	b, err := intact.ReadFile(filepath.Join(v.path(v.newest), recordFile), MaxBytes)
	if err == nil {
		err = json.Unmarshal(b, &held)
	}
	if err != nil {
		return record{}, map[string]error{recordFile: err}
	}
	for name, d := range held.Deployments {
		if err := v.verifyOne(name, d); err != nil {
			damaged[name] = err
			delete(held.Deployments, name)
		}
	}
	return held, damaged
}

func (v *revisions) verifyOne(name string, d deployed) error {
	files := Deployment{Name: name, Files: map[string][]byte{}}
	for file, want := range d.Files {
		b, err := intact.ReadFile(filepath.Join(v.path(v.newest), filepath.Base(file)), MaxBytes)
		if err != nil {
			return err
		}
		if got := digest(b); got != want {
			return fmt.Errorf("%s has the digest %s, not %s", file, got, want)
		}
		files.Files[file] = b
	}
	return files.check()
}

// add makes the next revision, of deployments that the newest one has and of fresh ones,
// and links to it. All of it is on disk when it returns; when it fails, the
// folder leads to the one or to the other.
func (v *revisions) add(r record, fresh map[string]Deployment) error {
	dir, err := os.MkdirTemp(v.store, "new-")
	if err != nil {
		return fmt.Errorf("make a revision of deployed modules: %w", err)
	}
	if err = v.fill(dir, r, fresh); err == nil {
		err = v.publish(dir)
	}
	v.sweep()
	if err != nil {
		return fmt.Errorf("make a revision of deployed modules: %w", err)
	}
	return nil
}

// fill writes the files of a revision.
func (v *revisions) fill(dir string, r record, fresh map[string]Deployment) error {
	for name, d := range r.Deployments {
		for file := range d.Files {
			to, err := filepath.Join(dir, file), error(nil)
			if f, ok := fresh[name]; ok {
				err = writeFile(to, f.Files[file])
			} else {
				err = share(filepath.Join(v.path(v.newest), file), to)
			}
			if err != nil {
				return err
			}
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return errors.Join(writeFile(filepath.Join(dir, recordFile), b), syncDir(dir))
}

// publish gives a revision its number, and links to it.
func (v *revisions) publish(dir string) error {
	n := v.newest + 1
	link := filepath.Join(v.store, "link")
	err := os.RemoveAll(v.path(n)) // one that was not linked to
	if err == nil {
		err = os.Rename(dir, v.path(n))
	}
	if err == nil {
		err = syncDir(v.store)
	}
	if err == nil {
		err = errors.Join(os.RemoveAll(link), os.Symlink(filepath.Join(filepath.Base(v.store), filepath.Base(v.path(n))), link))
	}
	if err == nil {
		err = os.Rename(link, v.folder)
	}
	if err != nil {
		return err
	}
	v.newest = n
	return syncDir(filepath.Dir(v.folder))
}

// grace is for how long a revision is kept that is not the newest one any more.
const grace = time.Minute

// sweep removes what nobody reads any more. What cannot be removed is left for the next
// time.
func (v *revisions) sweep() {
	entries, _ := os.ReadDir(v.store)
	for _, e := range entries {
		if n, err := revision(e.Name()); err != nil || n != v.newest && !v.recent(n) {
			_ = os.RemoveAll(filepath.Join(v.store, e.Name()))
		}
	}
}

// recent reports whether a revision was the newest one a while ago.
func (v *revisions) recent(n int) bool {
	next, err := os.Stat(v.path(n + 1))
	return err == nil && n < v.newest && time.Since(next.ModTime()) < grace
}

// share has a file in another folder, too.
func share(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	b, err := os.ReadFile(from) // a file system without links
	if err != nil {
		return err
	}
	return writeFile(to, b)
}

// writeFile writes a file that is on disk when it returns.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir has the names in a folder on disk.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// equal reports whether two records are of the same objects.
func (r record) equal(o record) bool {
	return r.Bucket == o.Bucket && maps.EqualFunc(r.Deployments, o.Deployments, func(a, b deployed) bool {
		return a.NUID == b.NUID && a.Digest == b.Digest
	})
}
