package ingest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// What the server stores where an event expired is no event: it is passed over by
// readers that were there and by those that come later, in the middle of the stream
// and at its end, and positions pass over it.
func TestDeleteMarkers(t *testing.T) {
	r := newRig(t)
	stream := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Second}
	if _, err := r.js.UpdateStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	expiring := func(subject string) {
		if _, err := r.js.Publish(t.Context(), subject, []byte("short"), jetstream.WithMsgTTL(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	expiring("s.a")
	r.publish(&nats.Msg{Subject: "s.b", Data: []byte("b")})
	p := r.project(nil)
	early := r.open(1, anyLimit)
	r.awaitMarker(3, "s.a")
	p.awaitLive(3)
	r.publish(&nats.Msg{Subject: "s.c", Data: []byte("c")})
	expiring("s.d")
	r.awaitMarker(6, "s.d")
	p.awaitLive(6)
	if want := "1:short 2:b 4:c 5:short "; p.ledger() != want {
		t.Errorf("the ledger is %q, want %q", p.ledger(), want)
	}
	if got := sequencesThrough(t, early, 6); !slices.Equal(got, []uint64{1, 2, 4, 5}) {
		t.Errorf("the reader gave %d", got)
	}
	if got := sequencesThrough(t, r.open(1, anyLimit), 6); !slices.Equal(got, []uint64{2, 4}) {
		t.Errorf("a later reader gave %d", got)
	}
}

// An event that only calls itself a marker is an event: its data is not lost.
func TestEventThatLooksLikeAMarker(t *testing.T) {
	r := newRig(t)
	r.publish(&nats.Msg{Subject: "s.a", Data: []byte("a"), Header: nats.Header{jetstream.MarkerReasonHeader: {"Purge"}}})
	if got := sequencesThrough(t, r.open(1, anyLimit), 1); !slices.Equal(got, []uint64{1}) {
		t.Errorf("the reader gave %d", got)
	}
}

// sequencesThrough reads until a reader has caught up through a sequence, and returns
// those of its events.
func sequencesThrough(t *testing.T, reader streams.Reader, through uint64) (all []uint64) {
	t.Helper()
	testutil.Until(t, func() bool {
		b, err := reader.Take()
		if err != nil {
			t.Fatal(err)
		}
		if b != nil {
			for rest := b.Records; len(rest) > 0; {
				var e abi.Record
				if e, rest, err = abi.Next(rest); err != nil {
					t.Fatal(err)
				}
				all = append(all, e.Sequence)
			}
			return false
		}
		at, ok, err := reader.CaughtUp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok && at == through
	})
	return all
}

// awaitMarker waits until the stream ends with a marker.
func (r *rig) awaitMarker(sequence uint64, subject string) {
	r.t.Helper()
	var m *jetstream.RawStreamMsg
	testutil.Until(r.t, func() bool {
		var err error
		m, err = r.stream().GetMsg(r.t.Context(), sequence)
		return err == nil
	})
	if m.Subject != subject || len(m.Data) != 0 || m.Header.Get(jetstream.MarkerReasonHeader) != "MaxAge" {
		r.t.Fatalf("%d is no marker but %s %q %v: the test tests nothing", sequence, m.Subject, m.Data, m.Header)
	}
}
