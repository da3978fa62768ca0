package store

// Disk is what is known of the file system that a directory is on.
type Disk struct {
	Free    uint64 // bytes that this user may still write
	Files   uint64 // that may still be made
	All     uint64 // files that it can hold; 0: it has no such limit, or does not say
	Network string // what it is called, when its files are on another machine; empty: they are here, or it is not known
	Memory  bool   // its files are in memory, and gone when the machine stops
}
