package intact

import (
	"io/fs"
	"os"
	"syscall"
)

// nonblock keeps opening a pipe that nobody writes to from waiting.
const nonblock = syscall.O_NONBLOCK

func (s *Stamp) addSystem(info fs.FileInfo) {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Device, s.Inode, s.Changed = uint64(sys.Dev), sys.Ino, sys.Ctim.Nano()
	}
}

// beingWritten reports whether somebody has a file open for writing: it then cannot be
// leased for reading (fcntl(2), F_SETLEASE). The lease is given back at once; who opens
// the file meanwhile waits for that moment. False when it cannot be told, as on files of
// others and on most network file systems.
func beingWritten(file *os.File) bool {
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) {
		if _, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETLEASE, syscall.F_RDLCK); errno == 0 {
			_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETLEASE, syscall.F_UNLCK)
		}
	})
	return err == nil && errno == syscall.EAGAIN
}
