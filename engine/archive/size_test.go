package archive_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	"gnomon/engine/archive"
	"gnomon/engine/state"
)

// fill commits so many rows, of about a hundred bytes each.
func fill(t testing.TB, ks state.Keyspace, rows int) state.Checkpoint {
	t.Helper()
	var ck state.Checkpoint
	for done := 0; done < rows; {
		var c state.Commit
		for range min(20_000, rows-done) {
			key := fmt.Sprintf("row/%09d", done)
			value := fmt.Appendf(nil, `{"id":%d,"name":"%x","items":[%d,%d,%d],"text":"some words that are the same"}`, done, done*7919, done%7, done%11, done%13)
			ck.Keys, ck.Bytes = ck.Keys+1, ck.Bytes+int64(len(key)+len(value))
			ck.Digest.Add(state.Term([]byte(key), value))
			c.Writes = append(c.Writes, state.Write{Key: key, Value: value})
			done++
		}
		ck.Version, ck.Position.Sequence = state.VersionAt(uint64(done)), uint64(done)
		c.Checkpoint = ck
		var err error
		if ck, err = ks.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return ck
}

// meter measures what is in use of the heap, at first at each write or read, and then now
// and then.
type meter struct {
	from   io.Reader
	before uint64 // in use at first, bytes
	most   uint64 // and later
	n      int
}

func newMeter(from io.Reader) *meter { return &meter{from: from, before: live()} }

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (m *meter) measure() {
	if m.n++; m.n < 10 || m.n%40 == 0 {
		m.most = max(m.most, live())
	}
}

// Write writes nowhere.
func (m *meter) Write(b []byte) (int, error) {
	m.measure()
	return len(b), nil
}

func (m *meter) Read(b []byte) (int, error) {
	m.measure()
	return m.from.Read(b)
}

// grown is how much more was in use than at first, at least a mebibyte.
func (m *meter) grown() uint64 { return max(m.most, m.before+1<<20) - m.before }

// Writing an archive, and reading it, takes the same memory however many rows there are.
func TestMemoryIsBounded(t *testing.T) {
	few, many := 10_000, 1_000_000
	if testing.Short() {
		many = 60_000
	}
	measure := func(rows int) (written, read uint64) {
		d := dir(t, t.TempDir())
		ks, err := d.Open(t.Context(), "p", "g", true)
		if err != nil {
			t.Fatal(err)
		}
		ck := fill(t, ks, rows)
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
		ks = keyspace(t, d) // its memory tables are empty
		x := archive.Export{Source: ks, Version: ck.Version, About: about}
		w := newMeter(nil)
		if _, err := archive.Write(t.Context(), w, x); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := archive.Write(t.Context(), &file, x); err != nil {
			t.Fatal(err)
		}
		m := newMeter(&file)
		r, err := archive.NewReader(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w.grown(), m.grown()
	}
	wroteFew, readFew := measure(few)
	wroteMany, readMany := measure(many)
	t.Logf("%d rows: %d KiB to write, %d to read; %d rows: %d KiB to write, %d to read", few, wroteFew>>10, readFew>>10, many, wroteMany>>10, readMany>>10)
	if wroteMany > 6*wroteFew || readMany > 6*readFew {
		t.Errorf("%d times the rows take %d and %d times the memory", many/few, wroteMany/wroteFew, readMany/readFew)
	}
}
