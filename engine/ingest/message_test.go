package ingest

import (
	"fmt"
	"math"
	"testing"

	"github.com/nats-io/nats.go"
)

// Both forms of a reply subject are read, whatever the names in it.
func TestParseReply(t *testing.T) {
	tests := []struct {
		reply string
		want  meta
	}{
		{"$JS.ACK.S.C.1.2.3.4.5", meta{streamSeq: 2, consumerSeq: 3, timeNs: 4, pending: 5}},
		{"$JS.ACK.1.2.3.4.5.6.7", meta{streamSeq: 4, consumerSeq: 5, timeNs: 6, pending: 7}},
		{"$JS.ACK._.ACC.S.C.1.2.3.4.5", meta{streamSeq: 2, consumerSeq: 3, timeNs: 4, pending: 5}},
		{"$JS.ACK.hub.ACC.S.C.1.2.3.4.5.x7", meta{streamSeq: 2, consumerSeq: 3, timeNs: 4, pending: 5}},
		{"$JS.ACK.S.C.1.9223372036854775807.2.1700000000000000000.0",
			meta{streamSeq: math.MaxInt64, consumerSeq: 2, timeNs: 1700000000000000000}},
	}
	for _, tt := range tests {
		if got, ok := parseReply(tt.reply); !ok || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.reply, got, ok, tt.want)
		}
	}
}

// A subject that is not a reply of JetStream is refused: no event may take a wrong
// sequence.
func TestParseReplyRefuses(t *testing.T) {
	for _, reply := range []string{
		"", "_INBOX.x", "$JS.ACK", "$JS.ACK.", "$JS.ACK.S.C.1.2.3.4", "$JS.ACK.S.C.1.2.3.4.", "$JS.ACK.S.C.1.x.3.4.5",
		"$JS.ACK.S.C.1.-2.3.4.5", "$JS.ACK.S.C.1.+2.3.4.5", "$JS.ACK.S.C.1. 2.3.4.5", "$JS.ACK.S.C.1.2.3.4.5.6",
		"$JS.ACK.S.C.1.10000000000000000000.3.4.5", "$JS.ACK.S.C.1.99999999999999999999999.3.4.5", "$js.ack.S.C.1.2.3.4.5",
	} {
		if m, ok := parseReply(reply); ok {
			t.Errorf("%q was read as %+v", reply, m)
		}
	}
}

// The client's own parser is the reference: what this one reads, that one reads
// alike.
func FuzzParseReply(f *testing.F) {
	f.Add("$JS.ACK.S.C.1.2.3.4.5")
	f.Add("$JS.ACK._.ACC.S.C.1.2.3.4.5")
	f.Add("$JS.ACK.hub.ACC.S.C.1.2.3.4.5.token")
	f.Add("$JS.ACK.S.C.1.18446744073709551615.3.4.5")
	f.Add("$JS.ACK.........")
	f.Fuzz(func(t *testing.T, reply string) {
		m, ok := parseReply(reply)
		if !ok {
			return
		}
		// The client gives metadata only of a message that came by a subscription.
		msg := &nats.Msg{Reply: reply, Sub: &nats.Subscription{}}
		ref, err := msg.Metadata()
		if err != nil {
			t.Fatalf("%q was read as %+v; the client says %v", reply, m, err)
		}
		want := meta{ref.Sequence.Stream, ref.Sequence.Consumer, ref.Timestamp.UnixNano(), ref.NumPending}
		if m != want {
			t.Fatalf("%q was read as %+v, by the client as %+v", reply, m, want)
		}
	})
}

// Headers are laid out by name, whatever the order of the map, and the values of a
// name stay in their order.
func TestAppendHeaders(t *testing.T) {
	h := map[string][]string{"b": {"2", "1"}, "a": {""}, "B": {"3"}}
	for i := range 30 {
		h[fmt.Sprintf("c%02d", i)] = nil // no values: no header
	}
	want := "\x01\x00\x01\x00B3" + "\x01\x00\x00\x00a" + "\x01\x00\x01\x00b2" + "\x01\x00\x01\x00b1"
	for range 20 {
		if got := appendHeaders(nil, h); string(got) != want {
			t.Fatalf("headers are %q, want %q", got, want)
		}
	}
}
