package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// OutletBackend is a server whose streams a suite can change and read, and the Outlet that
// publishes to them.
type OutletBackend interface {
	Backend
	streams.Outlet
}

// TestOutlet checks what every streams.Outlet must do, each subject on a new backend.
func TestOutlet(t *testing.T, backend func(t *testing.T) OutletBackend) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OutletBackend)
	}{
		{"a subject's stream is found", streamFound},
		{"messages are stored in order, whole and with their IDs", storedWhole},
		{"a repetition is stored once", repeatedOnce},
		{"many messages go in one call", storesMany},
		{"what is stored is listed after a sequence, by subject", listsStored},
		{"the listing ends when it is told to", listingEnds},
		{"a message that is too large is refused, with what follows it", tooLargeRefused},
		{"a subject that the stream does not store is refused", otherSubjectRefused},
		{"a stream that is gone has a name", goneStream},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, backend(t)) })
	}
}

// message is the n-th of a suite: every third begins a new group.
func message(n int) streams.Message {
	headers, _ := abi.AppendHeader(nil, "Gnomon-Sequence", fmt.Sprint(n/3))
	headers, _ = abi.AppendHeader(headers, "x-case", "Kept")
	return streams.Message{
		ID: fmt.Sprintf("p/l/%d/%d", n/3, n%3), Subject: fmt.Sprintf("e.%d", n%2), Headers: headers,
		Data: fmt.Appendf(nil, "data %d", n), Group: uint64(n / 3),
	}
}

func messages(from, to int) (all []streams.Message) {
	for n := from; n < to; n++ {
		all = append(all, message(n))
	}
	return all
}

// publish stores messages, all of them.
func publish(t *testing.T, b OutletBackend, m []streams.Message) (last uint64) {
	t.Helper()
	n, last, err := b.Publish(t.Context(), suiteStream, m)
	if n != len(m) || err != nil {
		t.Fatalf("%d of %d messages were stored: %v", n, len(m), err)
	}
	return last
}

