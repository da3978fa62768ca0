package query_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gnomon/engine/enginetest"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// natsStreams tells of the streams of a fake server, of which no event is missing.
type natsStreams struct{ *enginetest.Server }

func (s natsStreams) Facts(ctx context.Context, stream string) (streams.Facts, error) {
	info, err := s.Stream(ctx, stream)
	return streams.Facts{Name: info.Name, Subjects: []string{}, Created: info.Created, First: info.First, Last: info.Last, Events: info.Events}, err
}

func (s natsStreams) Events(ctx context.Context, q streams.Query) (streams.Page, error) {
	info, err := s.Stream(ctx, q.Stream)
	if err != nil {
		return streams.Page{}, err
	}
	from, through := q.After+1, min(q.After+uint64(q.Limit.Events), info.Last)
	if q.Before > 0 {
		through = min(q.Before-1, info.Last)
		from = through + 1 - min(through, uint64(q.Limit.Events))
	}
	page := streams.Page{From: from, Through: through}
	for n := from; n <= through; n++ {
		e, err := s.Event(ctx, q.Stream, n)
		if err != nil {
			return page, err
		}
		if q.Subject == "" || streams.MatchSubject(q.Subject, e.Subject) {
			page.Events = append(page.Events, e)
		}
	}
	return page, nil
}

// Events of a stream are those around a sequence or a time, after or before one, or the last
// ones, with their data; each page says where the next ones are.
func TestEvents(t *testing.T) {
	rows := []string{"s", "\xff", "j", `{"n":2}`}
	for n := 3; n <= 20; n++ {
		rows = append(rows, fmt.Sprint("s.", n), fmt.Sprint(n))
	}
	r := newRig(t, "", rows...).start()
	third, err := r.nats.Event(t.Context(), "S", 3)
	if err != nil {
		t.Fatal(err)
	}
	timeOfThird := wireTime(t, third)
	for _, tt := range []struct {
		ask           client.Stretch
		from, through uint64
		around        uint64
	}{
		{client.Stretch{Limit: 3}, 18, 20, 0},
		{client.Stretch{Around: "10", Limit: 4}, 8, 11, 10},
		{client.Stretch{Around: "10", Limit: 5}, 8, 12, 10},
		{client.Stretch{Around: "10", Limit: 1}, 10, 10, 10},
		{client.Stretch{Around: "1", Limit: 4}, 1, 2, 1},
		{client.Stretch{Around: "50", Limit: 4}, 19, 20, 50},
		{client.Stretch{Around: timeOfThird, Limit: 2}, 2, 3, 3},
		{client.Stretch{After: "0", Limit: 2}, 1, 2, 0},
		{client.Stretch{After: "20", Limit: 2}, 21, 20, 0},
		{client.Stretch{Before: "5", Limit: 2}, 3, 4, 0},
		{client.Stretch{Before: "0", Limit: 2}, 1, 0, 0},
	} {
		page, err := r.client().Events(t.Context(), "S", tt.ask)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []uint64
		for n := tt.from; n <= tt.through; n++ {
			want = append(want, n)
		}
		for _, e := range page.Events {
			got = append(got, e.Sequence)
		}
		if page.From != tt.from || page.Through != tt.through || page.Around != tt.around || !slices.Equal(got, want) {
			t.Errorf("%+v: %d to %d around %d, %v; want %d to %d around %d", tt.ask, page.From, page.Through, page.Around, got, tt.from, tt.through, tt.around)
		}
	}
	page, err := r.client().Events(t.Context(), "S", client.Stretch{After: "0", Limit: 2})
	if err != nil || string(page.Events[0].Data) != "\xff" || string(page.Events[1].Data) != `{"n":2}` || page.Events[1].Subject != "j" {
		t.Errorf("%+v, %v", page, err)
	}
	_, err = r.client().Events(t.Context(), "NONE", client.Stretch{})
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeNoStream {
		t.Errorf("a stream that is not there: %v", err)
	}
}

func wireTime(t *testing.T, e abi.Record) string {
	t.Helper()
	event, err := wire.EventOf(e)
	if err != nil {
		t.Fatal(err)
	}
	return event.StoredAt.Format("2006-01-02T15:04:05.999999999Z07:00")
}

// The list of streams has those whose events a token may read, each with the projections that
// it may read.
func TestStreamsAreCut(t *testing.T) {
	r := guarded(t)
	for token, want := range map[string]string{readsAll: "[{S 1 [p q]}]", adminAll: "[{S 1 [p q]}]", appendsS: "[{S 1 []}]", readsP: "[]", adminP: "[]"} {
		r.token = token
		list, err := r.client().Streams(t.Context())
		if err != nil || fmt.Sprint(list) != want {
			t.Errorf("%s lists %v, want %s; %v", token, list, want, err)
		}
	}
}
