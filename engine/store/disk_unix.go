//go:build unix

package store

import (
	"io/fs"
	"path/filepath"
	"syscall"
)

// diskBytes is what the files below a directory take of the disk. Badger's logs are
// sparse: their length says nothing.
func diskBytes(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && d.Type().IsRegular() {
				n += st.Blocks * 512
			}
		}
		return nil
	})
	return n
}
