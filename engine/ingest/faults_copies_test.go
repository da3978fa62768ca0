package ingest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/internal/testutil"
)

// A mirror is read with the numbers of its origin, and with the gaps where events were
// deleted before they were copied, or left out by a filter; it is caught up at its end.
func TestMirror(t *testing.T) {
	for name, c := range map[string]struct {
		filter string
		want   []uint64
	}{
		"whole":    {"", []uint64{1, 2, 4, 5, 6}},
		"filtered": {"s.even", []uint64{2, 4, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for n := 1; n <= 6; n++ {
				if _, err := r.js.Publish(t.Context(), []string{"s.even", "s.odd"}[n%2], fmt.Append(nil, n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.stream().DeleteMsg(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			mirror := r.create(jetstream.StreamConfig{Name: "M", Mirror: &jetstream.StreamSource{Name: "S", FilterSubject: c.filter}})
			awaitLast(t, mirror, 6)
			reader, err := r.source.Read(t.Context(), "M", 1, anyLimit)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(reader.Close)
			if got := sequencesThrough(t, reader, 6); !slices.Equal(got, c.want) {
				t.Errorf("the mirror gave %d, want %d", got, c.want)
			}
		})
	}
}

// A stream with several sources is read in its own numbers, those of each source in
// their order, with a header that says where an event came from.
func TestSourcedStream(t *testing.T) {
	r := newRig(t)
	r.create(jetstream.StreamConfig{Name: "T", Subjects: []string{"t.>"}})
	for n := 1; n <= 20; n++ {
		if _, err := r.js.Publish(t.Context(), []string{"s.x", "t.x"}[n%2], fmt.Appendf(nil, "%02d", n)); err != nil {
			t.Fatal(err)
		}
	}
	both := r.create(jetstream.StreamConfig{Name: "B", Sources: []*jetstream.StreamSource{{Name: "S"}, {Name: "T"}}})
	awaitLast(t, both, 20)
	reader, err := r.source.Read(t.Context(), "B", 1, anyLimit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	from := map[string][]string{}
	for i, e := range read(t, reader, 20) {
		if e.Sequence != uint64(i+1) {
			t.Errorf("event %d has the sequence %d", i+1, e.Sequence)
		}
		origin, _ := e.Header("Nats-Stream-Source")
		name, _, _ := strings.Cut(string(origin), " ")
		from[name] = append(from[name], string(e.Data))
	}
	if len(from["S"]) != 10 || len(from["T"]) != 10 || !slices.IsSorted(from["S"]) || !slices.IsSorted(from["T"]) {
		t.Errorf("from their sources came %q", from)
	}
}

// awaitLast waits until a stream ends at a sequence.
func awaitLast(t *testing.T, s jetstream.Stream, sequence uint64) {
	t.Helper()
	testutil.Until(t, func() bool {
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.LastSeq >= sequence
	})
}
