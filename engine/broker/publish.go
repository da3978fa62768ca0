package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

// Event is an event to publish.
type Event struct {
	Stream  string // that must store it; empty: any
	Subject string
	ID      string // of the message, by which a second one is told; empty: none
	Headers map[string][]string
	Data    []byte
	Expect
}

// Expect is what must hold when an event is stored. The zero value is nothing. Both
// sequences may be given; then both must hold.
type Expect struct {
	LastSeq        *uint64 // of the stream's last event; 0: nothing was ever stored
	LastSubjectSeq *uint64 // of the last event of the event's subject, or of Filter; 0: there is none
	Filter         string  // a subject, with wildcards or not; empty: the event's own
}

// none reports whether nothing is expected.
func (x Expect) none() bool { return x.LastSeq == nil && x.LastSubjectSeq == nil }

// of is the subject whose last sequence is expected, for an event of a subject.
func (x Expect) of(subject string) string {
	if x.Filter != "" {
		return x.Filter
	}
	return subject
}

// Errors of publishing.
var (
	// ErrTooLarge says that an event, or a batch, is more than the server or its stream takes.
	ErrTooLarge = errors.New("event is too large")
	// ErrInDoubt says that the server did not answer: the event may be stored. Published
	// again with the same id it is stored once.
	ErrInDoubt = errors.New("it is not known whether it was stored")
	// ErrBadExpectation says that something is expected that the server cannot check.
	ErrBadExpectation = errors.New("expectation cannot be checked")
	// ErrInTheWay says that others are storing events of the same subject just now, again
	// and again. Nothing was stored.
	ErrInTheWay = errors.New("other events are in the way")
)

// Codes of the server (nats-server, server/errors.json) that the client has no names for.
const (
	streamNotMatch    jetstream.ErrorCode = 10060 // expected stream does not match
	codeTooLarge      jetstream.ErrorCode = 10054 // message size exceeds maximum allowed: the limit of a stream
	codeConflict      jetstream.ErrorCode = 10158 // the same id is on its way to the replicas
	codeWrongInFlight jetstream.ErrorCode = 10164 // wrong last sequence, of a subject with events on their way to the replicas
	atomicBusy        jetstream.ErrorCode = 10210 // as many batches as the server takes are on their way
)

// headersOf are an event's headers with those that ask the server for something.
func headersOf(e Event) nats.Header {
	h := nats.Header(maps.Clone(e.Headers))
	if h == nil {
		h = nats.Header{}
	}
	set := func(name, value string) { h[name] = []string{value} }
	if e.ID != "" {
		set(jetstream.MsgIDHeader, e.ID)
	}
	if e.Stream != "" {
		set(jetstream.ExpectedStreamHeader, e.Stream)
	}
	if e.LastSeq != nil {
		set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(*e.LastSeq, 10))
	}
	if e.LastSubjectSeq != nil {
		set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(*e.LastSubjectSeq, 10))
		if e.Filter != "" {
			set(jetstream.ExpectedLastSubjSeqSubjHeader, e.Filter)
		}
	}
	return h
}

// Publish stores an event and returns its sequence. Duplicate says that it was stored
// before: the server knows the id, or where the expectation says that the event would be
// there is one with its id; so a retry is answered as what it repeats, also when its
// expectation does not hold any more because of that.
//
// It fails with a *WrongSequenceError when an expectation does not hold, with
// streams.ErrNoStream, wrapped, when no stream, or not the one named, stores the subject,
// and with ErrInDoubt when it is not known whether the event was stored; that is an
// streams.ErrSourceDown, too, when the server cannot be reached.
func (b *Broker) Publish(ctx context.Context, e Event) (sequence uint64, duplicate bool, err error) {
	ctx, done := b.Permitted(ctx, e.Subject, e.Stream)
	defer done()
	if err := b.checkExpectations(ctx, e); err != nil {
		return 0, false, fmt.Errorf("publish %s: %w", e.Subject, err)
	}
	err = b.retry(ctx, func() error {
		ack, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: e.Subject, Header: headersOf(e), Data: e.Data})
		if err == nil {
			sequence, duplicate = ack.Sequence, ack.Duplicate
			return nil
		}
		if !refused(err) {
			return b.publishError(e, b.Explain(err))
		}
		if sequence, duplicate, err = b.storedBefore(ctx, e); err != nil || duplicate {
			return err
		}
		return b.conflict(ctx, e)
	})
	return sequence, duplicate, err
}

