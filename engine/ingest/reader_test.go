package ingest_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/ingest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
	"gnomon/sdk/abi"
)

// headers encodes pairs of names and values as a guest reads them.
func headers(pairs ...string) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b, _ = abi.AppendHeader(b, pairs[i], pairs[i+1])
	}
	return b
}

// odd are events that a careless reader would change, lose or stumble over.
func odd() []struct {
	name    string
	msg     nats.Msg
	headers []byte // as a guest reads them
} {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	long := strings.Repeat("v", 65000) // the server takes less than 64 KiB of headers
	return []struct {
		name    string
		msg     nats.Msg
		headers []byte
	}{
		{"nothing", nats.Msg{}, nil},
		{"every byte", nats.Msg{Data: every}, nil},
		{"line breaks and zeros", nats.Msg{Data: []byte("\r\n\r\n\x00PING\r\n")}, nil},
		{"headers only", nats.Msg{Header: nats.Header{"A": {"1"}}}, headers("A", "1")},
		{"headers by name", nats.Msg{Header: nats.Header{"b": {"2", "1"}, "B": {"3"}, "a": {""}}, Data: []byte("x")},
			headers("B", "3", "a", "", "b", "2", "b", "1")},
		{"long header", nats.Msg{Header: nats.Header{"L": {long}}}, headers("L", long)},
		{"headers like the server's own", nats.Msg{Header: nats.Header{"Nats-Sequence": {"7"}, "Nats-Subject": {"z"}}},
			headers("Nats-Sequence", "7", "Nats-Subject", "z")},
		{"a million bytes", nats.Msg{Data: bytes.Repeat([]byte("m"), 1e6)}, nil},
	}
}

// Events come in stream order, byte for byte, with their headers in the form of the
// ABI, and Event returns the same ones.
func TestEventsAreExact(t *testing.T) {
	for name, direct := range map[string]bool{"without direct get": false, "with direct get": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if _, err := r.js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowDirect: direct}); err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			for _, o := range odd() {
				o.msg.Subject = "s.odd"
				r.publish(&o.msg)
			}
			events := read(t, r.open(1, anyLimit), len(odd()))
			for i, o := range odd() {
				e := events[i]
				if e.Sequence != uint64(i+1) || string(e.Subject) != "s.odd" {
					t.Errorf("%s: came as event %d, subject %q", o.name, e.Sequence, e.Subject)
				}
				if stored := time.Unix(0, e.TimeNs); stored.Before(before) || stored.After(time.Now()) {
					t.Errorf("%s: stored at %v", o.name, stored)
				}
				if !bytes.Equal(e.Data, o.msg.Data) {
					t.Errorf("%s: data differ", o.name)
				}
				if !bytes.Equal(e.Headers, o.headers) {
					t.Errorf("%s: headers are %.200q, want %.200q", o.name, e.Headers, o.headers)
				}
				checkEvent(t, r, e)
			}
		})
	}
}

// checkEvent compares an event that was read with what Event says.
func checkEvent(t *testing.T, r *rig, e abi.Record) {
	t.Helper()
	got, err := r.source.Event(t.Context(), "S", e.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Append(nil), e.Append(nil)) {
		t.Errorf("event %d is read as %.300q, Event says %.300q", e.Sequence, e.Append(nil), got.Append(nil))
	}
}

// An event that looks like a message of the server to its client, empty and with
// a status, is read as every other.
func TestEventThatLooksLikeAStatus(t *testing.T) {
	for _, status := range []string{"100", "400", "408", "503", "OK"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.fill(1, 2)
			r.publish(&nats.Msg{Subject: "s.odd", Header: nats.Header{"Status": {status}}})
			r.fill(4, 5)
			events, _ := r.follow(1, 5, func(uint64) {})
			if len(events) != 5 || !bytes.Equal(events[2].Headers, headers("Status", status)) {
				t.Fatalf("%d events came: %+v", len(events), events)
			}
			checkEvent(t, r, events[2])
		})
	}
}

