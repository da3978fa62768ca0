package store

import (
	"fmt"

	"gnomon/engine/state"
)

// keyspaceRoom is what opening a keyspace, a commit to it, or closing it may write: its
// logs, and tables of what they held.
const keyspaceRoom = 3 * memTable

// Free implements engine.Space.
func (d *Dir) Free() (uint64, error) { return d.free(d.path) }

// CheckRoom refuses to open so many keyspaces on a disk that they would fill: there the
// process would die, and every one that is started after it. From then on each keyspace
// looks for room itself, right before it writes: other programs may have taken it since
// anybody looked.
func (d *Dir) CheckRoom(keyspaces int) error {
	d.watched = true
	free, err := d.Free()
	if need := uint64(keyspaces) * keyspaceRoom; err == nil && free < need {
		return fmt.Errorf("data directory %s: the disk has %d MiB left, and opening %d keyspaces may take %d MiB: make room; nothing was touched", d.path, free>>20, keyspaces, need>>20)
	}
	return nil
}

// room returns an error when the disk has less room than is needed. It asks the system, which
// takes a microsecond or two: a tenth of the smallest commit.
//
// A file of ballast, which no other program can take, was considered, and would save little:
// what is not committed is in the stream, and what is committed needs no more room. It would
// have to be given up before it is known who takes it.
func (d *Dir) room(need uint64) error {
	if !d.watched {
		return nil
	}
	free, err := d.Free()
	if err != nil || free >= need {
		return nil
	}
	return fmt.Errorf("the disk has %d MiB left, and %d MiB may be needed: make room", free>>20, need>>20)
}

// needs is what a commit may write.
func needs(c state.Commit) uint64 {
	n := uint64(keyspaceRoom)
	for _, blob := range c.Memory {
		n += uint64(len(blob))
	}
	return n
}
