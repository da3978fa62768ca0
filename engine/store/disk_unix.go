//go:build unix

package store

import (
	"errors"
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

// freeBytes is how much this user may still write to the file system of a directory.
func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

// processEnded reports whether there is no process with an id. One in another container
// may not be seen from here.
func processEnded(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// DiskOf asks for the file system of a directory.
func DiskOf(dir string) (Disk, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return Disk{}, err
	}
	return Disk{
		Free: uint64(st.Bavail) * uint64(st.Bsize), Files: uint64(st.Ffree), All: uint64(st.Files),
		Network: network(dir), Memory: inMemory(dir),
	}, nil
}
