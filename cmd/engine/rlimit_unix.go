//go:build unix

package main

import "syscall"

// openFilesLimit is how many descriptors this process may have. The runtime has raised it as
// far as it may.
func openFilesLimit() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return uint64(l.Cur)
}
