package store

import (
	"testing"

	"gnomon/engine/state"
)

// A checkpoint that a crash of the machine took is not found again between those of the
// runs before and after it, whatever of it is on disk.
func TestLostCheckpointsAreNotFound(t *testing.T) {
	const durable, left = 20, 33
	_, dir := crashed(t, durable, left)
	rebooted(t, "second")
	d := openDir(t, dir)
	ks := openKeyspaceOf(t, d)
	ks.Keep(1)
	m := history(durable)
	m.commit(t, ks, 40, between(21, 40))
	check := func(ks state.Keyspace) {
		t.Helper()
		for at, want := range map[uint64]uint64{19: 19, durable: durable, durable + 1: durable, left: durable, 39: durable, 40: 40, 41: 40} {
			ck, err := ks.Checkpoint(state.LastAt(at))
			if err != nil || ck.Position.Sequence != want {
				t.Errorf("the checkpoint at %d is of %d, %v, want %d", at, ck.Position.Sequence, err, want)
			}
		}
	}
	check(ks)
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	rebooted(t, "third") // which is known after a clean end, too
	check(openKeyspaceOf(t, openDir(t, dir)))
}

// Of a keyspace from before horizons were noted nothing is read but what it ended with.
func TestUnknownHorizon(t *testing.T) {
	dir := t.TempDir()
	d := openDir(t, dir)
	ks := openKeyspaceOf(t, d)
	ks.Keep(1)
	m := model{}
	for i := uint64(1); i <= 5; i++ {
		m.commit(t, ks, i, historyAt(i))
	}
	last := requireLatest(t, ks, 5)
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	k := ks
	id := k.identity
	id.Horizon, id.Ends = 0, nil
	if err := id.write(k.dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	ks = openKeyspaceOf(t, openDir(t, dir))
	if got := ks.Oldest(); got != last.Version {
		t.Errorf("the oldest version is %d, want %d", got, last.Version)
	}
}
