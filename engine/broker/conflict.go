package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

// WrongSequenceError says that a last sequence is not the expected one. Nothing was stored.
type WrongSequenceError struct {
	Subject string // of the event whose expectation did not hold
	Event   int    // its place in a batch, from 1; 0: it was none
	Want    uint64
	Of      string // the subject whose last sequence was expected; empty: the stream's
	Have    uint64 // 0: there is no event
	Last    *Stored
}

func (e *WrongSequenceError) Error() string {
	where, of := "publish "+e.Subject, ""
	if e.Event > 0 {
		where = fmt.Sprintf("event %d of the batch, %s", e.Event, e.Subject)
	}
	switch e.Of {
	case e.Subject:
	case "":
		of = " of the stream"
	default:
		of = " of " + e.Of
	}
	return fmt.Sprintf("%s: expected last sequence %d%s: wrong last sequence: %d", where, e.Want, of, e.Have)
}

// Stored is an event of a stream.
type Stored struct {
	Sequence uint64
	Subject  string
	Time     time.Time // when it was stored
	Headers  map[string][]string
	Data     []byte
}

// ID is the message's id; empty when it has none.
func (s *Stored) ID() string { return nats.Header(s.Headers).Get(jetstream.MsgIDHeader) }

// conflict tells which expectation of a refused event does not hold, and what is there
// instead. It returns errAgain when all of them hold by now.
func (b *Broker) conflict(ctx context.Context, e Event) error {
	if e.LastSeq != nil {
		have, err := b.lastOf(ctx, e.Stream, e.Subject)
		if err != nil {
			return b.publishError(e, b.Explain(err))
		}
		if have != *e.LastSeq {
			last, err := b.find(ctx, e, ask{Seq: have})
			return errors.Join(err, &WrongSequenceError{Subject: e.Subject, Want: *e.LastSeq, Have: have, Last: last})
		}
	}
	if e.LastSubjectSeq != nil {
		of := e.of(e.Subject)
		last, err := b.find(ctx, e, ask{Last: of})
		if err != nil {
			return err
		}
		have := uint64(0)
		if last != nil {
			have = last.Sequence
		}
		if have != *e.LastSubjectSeq {
			return &WrongSequenceError{Subject: e.Subject, Want: *e.LastSubjectSeq, Of: of, Have: have, Last: last}
		}
	}
	return errAgain
}

// lastOf is the last sequence of a stream, which is the one of a subject if it is not named.
func (b *Broker) lastOf(ctx context.Context, stream, subject string) (uint64, error) {
	name, err := b.streamOf(ctx, stream, subject)
	if err != nil {
		return 0, err
	}
	st, err := b.js.Stream(ctx, name)
	if err != nil {
		return 0, err
	}
	return st.CachedInfo().State.LastSeq, nil
}

func (b *Broker) streamOf(ctx context.Context, stream, subject string) (string, error) {
	if stream != "" {
		return stream, nil
	}
	return b.js.StreamNameBySubject(ctx, subject)
}

// storedBefore finds an event that was refused because it is there already. A server
// looks at expectations before ids, unless the stream is replicated, so that the retry of
// an event whose answer was lost is refused on account of itself.
//
// Where an event was stored under an expectation follows from it: it is the first one
// after the sequence that was the last. So such an event is found however long ago
// it was stored; others within the duplicate window of the stream.
func (b *Broker) storedBefore(ctx context.Context, e Event) (sequence uint64, is bool, _ error) {
	if e.ID == "" || e.none() {
		return 0, false, nil
	}
	first := ask{}
	switch {
	case e.LastSeq != nil:
		first = ask{Seq: *e.LastSeq + 1}
	case streams.MatchSubject(e.of(e.Subject), []byte(e.Subject)):
		first = ask{Seq: *e.LastSubjectSeq + 1, Next: e.of(e.Subject)}
	default:
		return b.known(ctx, e)
	}
	m, err := b.find(ctx, e, first)
	if err != nil || m == nil || m.ID() != e.ID {
		return 0, false, err
	}
	return m.Sequence, true, nil
}

// known asks the server for the sequence that an id was stored with, within the duplicate
// window. It publishes an event that cannot be stored: that the last id of the stream is one that
// nobody has is checked after duplicates are looked for.
func (b *Broker) known(ctx context.Context, e Event) (sequence uint64, is bool, _ error) {
	m := &nats.Msg{Subject: e.Subject, Header: nats.Header{
		jetstream.MsgIDHeader:             {e.ID},
		jetstream.ExpectedLastMsgIDHeader: {"gnomon-" + rand.Text()},
	}}
	if e.Stream != "" {
		m.Header[jetstream.ExpectedStreamHeader] = []string{e.Stream}
	}
	ack, err := b.js.PublishMsg(ctx, m)
	var api *jetstream.APIError
	switch {
	case err == nil:
		return ack.Sequence, ack.Duplicate, nil
	case errors.As(err, &api):
		return 0, false, nil
	}
	return 0, false, b.publishError(e, b.Explain(err))
}

// ask is which event of a stream is asked for: the one at a sequence, the first one of a
// subject from there on, or the last one of a subject.
type ask struct {
	Seq        uint64
	Next, Last string // subjects, with wildcards or not
}

// find returns an event of the stream of e; nil when there is none.
func (b *Broker) find(ctx context.Context, e Event, what ask) (*Stored, error) {
	if what == (ask{}) {
		return nil, nil
	}
	m, err := b.get(ctx, e, what)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, b.publishError(e, b.Explain(err))
	}
	return &Stored{Sequence: m.Sequence, Subject: m.Subject, Time: m.Time, Headers: m.Header, Data: m.Data}, nil
}

func (b *Broker) get(ctx context.Context, e Event, what ask) (*jetstream.RawStreamMsg, error) {
	name, err := b.streamOf(ctx, e.Stream, e.Subject)
	if err != nil {
		return nil, err
	}
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	// So that the client asks the leader and no replica: nothing older is to be said than what
	// a refusal was about.
	s.CachedInfo().Config.AllowDirect = false
	switch {
	case what.Last != "":
		return s.GetLastMsgForSubject(ctx, what.Last)
	case what.Next != "":
		return s.GetMsg(ctx, what.Seq, jetstream.WithGetMsgSubject(what.Next))
	}
	return s.GetMsg(ctx, what.Seq)
}

// answerTimeout bounds a request to the server, as the client bounds its own.
const answerTimeout = 5 * time.Second