// listed are the IDs of what is stored after a sequence.
func listed(t *testing.T, b OutletBackend, after uint64, subjects ...string) (ids []string) {
	t.Helper()
	var before uint64
	err := b.Stored(t.Context(), suiteStream, subjects, after, func(id string, seq uint64) bool {
		if seq <= before || seq <= after {
			t.Errorf("sequence %d is listed after %d", seq, max(before, after))
		}
		before = seq
		ids = append(ids, id)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func streamFound(t *testing.T, b OutletBackend) {
	fill(b, 3)
	info, err := b.StreamFor(t.Context(), "e.some.subject")
	if err != nil || info.Name != suiteStream || info.Last != 3 || info.Created.IsZero() {
		t.Errorf("stream of a subject is %+v, %v", info, err)
	}
	if _, err := b.StreamFor(t.Context(), "nobody.stores.this"); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("subject without a stream: %v", err)
	}
	if b.MaxBytes() < 1000 {
		t.Errorf("messages may have %d bytes", b.MaxBytes())
	}
}

func storedWhole(t *testing.T, b OutletBackend) {
	fill(b, 2)
	m := messages(0, 7)
	m[6].Headers, m[6].Data = nil, nil
	if last := publish(t, b, m); last != 9 {
		t.Errorf("the last is stored at %d, want 9", last)
	}
	for i, want := range m {
		e, err := b.Event(t.Context(), suiteStream, uint64(3+i))
		if err != nil {
			t.Fatal(err)
		}
		id, _ := e.Header(msgID)
		if string(e.Subject) != want.Subject || string(id) != want.ID || !bytes.Equal(e.Data, want.Data) {
			t.Errorf("message %d is stored as %s %s %q", i, e.Subject, id, e.Data)
		}
		if len(want.Headers) > 0 && (!bytes.Contains(e.Headers, []byte("x-case")) || !bytes.Contains(e.Headers, []byte("Kept"))) {
			t.Errorf("message %d has the headers %q", i, e.Headers)
		}
	}
}

func repeatedOnce(t *testing.T, b OutletBackend) {
	fill(b, 1)
	publish(t, b, messages(0, 6))
	if last := publish(t, b, messages(3, 6)); last != 7 {
		t.Errorf("what is stored already is said to be at %d, want 7", last)
	}
	if last := publish(t, b, messages(3, 9)); last != 10 {
		t.Errorf("the last is stored at %d, want 10", last)
	}
	if ids := listed(t, b, 0, "e.>"); len(ids) != 9 {
		t.Errorf("stored are %v", ids)
	}
}

func storesMany(t *testing.T, b OutletBackend) {
	fill(b, 0)
	m := messages(0, 3000)
	for i := range m { // one group is larger than a batch of most servers
		if i < 1500 {
			m[i].Group = 0
		}
	}
	if last := publish(t, b, m); last != 3000 {
		t.Errorf("the last is stored at %d", last)
	}
	ids := listed(t, b, 0, "e.>")
	for i := range m {
		if i < len(ids) && ids[i] != m[i].ID {
			t.Fatalf("message %d is %s, want %s", i, ids[i], m[i].ID)
		}
	}
	if len(ids) != len(m) {
		t.Errorf("%d are stored", len(ids))
	}
}

func listsStored(t *testing.T, b OutletBackend) {
	fill(b, 2) // which have no ID
	publish(t, b, messages(0, 6))
	for _, c := range []struct {
		after    uint64
		subjects []string
		want     []string
	}{
		{0, []string{"e.>"}, []string{"p/l/0/0", "p/l/0/1", "p/l/0/2", "p/l/1/0", "p/l/1/1", "p/l/1/2"}},
		{5, []string{"e.*"}, []string{"p/l/1/0", "p/l/1/1", "p/l/1/2"}},
		{3, []string{"e.1"}, []string{"p/l/0/1", "p/l/1/0", "p/l/1/2"}},
		{0, []string{"e.0", "e.1"}, []string{"p/l/0/0", "p/l/0/1", "p/l/0/2", "p/l/1/0", "p/l/1/1", "p/l/1/2"}},
		{8, []string{"e.>"}, nil},
		{90, []string{"e.>"}, nil},
		{0, []string{"f.>"}, nil},
	} {
		if got := listed(t, b, c.after, c.subjects...); !slices.Equal(got, c.want) {
			t.Errorf("after %d, of %v, are %v, want %v", c.after, c.subjects, got, c.want)
		}
	}
	b.Purge(suiteStream, 6)
	if got := listed(t, b, 0, "e.>"); len(got) != 3 {
		t.Errorf("after a purge are %v", got)
	}
	b.Purge(suiteStream, 9)
	if got := listed(t, b, 0, "e.>"); len(got) != 0 {
		t.Errorf("of an empty stream are %v", got)
	}
}

func listingEnds(t *testing.T, b OutletBackend) {
	fill(b, 0)
	publish(t, b, messages(0, 300))
	n := 0
	err := b.Stored(t.Context(), suiteStream, []string{"e.>"}, 0, func(string, uint64) bool { n++; return n < 5 })
	if n != 5 || err != nil {
		t.Errorf("%d are listed: %v", n, err)
	}
}

func tooLargeRefused(t *testing.T, b OutletBackend) {
	fill(b, 0)
	m := messages(0, 9)
	m[4].Data = make([]byte, b.MaxBytes()+1)
	n, _, err := b.Publish(t.Context(), suiteStream, m)
	if n > 4 || !errors.Is(err, streams.ErrRefused) {
		t.Errorf("%d are said to be stored: %v", n, err)
	}
	if ids := listed(t, b, 0, "e.>"); len(ids) != n || n < 3 {
		t.Errorf("%d are said to be stored, and there are %v", n, ids)
	}
}

func otherSubjectRefused(t *testing.T, b OutletBackend) {
	fill(b, 0)
	m := messages(0, 3)
	for i := range m {
		m[i].Subject = "nobody.stores.this"
	}
	if n, _, err := b.Publish(t.Context(), suiteStream, m); n != 0 || err == nil {
		t.Errorf("%d are stored: %v", n, err)
	}
}

func goneStream(t *testing.T, b OutletBackend) {
	if n, _, err := b.Publish(t.Context(), suiteStream, messages(0, 3)); n != 0 || err == nil {
		t.Errorf("%d are stored: %v", n, err)
	}
	err := b.Stored(t.Context(), suiteStream, []string{"e.>"}, 0, func(string, uint64) bool { return true })
	if !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("listing: %v", err)
	}
}
