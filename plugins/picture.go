package plugins

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gnomon/plugins/intact"
)

// racy is for how long a file may change again without another stamp.
const racy = 2 * time.Second

// maxHashed bounds what is read of a file to tell whether it changed, in bytes. The
// stamps have to do for larger ones, which no projection could load by default.
const maxHashed = 64 << 20

// stamps are what can be told of watched files without reading them, by path. One that
// is not there is absent.
type stamps map[string]intact.Stamp

// content tells what was in a file from what else was. What cannot be read has one, too.
type content [sha256.Size]byte

// read is the content of a file as of a stamp.
type read struct {
	stamp   intact.Stamp
	content content
	at      time.Time // when it was read
}

// picture is what was in watched files, by path.
type picture map[string]read

// look takes the stamps of files, and of those in folders that belong to modules.
func look(folders, files []string) stamps {
	s := stamps{}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // a folder that is not there holds nothing
		}
		for _, e := range entries {
			if ofModule(e.Name()) {
				s.add(filepath.Join(folder, e.Name()))
			}
		}
	}
	for _, file := range files {
		s.add(file)
	}
	return s
}

func (s stamps) add(path string) {
	info, err := os.Stat(path) // of what links lead to
	if err != nil {
		return
	}
	s[path] = intact.StampOf(info)
}

// ofModule reports whether a file of a folder is a module, its configuration or its
// signature.
func ofModule(name string) bool {
	return slices.Contains([]string{".wasm", ".toml", ".minisig"}, filepath.Ext(name))
}

// shoot reads the files that have other stamps than in a picture before, that may have
// changed since in spite of their stamps, or of which something was heard.
func shoot(before picture, s stamps, heard map[string]bool) picture {
	p := make(picture, len(s))
	for path, stamp := range s {
		old, known := before[path]
		if known && old.stamp == stamp && !heard[path] && !stamp.Fresh(old.at, racy) {
			p[path] = old
			continue
		}
		p[path] = read{stamp: stamp, content: contentOf(path, stamp), at: time.Now()}
	}
	return p
}

// restless reports whether there are files that may change without another stamp.
func (p picture) restless() bool {
	for _, r := range p {
		if r.stamp.Fresh(r.at, racy) {
			return true
		}
	}
	return false
}

// same reports whether files have these stamps still.
func (p picture) same(s stamps) bool {
	return maps.EqualFunc(p, s, func(r read, stamp intact.Stamp) bool { return r.stamp == stamp })
}

// equal reports whether the same was in the same files.
func (p picture) equal(q picture) bool {
	return maps.EqualFunc(p, q, func(a, b read) bool { return a.content == b.content })
}

// contentOf reads a file. One that cannot be read, or is too large to be, has its stamp
// for a content; what is no file, only its kind.
func contentOf(path string, stamp intact.Stamp) content {
	if !stamp.Mode.IsRegular() {
		return sha256.Sum256([]byte(stamp.Mode.Type().String()))
	}
	unread := content(sha256.Sum256(fmt.Appendf(nil, "%+v", stamp)))
	if stamp.Size > maxHashed {
		return unread
	}
	f, err := intact.Open(path)
	if err != nil {
		return unread
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return unread
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxHashed)); err != nil {
		return unread
	}
	return content(h.Sum(nil))
}

// parents are the folders that files are in.
func parents(paths []string) []string {
	var dirs []string
	for _, p := range paths {
		if dir := filepath.Dir(p); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// swapped reports whether a name is of those by which a ConfigMap is replaced: "..data".
func swapped(name string) bool { return strings.HasPrefix(name, "..") }
