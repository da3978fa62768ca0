package dashboard

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
)

// eventsOnPage is how many events of a stream a page shows.
const eventsOnPage = 30

// streamPage is a stream with some of its events.
type streamPage struct {
	Facts              streams.Facts
	MaxAge, Duplicates time.Duration
	Passages           []passage // of its projections, the furthest first
	Rows               []streamRow
	Asked              client.Stretch
	Around             uint64       // the sequence that was asked for; 0: none
	Older, Newer       string       // addresses of the pages beside this one; empty: there is none
	From, To           uint64       // what the page covers
	Empty              *emptyStream // nil: it had events
}

// streamRow is an event, or how far projections are: they reflect what is above.
type streamRow struct {
	Event  *shownEvent
	Marker []passage
}

// passage is how far a projection is in its stream.
type passage struct {
	Projection       string
	Position, Behind uint64
	State            engine.RunnerState
}

// stream shows a stream, and its events around a sequence or a time.
func (d *Dashboard) stream(r *http.Request) (*page, error) {
	name, q := r.PathValue("stream"), r.URL.Query()
	stretch := client.Stretch{Around: q.Get("around"), After: q.Get("after"), Before: q.Get("before"), Subject: q.Get("subject"), Limit: eventsOnPage}
	facts, err := d.ask.Stream(r.Context(), name)
	if err != nil {
		return nil, err
	}
	events, err := d.ask.Events(r.Context(), name, stretch)
	if err != nil {
		return nil, err
	}
	all, err := d.ask.Projections(r.Context())
	if err != nil {
		return nil, err
	}
	s := streamPage{
		Facts: facts, MaxAge: seconds(facts.MaxAge), Duplicates: seconds(facts.Duplicates),
		Passages: passagesOf(all, name), Asked: stretch, Around: events.Around, From: events.From, To: events.Through,
	}
	if facts.Last == 0 {
		empty := emptyOf(facts)
		s.Empty = &empty
	}
	s.Rows = streamRows(events, s.Passages)
	if events.From > facts.First {
		s.Older = streamAddress(name, "before", events.From, stretch.Subject)
	}
	if events.Through < facts.Last {
		s.Newer = streamAddress(name, "after", events.Through, stretch.Subject)
	}
	path := "/v1/streams/" + pathOf(name)
	return &page{Title: name, template: "stream", Stream: name, Data: s, Copy: []ask{
		{"stream " + name + " as its server has it", curl(r, path), "nats stream info " + quoted(name)},
		{"these events; as a file to test with", curl(r, path+"/events"+stretch.Query()), record(name, events)},
	}}, nil
}

// record is the command that writes the events of a page to a file.
func record(stream string, e wire.Events) string {
	if e.From > e.Through {
		return ""
	}
	return "engine record --stream " + quoted(stream) + " --from " + strconv.FormatUint(e.From, 10) + " --to " + strconv.FormatUint(e.Through, 10) + " -o events.jsonl"
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// streamAddress is the page with the events after a sequence, or before it.
func streamAddress(stream, direction string, sequence uint64, subject string) string {
	q := url.Values{direction: {strconv.FormatUint(sequence, 10)}}
	if subject != "" {
		q.Set("subject", subject)
	}
	return "/ui/streams/" + pathOf(stream) + "?" + q.Encode()
}

func passagesOf(all []engine.Status, stream string) (of []passage) {
	for _, s := range all {
		if s.Stream == stream {
			of = append(of, passage{s.Projection, s.Position, s.Behind, s.State})
		}
	}
	slices.SortStableFunc(of, func(a, b passage) int { return cmp.Compare(b.Position, a.Position) })
	return of
}

// streamRows are the events of a page, and between them how far the projections are that stand
// there.
func streamRows(e wire.Events, passages []passage) (rows []streamRow) {
	next := e.From // that may follow a marker
	mark := func(before uint64) {
		var here []passage
		for _, p := range passages {
			if p.Position+1 >= next && p.Position < before {
				here = append(here, p)
			}
		}
		if next = before; len(here) > 0 {
			rows = append(rows, streamRow{Marker: here})
		}
	}
	for _, event := range e.Events {
		mark(event.Sequence)
		shown := showEvent(event)
		for _, p := range passages {
			if p.Position >= event.Sequence {
				shown.Reflected = append(shown.Reflected, p.Projection)
			}
		}
		rows = append(rows, streamRow{Event: &shown})
		next = event.Sequence + 1
	}
	if e.From <= e.Through {
		mark(e.Through + 1)
	}
	return rows
}
