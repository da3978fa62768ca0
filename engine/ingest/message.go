package ingest

import (
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/sdk/abi"
)

// meta is what the reply subject of a delivered message says of it.
type meta struct {
	streamSeq, consumerSeq uint64
	timeNs                 int64
	pending                uint64
}

// parseReply reads a reply subject, of which JetStream has two forms:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>[.<token>]
//
// The client's own parser allocates; this is called for every event.
func parseReply(reply string) (m meta, ok bool) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return m, false
	}
	skip := 3
	switch dots := strings.Count(rest, "."); {
	case dots >= 8:
		skip = 5
	case dots != 6:
		return m, false
	}
	for range skip {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return m, false
		}
	}
	var n [4]uint64
	for i := range n {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		if n[i], ok = number(token); !ok {
			return m, false
		}
	}
	return meta{streamSeq: n[0], consumerSeq: n[1], timeNs: int64(n[2]), pending: n[3]}, true
}

// number reads a decimal number without sign.
func number(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	return n, true
}

// isMarker tells what the server itself stores where the last event of a subject
// expired or was removed, in streams that are to have such markers, from events: it is
// empty, and says why it is there. See ADR-43 of NATS:
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-43.md
func isMarker(m *nats.Msg) bool {
	return len(m.Data) == 0 && len(m.Header) > 0 && len(m.Header[jetstream.MarkerReasonHeader]) > 0
}

// appendHeaders encodes headers, ordered by name: the client gives them as a map,
// and a guest must see the same bytes every time.
func appendHeaders(dst []byte, headers map[string][]string) []byte {
	var few [16]string // on the stack
	names := slices.AppendSeq(few[:0], maps.Keys(headers))
	slices.Sort(names)
	for _, name := range names {
		dst = appendValues(dst, name, headers[name])
	}
	return dst
}

// appendValues leaves out a value that is too long for the encoding; servers limit
// all headers of a message to less.
func appendValues(dst []byte, name string, values []string) []byte {
	for _, v := range values {
		dst, _ = abi.AppendHeader(dst, name, v)
	}
	return dst
}
