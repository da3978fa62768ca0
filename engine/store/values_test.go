package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine/state"
)

// partsOf counts the rows of parts of values that a version holds.
func partsOf(t *testing.T, ks *Keyspace, v state.Version) (n int) {
	t.Helper()
	tx := ks.db.NewTransactionAt(uint64(v), false)
	defer tx.Discard()
	o := badger.DefaultIteratorOptions
	o.PrefetchValues, o.Prefix = false, []byte("c")
	it := tx.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}

// A value of any size comes back, whatever was stored under its key before, and
// leaves no part of what it replaces; older versions keep theirs. -1: no value.
func TestValueSizes(t *testing.T) {
	t.Parallel()
	sizes := []int{-1, 0, chunkSize, chunkSize + 1, 3*chunkSize + 77}
	ks := openKeyspaceOf(t, openDir(t, t.TempDir()))
	m := model{}
	m.commit(t, ks, 1, map[string][]byte{"a": []byte("before"), "b\x00\x00\x00\x00": pattern(1, chunkSize+1), "z": []byte("after")})
	beside := partsOf(t, ks, state.VersionAt(1))
	value := func(seed, size int) []byte {
		if size < 0 {
			return nil
		}
		return pattern(seed, size)
	}
	sequence := uint64(1)
	for _, from := range sizes {
		for _, to := range sizes {
			t.Run(fmt.Sprintf("from %d to %d", from, to), func(t *testing.T) {
				sequence += 2
				first := m.commit(t, ks, sequence, map[string][]byte{"b": value(int(sequence), from)})
				before := maps.Clone(m)
				second := m.commit(t, ks, sequence+1, map[string][]byte{"b": value(int(sequence)+1, to)})
				requireState(t, ks, second.Version, m)
				requireState(t, ks, first.Version, before)
				if n := partsOf(t, ks, second.Version) - beside; n != chunks(to) {
					t.Errorf("%d parts are stored, want %d", n, chunks(to))
				}
			})
		}
	}
	if _, err := Verify(ks); err != nil {
		t.Fatal(err)
	}
}

// Values in parts are found by reads of their key and by scans of any part of the
// keyspace alike, after the keyspace was closed and opened too.
func TestScanOfLargeValues(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	ks := openKeyspaceOf(t, d)
	m := model{}
	long := strings.Repeat("k", 64_000) // the longest key that a guest can write
	for i, key := range []string{"", "a", "a\x00", "a\x00\x00\x00\x00", "a\x00\x00\x00\x01", "ab", "b", "\xff", "\xff\xff", long} {
		m.commit(t, ks, uint64(i+1), map[string][]byte{key: pattern(i, i%3*(chunkSize+i))})
	}
	for _, when := range []string{"before closing", "after opening"} {
		ck := requireLatest(t, ks, 10)
		requireState(t, ks, ck.Version, m)
		view, err := ks.View(ck.Version)
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			prefix, after string
			want          []string
		}{
			{"a", "", []string{"a", "a\x00", "a\x00\x00\x00\x00", "a\x00\x00\x00\x01", "ab"}},
			{"a\x00", "", []string{"a\x00", "a\x00\x00\x00\x00", "a\x00\x00\x00\x01"}},
			{"a", "a\x00\x00\x00\x00", []string{"a\x00\x00\x00\x01", "ab"}},
			{"", "b", []string{long, "\xff", "\xff\xff"}},
			{"\xff", "", []string{"\xff", "\xff\xff"}},
			{"\xff", "\xff", []string{"\xff\xff"}},
			{long, "", []string{long}},
			{"b", "a", []string{"b"}},
			{"b", "c", nil},
			{"nothing", "", nil},
		} {
			var got []string
			err := view.Scan([]byte(tc.prefix), []byte(tc.after), func(key, value []byte) bool {
				got = append(got, string(key))
				if !bytes.Equal(value, m[string(key)]) {
					t.Errorf("%s: value of %.20q has %d bytes, want %d", when, key, len(value), len(m[string(key)]))
				}
				return true
			})
			if err != nil || fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%s: scan of %.20q after %.20q: %.100q, %v; want %.100q", when, tc.prefix, tc.after, got, err, tc.want)
			}
		}
		view.Close()
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
		ks = openKeyspaceOf(t, d)
	}
}

// A commit as large as the keyspace says that one can be is taken, though it does not fit
// a transaction of the database.
func TestLimit(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	ks := openKeyspaceOf(t, d)
	limit := ks.Limit()
	rows := func(n, bytes int) map[string][]byte {
		changes := map[string][]byte{}
		for i := range n {
			key := fmt.Sprintf("%06d", i)
			changes[key] = pattern(i, max(bytes/n-len(key), 0))
		}
		return changes
	}
	m := model{}
	for i, changes := range []map[string][]byte{
		rows(limit.Writes, limit.Bytes), rows(1, limit.Bytes), rows(7, limit.Bytes), rows(1, 10),
	} {
		m.commit(t, ks, uint64(i+1), changes)
	}
	requireLatest(t, ks, 4)
	if _, err := Verify(ks); err != nil {
		t.Fatal(err)
	}
	if int64(limit.Writes) <= ks.db.MaxBatchCount() {
		t.Errorf("%d writes fit a transaction: nothing was written ahead", limit.Writes)
	}
}

// Rows that were written ahead of a commit which a crash prevented are never seen, and
// gone once the position has passed them.
func TestWrittenAheadAndLost(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	ks := openKeyspaceOf(t, d)
	m := model{}
	m.commit(t, ks, 1, map[string][]byte{"a": []byte("1"), "b": []byte("2")})
	lost := []state.Write{{Key: "a", Value: []byte("lost"), OldSize: 1}, {Key: "b", Delete: true, OldSize: 1}, {Key: "new", Value: pattern(1, 700_000)}}
	if err := ks.writeAhead(state.VersionAt(5), states, lost); err != nil {
		t.Fatal(err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	ks = openKeyspaceOf(t, d)
	for sequence := uint64(2); sequence < 8; sequence++ {
		m.commit(t, ks, sequence, map[string][]byte{fmt.Sprint(sequence): []byte("v")})
		requireLatest(t, ks, sequence)
		if _, err := Verify(ks); err != nil {
			t.Fatalf("at %d: %v", sequence, err)
		}
	}
}

// A log that a process was killed right after creating, or amid removing, and that holds
// nothing, does not keep a keyspace from being opened, or read without an engine.
func TestKilledWhileALogWasCreated(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"00001.mem", "00099.mem", "000001.vlog", "000099.vlog", "DISCARD"} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			d := openDir(t, dir)
			ks := openKeyspaceOf(t, d)
			m := model{}
			m.commit(t, ks, 1, map[string][]byte{"a": []byte("1")})
			if err := errors.Join(ks.Close(), d.Close()); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(ks.dbDir(), file), nil, 0o600); err != nil { // one that is there is cut
				t.Fatal(err)
			}
			if err := readOffline(t, dir); err != nil {
				t.Errorf("without an engine: %v", err)
			}
			ks = openKeyspaceOf(t, openDir(t, dir))
			requireState(t, ks, requireLatest(t, ks, 1).Version, m)
			if _, err := Verify(ks); err != nil {
				t.Fatal(err)
			}
		})
	}
}