// What was deleted does not come, and nothing else is missing.
func TestDeletedEvents(t *testing.T) {
	r := newRig(t)
	r.fill(1, 9)
	for _, seq := range []uint64{1, 5, 6, 9} {
		if err := r.stream().DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	reader := r.open(1, anyLimit)
	checkNumbers(t, read(t, reader, 5), 2, 3, 4, 7, 8)
	if _, err := r.source.Event(t.Context(), "S", 5); !errors.Is(err, streams.ErrNoEvent) {
		t.Errorf("event 5, which was deleted: %v", err)
	}
	r.fill(10, 10)
	checkNumbers(t, read(t, reader, 1), 10)
}

// A batch is as large as its limits allow, counting records with their headers, and
// holds one event however large.
func TestBatchLimits(t *testing.T) {
	const events = 40
	big := bytes.Repeat([]byte("d"), 3000)
	tests := []struct {
		name  string
		msg   nats.Msg
		limit streams.ReadLimit
		most  int // events of a batch
	}{
		{"events", nats.Msg{Header: nats.Header{"H": {""}}, Data: big}, streams.ReadLimit{Events: 7, Bytes: 1 << 20}, 7},
		{"one event", nats.Msg{Header: nats.Header{"H": {""}}, Data: big}, streams.ReadLimit{Events: 1, Bytes: 1 << 20}, 1},
		{"bytes of data", nats.Msg{Header: nats.Header{"H": {""}}, Data: big}, streams.ReadLimit{Events: 1000, Bytes: 10_000}, 3},
		{"bytes of headers", nats.Msg{Header: nats.Header{"H": {string(big)}}}, streams.ReadLimit{Events: 1000, Bytes: 10_000}, 3},
		{"bytes of the record itself", nats.Msg{Header: nats.Header{"H": {""}}}, streams.ReadLimit{Events: 1000, Bytes: 10 * 48}, 10},
		{"every event exceeds the bytes", nats.Msg{Header: nats.Header{"H": {""}}, Data: big}, streams.ReadLimit{Events: 1000, Bytes: 100}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tt.msg.Subject = "s.n"
			for range events {
				r.publish(&tt.msg)
			}
			reader := r.open(1, tt.limit)
			size := (&abi.Record{Subject: []byte("s.n"), Data: tt.msg.Data, Headers: headers("H", tt.msg.Header.Get("H"))}).Size()
			testutil.Until(t, func() bool { return ingest.Full(reader, size) })
			largest := 0
			for seen := 0; seen < events; {
				b, err := take(t, reader)
				if err != nil {
					t.Fatal(err)
				}
				if b.Count > tt.limit.Events || b.Count > 1 && len(b.Records) > tt.limit.Bytes {
					t.Errorf("a batch has %d events and %d bytes", b.Count, len(b.Records))
				}
				if left := events - int(b.Through); b.Pending != uint64(left) {
					t.Errorf("after event %d the batch says that %d are left, not %d", b.Through, b.Pending, left)
				}
				for _, e := range records(t, b) {
					if seen++; e.Sequence != uint64(seen) {
						t.Fatalf("event %d came as number %d", e.Sequence, seen)
					}
				}
				largest = max(largest, b.Count)
			}
			if largest != tt.most {
				t.Errorf("the largest batch had %d events, %d fit", largest, tt.most)
			}
		})
	}
}

// A server may take messages larger than what a reader asks for at a time.
func TestEventLargerThanOnePull(t *testing.T) {
	large := bytes.Repeat([]byte("L"), 17<<20)
	r := newRig(t, natstest.With(func(o *server.Options) { o.MaxPayload, o.MaxPending = 20<<20, 64<<20 }))
	r.fill(1, 1)
	r.publish(&nats.Msg{Subject: "s.large", Data: large})
	r.fill(3, 3)
	events := read(t, r.open(1, anyLimit), 3)
	if !bytes.Equal(events[1].Data, large) {
		t.Errorf("event 2 came with %d bytes", len(events[1].Data))
	}
}

// A reader that nobody reads does not gather more than one batch, and goes on when
// it is read.
func TestReaderWaitsForItsReader(t *testing.T) {
	r := newRig(t)
	r.fill(1, 12_000) // more than the reader asks for ahead
	reader := r.open(1, streams.ReadLimit{Events: 10, Bytes: 1 << 20})
	events := read(t, reader, 12_000)
	checkNumbers(t, events, span(1, 12_000)...)
}

// Reading begins at the sequence asked for, also when that is gone or not stored
// yet, and not beyond the stream's next one.
func TestReadFrom(t *testing.T) {
	r := newRig(t)
	r.fill(1, 10)
	if err := r.stream().DeleteMsg(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	for from, first := range map[uint64]int{0: 1, 1: 1, 4: 5, 10: 10} {
		e := read(t, r.open(from, anyLimit), 1)[0]
		if e.Sequence != uint64(first) {
			t.Errorf("from %d the first event is %d, want %d", from, e.Sequence, first)
		}
	}
	next := r.open(11, anyLimit)
	r.fill(11, 11)
	checkNumbers(t, read(t, next, 1), 11)
	if _, err := r.source.Read(t.Context(), "S", 13, anyLimit); err == nil || !strings.Contains(err.Error(), "ends at 11") {
		t.Errorf("reading from 13 of 11: %v", err)
	}
}

// A reader that is closed leaves no consumer behind, and closing it twice, or while
// it waits for room, is no error.
func TestClose(t *testing.T) {
	r := newRig(t)
	r.fill(1, 50)
	reader, err := r.source.Read(t.Context(), "S", 1, streams.ReadLimit{Events: 1, Bytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := take(t, reader); err != nil {
		t.Fatal(err)
	}
	reader.Close()
	reader.Close()
	info, err := r.stream().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Consumers != 0 {
		t.Errorf("%d consumers are left", info.State.Consumers)
	}
}
