package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
)

// StreamSpec declares a stream. Zero values stand for the server's defaults and
// are not compared.
type StreamSpec struct {
	Name       string
	Subjects   []string // none: the stream must exist
	Memory     bool     // kept in memory instead of files
	MaxAge     time.Duration
	MaxBytes   int64
	Duplicates time.Duration // window in which the server drops messages with a known id
	Replicas   int
	Atomic     bool // takes several events in one, all of them or none: see ADR-50 of NATS
}

// Difference is a setting that a stream has otherwise than declared.
type Difference struct{ Setting, Have, Want string }

func (d Difference) String() string {
	return fmt.Sprintf("%s is %s, the configuration says %s", d.Setting, d.Have, d.Want)
}

// EnsureStream creates a stream that is absent. One that exists is compared, and
// never changed.
func (b *Broker) EnsureStream(ctx context.Context, s StreamSpec) (created bool, _ []Difference, _ error) {
	have, err := b.js.Stream(ctx, s.Name)
	if err == nil {
		return false, s.compare(have.CachedInfo().Config), nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) || len(s.Subjects) == 0 {
		return false, nil, fmt.Errorf("stream %s: %w", s.Name, b.Explain(err))
	}
	if _, err := b.js.CreateStream(ctx, s.config()); err != nil {
		return false, nil, fmt.Errorf("create stream %s: %w", s.Name, b.Explain(err))
	}
	return true, nil, nil
}

func (s StreamSpec) config() jetstream.StreamConfig {
	storage := jetstream.FileStorage
	if s.Memory {
		storage = jetstream.MemoryStorage
	}
	return jetstream.StreamConfig{
		Name: s.Name, Subjects: s.Subjects, Storage: storage, Replicas: max(s.Replicas, 1),
		MaxAge: s.MaxAge, MaxBytes: s.MaxBytes, Duplicates: s.Duplicates,
		AllowAtomicPublish: s.Atomic,
	}
}

func (s StreamSpec) compare(have jetstream.StreamConfig) []Difference {
	want := s.config()
	var d []Difference
	add := func(setting string, declared bool, h, w any) {
		if hs, ws := fmt.Sprint(h), fmt.Sprint(w); declared && hs != ws {
			d = append(d, Difference{setting, hs, ws})
		}
	}
	hs, ws := slices.Sorted(slices.Values(have.Subjects)), slices.Sorted(slices.Values(want.Subjects))
	add("subjects", len(s.Subjects) > 0, strings.Join(hs, " "), strings.Join(ws, " "))
	add("storage", true, have.Storage, want.Storage)
	add("max_age", s.MaxAge > 0, have.MaxAge, want.MaxAge)
	add("max_bytes", s.MaxBytes > 0, have.MaxBytes, want.MaxBytes)
	add("duplicate_window", s.Duplicates > 0, have.Duplicates, want.Duplicates)
	add("replicas", s.Replicas > 0, have.Replicas, want.Replicas)
	add("allow_atomic", s.Atomic, have.AllowAtomicPublish, want.AllowAtomicPublish)
	return d
}

// WrongSequenceError says that a subject's last sequence is not the expected one.
// Nothing was stored.
type WrongSequenceError struct {
	Subject string
	Want    uint64
	Text    string // the server's words, with the actual sequence
}

func (e *WrongSequenceError) Error() string {
	return fmt.Sprintf("publish %s: expected last sequence %d: %s", e.Subject, e.Want, e.Text)
}

// Event is an event to publish.
type Event struct {
	Stream  string // that must store it; empty: any
	Subject string
	ID      string // of the message; empty: none
	Headers map[string][]string
	Data    []byte
	// ExpectLast is the last sequence that the subject must have, 0: none at all;
	// nil: not checked.
	ExpectLast *uint64
}

// Publish stores an event and returns its sequence. Duplicate says that the server
// had stored it before. It fails with a *WrongSequenceError when ExpectLast does
// not hold, with engine.ErrNoStream, wrapped, when no stream, or not the one named, stores
// the subject, and with engine.ErrSourceDown when the server cannot be reached.
func (b *Broker) Publish(ctx context.Context, e Event) (sequence uint64, duplicate bool, err error) {
	var o []jetstream.PublishOpt
	if e.ID != "" {
		o = append(o, jetstream.WithMsgID(e.ID))
	}
	if e.Stream != "" {
		o = append(o, jetstream.WithExpectStream(e.Stream))
	}
	if e.ExpectLast != nil {
		o = append(o, jetstream.WithExpectLastSequencePerSubject(*e.ExpectLast))
	}
	// The client adds headers of its own.
	ack, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: e.Subject, Header: maps.Clone(e.Headers), Data: e.Data}, o...)
	if err != nil {
		return 0, false, b.publishError(e, b.Explain(err))
	}
	return ack.Sequence, ack.Duplicate, nil
}

// streamNotMatch is the server's code for "expected stream does not match" (nats-server,
// server/errors.json); the client has no name for it.
const streamNotMatch jetstream.ErrorCode = 10060

// ErrTooLarge says that an event has more bytes than the server or its stream takes.
var ErrTooLarge = errors.New("event is too large")

// tooLarge is the server's code for "message size exceeds maximum allowed" (nats-server,
// server/errors.json), the limit of a stream.
const tooLarge jetstream.ErrorCode = 10054

func (b *Broker) publishError(e Event, err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("publish %s: %w: %d bytes and headers, at most %d are taken (max_payload of the server)",
			e.Subject, ErrTooLarge, len(e.Data), b.js.Conn().MaxPayload())
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence && e.ExpectLast != nil {
		return &WrongSequenceError{Subject: e.Subject, Want: *e.ExpectLast, Text: api.Description}
	}
	if errors.As(err, &api) && api.ErrorCode == tooLarge {
		return fmt.Errorf("publish %s: %w: %d bytes and headers: %s (max_msg_size of the stream)", e.Subject, ErrTooLarge, len(e.Data), api.Description)
	}
	if errors.As(err, &api) && api.ErrorCode == streamNotMatch {
		return fmt.Errorf("publish %s: %w: stream %s does not store this subject", e.Subject, engine.ErrNoStream, e.Stream)
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrDisconnected) {
		return fmt.Errorf("publish %s: %w: no stream stores this subject", e.Subject, engine.ErrNoStream)
	}
	if errors.Is(err, nats.ErrDisconnected) {
		return fmt.Errorf("publish %s: %w: %w", e.Subject, engine.ErrSourceDown, err)
	}
	return fmt.Errorf("publish %s: %w", e.Subject, err)
}
