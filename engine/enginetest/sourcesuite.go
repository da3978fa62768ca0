package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Backend is a server whose streams a suite can change, beside the Source that
// reads them. Streams take the subjects "e.>". Server is one.
type Backend interface {
	streams.Source
	Create(stream string)
	Append(stream, subject string, data []byte) (sequence uint64)
	Delete(stream string, sequence uint64)
	Purge(stream string, before uint64)
	LoseReaders()
}

// TestSource checks what every streams.Source must do, each subject on a new
// backend.
func TestSource(t *testing.T, backend func(t *testing.T) Backend) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Backend)
	}{
		{"events come in order, whole and once", inOrder},
		{"reading starts anywhere", startsAnywhere},
		{"new events are announced", announced},
		{"batches keep their limits", limits},
		{"deleted events are passed over", deletedPassed},
		{"a purged beginning is passed over", purgedPassed},
		{"a lost reader says so, and the next goes on", lostSaysSo},
		{"streams are described", described},
		{"what is missing has a name", missing},
		{"events are found by time", byTime},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, backend(t)) })
	}
}

const suiteStream = "SUITE"

var anyBatch = streams.ReadLimit{Events: 100, Bytes: 1 << 20}

// fill creates the stream with n events.
func fill(b Backend, n int) {
	b.Create(suiteStream)
	more(b, 1, n)
}

func more(b Backend, from, n int) {
	for i := from; i < from+n; i++ {
		b.Append(suiteStream, fmt.Sprintf("e.%d", i), fmt.Appendf(nil, "data %d", i))
	}
}

func read(t *testing.T, b Backend, from uint64, limit streams.ReadLimit) streams.Reader {
	t.Helper()
	r, err := b.Read(t.Context(), suiteStream, from, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// got is a batch that outlives its reader's next Take.
type got struct {
	events  []abi.Record
	through uint64
	pending uint64
	bytes   int
}

// next waits for a batch.
func next(t *testing.T, r streams.Reader) (g got, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		batch, err := r.Take()
		if err != nil {
			return g, err
		}
		if batch != nil {
			return keep(t, batch), nil
		}
		select {
		case <-r.Ready():
		case <-ctx.Done():
			t.Fatal("no event came")
		}
	}
}

func keep(t *testing.T, b *streams.Batch) got {
	t.Helper()
	g := got{through: b.Through, pending: b.Pending, bytes: len(b.Records)}
	for rest := bytes.Clone(b.Records); len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		g.events, rest = append(g.events, e), after
	}
	if len(g.events) != b.Count || b.Count == 0 {
		t.Fatalf("batch counts %d events and holds %d", b.Count, len(g.events))
	}
	if last, ok := b.Last(); !ok || last.Sequence != g.events[b.Count-1].Sequence {
		t.Fatalf("Last is %d, the batch ends with %d", last.Sequence, g.events[b.Count-1].Sequence)
	}
	return g
}

// collect reads until a sequence was read through.
func collect(t *testing.T, r streams.Reader, through uint64) (all []abi.Record) {
	t.Helper()
	for last := uint64(0); last < through; {
		g, err := next(t, r)
		if err != nil {
			t.Fatal(err)
		}
		if g.through < g.events[len(g.events)-1].Sequence {
			t.Errorf("batch goes through %d and holds %d", g.through, g.events[len(g.events)-1].Sequence)
		}
		all, last = append(all, g.events...), g.through
	}
	return all
}

func wantSequences(t *testing.T, events []abi.Record, want ...uint64) {
	t.Helper()
	var have []uint64
	for _, e := range events {
		have = append(have, e.Sequence)
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("read %v, want %v", have, want)
	}
}

func upTo(from, to uint64) (all []uint64) {
	for ; from <= to; from++ {
		all = append(all, from)
	}
	return all
}

// caughtUp asks until the reader says how far it is.
func caughtUp(t *testing.T, r streams.Reader) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		through, ok, err := r.CaughtUp(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return through
		}
		if _, err := r.Take(); err != nil {
			t.Fatal(err)
		}
	}
}

