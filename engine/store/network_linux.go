package store

import (
	"slices"
	"syscall"
)

// networkFiles are the file systems whose files are on another machine, by their numbers in
// statfs(2) and linux/magic.h. FUSE is none of them: local disks and folders of a virtual
// machine's host use it as well as sshfs does, and the number does not tell.
var networkFiles = map[uint32]string{
	0x00006969: "NFS",
	0x0000517B: "SMB",
	0xFF534D42: "CIFS",
	0xFE534D42: "SMB2",
	0x01021997: "9P",
	0x00C36400: "Ceph",
	0x0BD00BD0: "Lustre",
	0x5346414F: "AFS",
	0x6B414653: "AFS",
	0x73757245: "Coda",
}

// fileSystem is the number of the file system that a directory is on. A variable for tests.
var fileSystem = func(dir string) (uint32, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return uint32(st.Type), err // narrower on some machines, and with a sign
}

// network is what a directory's file system is called, when its files are on another machine.
func network(dir string) string {
	number, err := fileSystem(dir)
	if err != nil {
		return ""
	}
	return networkFiles[number]
}

// memoryFiles are tmpfs and ramfs, likewise.
var memoryFiles = []uint32{0x01021994, 0x858458F6}

// inMemory reports whether the files of a directory are in memory.
func inMemory(dir string) bool {
	number, err := fileSystem(dir)
	return err == nil && slices.Contains(memoryFiles, number)
}
