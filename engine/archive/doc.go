// Package archive holds a projection's state as of a version in one file, from which
// another node makes its keyspace and replays only what follows. A full archive has all
// of the state; an incremental one has what changed since a version that its receiver
// has.
//
// The file is written and read from front to back. Numbers are little-endian.
//
//	offset  size
//	     0     8  magic: 89 67 6E 61 72 0D 0A 1A
//	     8     4  format: 1
//	    12     4  n: size of the manifest, at most 4 MiB
//	    16     n  manifest: JSON, see Manifest
//	  16+n     4  CRC-32C of everything before
//	  20+n        blocks, the last of which is the trailer
//
// A block:
//
//	  0     1  kind: 'R' rows, 'E' trailer
//	  1     4  u: size of its content, at most 1 MiB
//	  5     4  p: size of its content as it is here, at most 1 MiB and 64 KiB
//	  9     p  content: of rows compressed, a Zstandard frame (RFC 8878)
//	9+p     4  CRC-32C of u64 number of the block, from 0, and of the block so far
//
// The contents of the blocks of rows, one after the other, are the steps of the manifest.
// A row begins with a byte that says what it is; sizes are unsigned varints (package
// encoding/binary). The rows of a step come in this order, and within it by key:
//
//	1  key of the state      size, key, size, value
//	2  key that is deleted   size, key
//	3  letter                size, key, size, value: an event that was set aside
//	4  letter that is gone   size, key
//	5  part of a memory      size, bytes: of the stream of a snapshot, see state.Memory
//	6  end of the step
//
// Deletions are among the other rows of their kind, and not in the first step of a full
// archive. A key has at most 64 KiB, a value at most 128 MiB.
//
// The content of the trailer is JSON, see Trailer: how many rows there were, and the
// SHA-256 of every byte before that block. Nothing follows it.
//
// A projection whose module keeps state in its own memory goes on from the newest
// snapshot of that, with the state as it was then. So its archive has two steps, unless
// the snapshot is of the archive's own version: up to the snapshot, and on from there.
package archive