func inOrder(t *testing.T, b Backend) {
	before := time.Now().Add(-time.Minute)
	fill(b, 250)
	r := read(t, b, 1, anyBatch)
	events := collect(t, r, 250)
	wantSequences(t, events, upTo(1, 250)...)
	for i, e := range events {
		if string(e.Subject) != fmt.Sprintf("e.%d", i+1) || string(e.Data) != fmt.Sprintf("data %d", i+1) {
			t.Fatalf("event %d is %s %q", e.Sequence, e.Subject, e.Data)
		}
		if at := time.Unix(0, e.TimeNs); at.Before(before) || at.After(time.Now().Add(time.Minute)) {
			t.Fatalf("event %d was stored at %s", e.Sequence, at)
		}
	}
	if through := caughtUp(t, r); through != 250 {
		t.Errorf("caught up through %d", through)
	}
}

func startsAnywhere(t *testing.T, b Backend) {
	fill(b, 20)
	for _, from := range []uint64{1, 2, 13, 20} {
		wantSequences(t, collect(t, read(t, b, from, anyBatch), 20), upTo(from, 20)...)
	}
	r := read(t, b, 21, anyBatch)
	if through := caughtUp(t, r); through != 20 {
		t.Errorf("a reader after the end is caught up through %d, want 20", through)
	}
	more(b, 21, 1)
	wantSequences(t, collect(t, r, 21), 21)
}

func announced(t *testing.T, b Backend) {
	fill(b, 0)
	r := read(t, b, 1, anyBatch)
	if through := caughtUp(t, r); through != 0 {
		t.Errorf("in an empty stream it is caught up through %d", through)
	}
	for i := 1; i <= 5; i++ {
		more(b, i, 1)
		g, err := next(t, r)
		if err != nil {
			t.Fatal(err)
		}
		wantSequences(t, g.events, uint64(i))
		if g.pending != 0 {
			t.Errorf("event %d: %d are pending", i, g.pending)
		}
	}
}

func limits(t *testing.T, b Backend) {
	fill(b, 30)
	large := bytes.Repeat([]byte("x"), 5000)
	b.Append(suiteStream, "e.large", large)
	more(b, 32, 3)
	limit := streams.ReadLimit{Events: 7, Bytes: 300}
	r := read(t, b, 1, limit)
	var all []abi.Record
	for last := uint64(0); last < 34; {
		g, err := next(t, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(g.events) > limit.Events || g.bytes > limit.Bytes && len(g.events) > 1 {
			t.Errorf("batch of %d events, %d bytes, want at most %+v", len(g.events), g.bytes, limit)
		}
		all, last = append(all, g.events...), g.through
		if want := 34 - last; last <= 34 && g.pending > want {
			t.Errorf("after %d there are %d pending, at most %d can be", last, g.pending, want)
		}
	}
	wantSequences(t, all, upTo(1, 34)...)
	if !bytes.Equal(all[30].Data, large) {
		t.Errorf("the large event has %d bytes", len(all[30].Data))
	}
}

func deletedPassed(t *testing.T, b Backend) {
	fill(b, 12)
	for _, seq := range []uint64{2, 5, 6, 11, 12} {
		b.Delete(suiteStream, seq)
	}
	r := read(t, b, 1, anyBatch)
	wantSequences(t, collect(t, r, 10), 1, 3, 4, 7, 8, 9, 10)
	if through := caughtUp(t, r); through != 12 {
		t.Errorf("caught up through %d, want 12: the last two are deleted", through)
	}
	more(b, 13, 1)
	wantSequences(t, collect(t, r, 13), 13)
}

func purgedPassed(t *testing.T, b Backend) {
	fill(b, 12)
	b.Purge(suiteStream, 9)
	wantSequences(t, collect(t, read(t, b, 1, anyBatch), 12), 9, 10, 11, 12)
	info, err := b.Stream(t.Context(), suiteStream)
	if err != nil || info.First != 9 || info.Last != 12 || info.Events != 4 {
		t.Errorf("stream %+v, %v", info, err)
	}
	b.Purge(suiteStream, 13)
	info, err = b.Stream(t.Context(), suiteStream)
	if err != nil || info.First != 13 || info.Last != 12 || info.Events != 0 {
		t.Errorf("emptied stream %+v, %v", info, err)
	}
	if through := caughtUp(t, read(t, b, 13, anyBatch)); through != 12 {
		t.Errorf("caught up through %d, want 12", through)
	}
}

func lostSaysSo(t *testing.T, b Backend) {
	fill(b, 40)
	r := read(t, b, 1, streams.ReadLimit{Events: 10, Bytes: 1 << 20})
	seen := uint64(0)
	g, err := next(t, r)
	for lost := false; err == nil; g, err = next(t, r) {
		if g.events[0].Sequence != seen+1 {
			t.Fatalf("after %d came %d", seen, g.events[0].Sequence)
		}
		seen = g.through
		if !lost {
			b.LoseReaders()
			more(b, 41, 1) // so that there is more to wait for
			lost = true
		}
		if seen == 41 {
			// A reader that had everything in hand notices when it asks for more.
			more(b, 42, 1)
		}
	}
	if !errors.Is(err, streams.ErrReaderLost) {
		t.Fatalf("a reader that was lost says: %v", err)
	}
	if _, again := r.Take(); !errors.Is(again, streams.ErrReaderLost) {
		t.Errorf("asked again it says: %v", again)
	}
	info, err := b.Stream(t.Context(), suiteStream)
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, collect(t, read(t, b, seen+1, anyBatch), info.Last), upTo(seen+1, info.Last)...)
}

