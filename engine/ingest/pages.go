package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Facts describes a stream, whether it can be projected or not. It fails with
// streams.ErrNoStream or streams.ErrSourceDown, wrapped.
func (s *Source) Facts(ctx context.Context, name string) (streams.Facts, error) {
	ctx, cancel := s.limited(ctx, name)
	defer cancel()
	stream, err := s.leader(ctx, name)
	if err != nil {
		return streams.Facts{}, err
	}
	return factsOf(stream.CachedInfo()), nil
}

func factsOf(info *jetstream.StreamInfo) streams.Facts {
	c, st, is := info.Config, info.State, describe(info)
	f := streams.Facts{
		Name: is.Name, Subjects: append([]string{}, is.Subjects...), Created: is.Created.UTC(),
		First: is.First, Last: is.Last, FirstTime: st.FirstTime.UTC(), LastTime: is.LastTime.UTC(), Events: is.Events, Bytes: st.Bytes, Distinct: st.NumSubjects, Consumers: st.Consumers,
		Retention: strings.ToLower(c.Retention.String()), Storage: strings.ToLower(c.Storage.String()), Replicas: c.Replicas,
		MaxAge: c.MaxAge.Seconds(), MaxBytes: max(c.MaxBytes, 0), MaxEvents: max(c.MaxMsgs, 0), Duplicates: c.Duplicates.Seconds(),
		Mirror: is.Mirror, Sources: is.Sources,
	}
	if st.Msgs == 0 {
		f.FirstTime = time.Time{}
	}
	if st.LastSeq == 0 {
		f.LastTime = time.Time{}
	}
	return f
}

// Events returns a stretch of a stream, asking for its events one by one: it is for the few
// that a person looks at. It fails with streams.ErrNoStream or streams.ErrSourceDown,
// wrapped.
func (s *Source) Events(ctx context.Context, q streams.Query) (streams.Page, error) {
	ctx, cancel := s.limited(ctx, q.Stream)
	defer cancel()
	stream, err := s.leader(ctx, q.Stream)
	if err != nil {
		return streams.Page{}, err
	}
	info := describe(stream.CachedInfo())
	p := pager{source: s, stream: stream, subject: q.Subject, limit: q.Limit}
	if p.subject == "" {
		p.subject = ">"
	}
	if q.Before > 0 {
		return p.before(ctx, info.First, min(q.Before, info.Last+1))
	}
	return p.after(ctx, max(q.After+1, info.First), info.Last)
}

// pager reads stretches of a stream.
type pager struct {
	source  *Source
	stream  jetstream.Stream
	subject string
	limit   streams.ReadLimit
}

// after reads from a sequence on.
func (p *pager) after(ctx context.Context, from, last uint64) (streams.Page, error) {
	page := streams.Page{From: from, Through: last}
	if from > last {
		return page, nil
	}
	events, cut, err := p.span(ctx, from, last, p.limit)
	page.Events = events
	if cut {
		page.Through = events[len(events)-1].Sequence
	}
	return page, err
}

// before reads back from a sequence, in spans that it doubles while they hold too little: where
// events were deleted, or are of other subjects, one holds fewer than its sequences. A span
// that turns out to hold too much is halved.
func (p *pager) before(ctx context.Context, first, end uint64) (streams.Page, error) {
	page := streams.Page{From: end, Through: end - 1}
	left := p.limit
	for width := uint64(left.Events); left.Events > 0 && left.Bytes > 0 && page.From > first; {
		from := first
		if page.From-first > width {
			from = page.From - width
		}
		events, cut, err := p.span(ctx, from, page.From-1, streams.ReadLimit{Events: 4 * p.limit.Events, Bytes: 4 * p.limit.Bytes})
		if err != nil {
			return page, err
		}
		if cut && from < page.From-1 {
			width = max((page.From-from)/2, 1)
			continue
		}
		kept := lastOf(events, left)
		page.Events = append(kept, page.Events...)
		page.From = from
		if len(kept) < len(events) {
			page.From = events[len(events)-len(kept)-1].Sequence + 1
			break
		}
		for _, e := range kept {
			left.Bytes -= sizeOf(e)
		}
		left.Events -= len(kept)
		width *= 2
	}
	return page, nil
}

// lastOf are the last of some events that a limit lets through: one at least.
func lastOf(events []abi.Record, limit streams.ReadLimit) []abi.Record {
	n, bytes := 0, 0
	for n < min(len(events), limit.Events) {
		if bytes += sizeOf(events[len(events)-n-1]); bytes > limit.Bytes && n > 0 {
			break
		}
		n++
	}
	return events[len(events)-n:]
}

// span reads what is between two sequences, both included, and reports whether it was cut at
// the limit: whether there may be more.
func (p *pager) span(ctx context.Context, from, through uint64, limit streams.ReadLimit) (events []abi.Record, cut bool, err error) {
	for bytes := 0; from <= through; {
		m, err := p.stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(p.subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return events, false, nil
		}
		if err != nil {
			return events, false, p.source.failed(fmt.Sprintf("get the event after %d of stream %s", from-1, p.stream.CachedInfo().Config.Name), err)
		}
		if m.Sequence > through {
			return events, false, nil
		}
		e := record(m)
		if bytes += sizeOf(e); len(events) > 0 && (len(events) == limit.Events || bytes > limit.Bytes) {
			return events, true, nil
		}
		events, from = append(events, e), m.Sequence+1
	}
	return events, false, nil
}

func sizeOf(e abi.Record) int { return len(e.Subject) + len(e.Headers) + len(e.Data) }