// refused reports whether an expectation did not hold, or an event with the same id is on
// its way.
func refused(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	return api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == codeWrongInFlight || api.ErrorCode == codeConflict
}

// errAgain says that what stood in the way is gone.
var errAgain = errors.New("again")

// retry calls until there is another error than errAgain: of a replicated stream the
// server refuses what other events are on their way for, whatever becomes of those.
func (b *Broker) retry(ctx context.Context, call func() error) error {
	const attempts = 10 // 2.6 s
	for n := range attempts {
		err := call()
		if !errors.Is(err, errAgain) {
			return err
		}
		select {
		case <-time.After(min(5*time.Millisecond<<n, 500*time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("publish: %w", ErrInTheWay)
}

// checkExpectations refuses what the server would let pass unchecked. Of a replicated stream
// it checks a subject with wildcards against what is stored, and not against other
// events on their way to the replicas, which may match it: two would be stored where only one may.
func (b *Broker) checkExpectations(ctx context.Context, e Event) error {
	switch {
	case e.Filter == "":
		return nil
	case e.LastSubjectSeq == nil:
		return fmt.Errorf("%w: a subject is named, %s, and no sequence that its last event must have", ErrBadExpectation, e.Filter)
	case !wild(e.Filter):
		return nil
	case e.Stream == "":
		return fmt.Errorf("%w: for a subject with wildcards, %s, the stream must be named", ErrBadExpectation, e.Filter)
	}
	st, err := b.js.Stream(ctx, e.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // publishing tells
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", e.Stream, b.Explain(err))
	}
	if n := st.CachedInfo().Config.Replicas; n > 1 {
		return fmt.Errorf("%w: stream %s has %d replicas, and of those a server checks %s only against what is stored already: expect the last sequence of one subject, or of the stream",
			ErrBadExpectation, e.Stream, n, e.Filter)
	}
	return nil
}

func wild(subject string) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "*" || token == ">" {
			return true
		}
	}
	return false
}

func (b *Broker) publishError(e Event, err error) error {
	var api *jetstream.APIError
	errors.As(err, &api)
	code := jetstream.ErrorCode(0)
	if api != nil {
		code = api.ErrorCode
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("publish %s: %w: %d bytes and headers, at most %d are taken (max_payload of the server)",
			e.Subject, ErrTooLarge, len(e.Data), b.js.Conn().MaxPayload())
	case code == codeTooLarge:
		return fmt.Errorf("publish %s: %w: %d bytes and headers: %s (max_msg_size of the stream)", e.Subject, ErrTooLarge, len(e.Data), api.Description)
	case code == streamNotMatch:
		return fmt.Errorf("publish %s: %w: stream %s does not store this subject", e.Subject, streams.ErrNoStream, e.Stream)
	case errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("publish %s: %w: no stream stores this subject", e.Subject, streams.ErrNoStream)
	case errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("publish %s: %w: %w: %w", e.Subject, ErrInDoubt, streams.ErrSourceDown, err)
	case api == nil && !errors.Is(err, nats.ErrPermissionViolation) && !errors.Is(err, nats.ErrBadSubject):
		return fmt.Errorf("publish %s: %w: %w", e.Subject, ErrInDoubt, err)
	}
	return fmt.Errorf("publish %s: %w", e.Subject, err)
}