func described(t *testing.T, b Backend) {
	before := time.Now().Add(-time.Minute)
	b.Create(suiteStream)
	info, err := b.Stream(t.Context(), suiteStream)
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != suiteStream || fmt.Sprint(info.Subjects) != "[e.>]" || info.First != 1 || info.Last != 0 || info.Events != 0 || !info.FirstTime.IsZero() || info.Created.Before(before) {
		t.Errorf("new stream: %+v", info)
	}
	more(b, 1, 3)
	again, err := b.Stream(t.Context(), suiteStream)
	if err != nil {
		t.Fatal(err)
	}
	if again.First != 1 || again.Last != 3 || again.Events != 3 || !again.Created.Equal(info.Created) || again.FirstTime.Before(before) || again.LastTime.Before(again.FirstTime) {
		t.Errorf("stream of three: %+v", again)
	}
	b.Create(suiteStream)
	if anew, err := b.Stream(t.Context(), suiteStream); err != nil || anew.Last != 0 || anew.Created.Equal(info.Created) {
		t.Errorf("a stream made anew: %+v, %v; the former was created at %s", anew, err, info.Created)
	}
}

func missing(t *testing.T, b Backend) {
	fill(b, 3)
	if _, err := b.Stream(t.Context(), "NONE"); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	if r, err := b.Read(t.Context(), "NONE", 1, anyBatch); !errors.Is(err, streams.ErrNoStream) {
		if err == nil {
			r.Close()
		}
		t.Errorf("reading no stream: %v", err)
	}
	b.Delete(suiteStream, 2)
	for _, seq := range []uint64{2, 4} {
		if _, err := b.Event(t.Context(), suiteStream, seq); !errors.Is(err, streams.ErrNoEvent) {
			t.Errorf("event %d: %v", seq, err)
		}
	}
	e, err := b.Event(t.Context(), suiteStream, 3)
	if err != nil || e.Sequence != 3 || string(e.Subject) != "e.3" || string(e.Data) != "data 3" {
		t.Errorf("event 3: %+v, %v", e, err)
	}
}

func byTime(t *testing.T, b Backend) {
	fill(b, 5)
	for seq := uint64(1); seq <= 5; seq++ {
		e, err := b.Event(t.Context(), suiteStream, seq)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.SequenceAt(t.Context(), suiteStream, time.Unix(0, e.TimeNs))
		if err != nil {
			t.Fatal(err)
		}
		// Events of one nanosecond share their time.
		same, err := b.Event(t.Context(), suiteStream, got)
		if err != nil || got > seq || same.TimeNs != e.TimeNs {
			t.Errorf("at the time of %d: %d", seq, got)
		}
	}
	for when, want := range map[time.Time]uint64{time.Unix(0, 0): 1, time.Now().Add(time.Hour): 6} {
		if got, err := b.SequenceAt(t.Context(), suiteStream, when); err != nil || got != want {
			t.Errorf("at %s: %d, %v, want %d", when, got, err, want)
		}
	}
}
