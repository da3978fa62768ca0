package dashboard

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// overviewData is what the overview shows.
type overviewData struct {
	Rows         []overviewRow
	All, Trouble int    // projections, before the filter; those of them with trouble
	Filter, Sort string // of the address
	Engine       wire.Engine
	Up           time.Duration
	Streams      []streamTotal
	Empty        []emptyStream
}

// overviewRow is a projection.
type overviewRow struct {
	engine.Status
	Trouble    []concern
	Rate, Fuel curve
}

// streamTotal is a stream that projections read.
type streamTotal struct {
	Name        string
	First, Last uint64
	LastTime    time.Time
	Empty       bool // it never had an event
}

// overview is the first page: every projection, those with trouble first.
func (d *Dashboard) overview(r *http.Request) (*page, error) {
	all, err := d.ask.Overview(r.Context())
	if err != nil {
		return nil, err
	}
	data := overviewData{All: len(all.Projections), Filter: r.URL.Query().Get("filter"), Sort: r.URL.Query().Get("sort"), Streams: streamsOf(all.Projections)}
	if e := all.Engine; e != nil {
		data.Engine, data.Up = *e, time.Since(e.Started)
	}
	for _, s := range all.Projections {
		row := overviewRow{Status: s, Trouble: concernsOf(s)}
		if len(row.Trouble) > 0 || rank(s.State) == 0 {
			data.Trouble++
		}
		if !strings.Contains(strings.ToLower(s.Projection), strings.ToLower(data.Filter)) {
			continue
		}
		if row.Rate, row.Fuel, err = d.curves(r, s.Projection); err != nil {
			return nil, err
		}
		data.Rows = append(data.Rows, row)
	}
	for _, t := range data.Streams {
		if t.Empty {
			data.Empty = append(data.Empty, d.empty(r, t.Name))
		}
	}
	slices.SortStableFunc(data.Rows, func(a, b overviewRow) int {
		if data.Sort == "name" {
			return cmp.Compare(a.Projection, b.Projection)
		}
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Projection, b.Projection))
	})
	return &page{Title: "Projections", template: "overview", Data: data, Live: "/v1/projections", Copy: []ask{
		{"The status of all projections", curl(r, "/v1/projections"), "engine status --json"},
		{"The same, whenever it changes", curlEvents(r, "/v1/projections"), "engine status"},
	}}, nil
}

// Address is that of the overview in another order.
func (o overviewData) Address(sort string) string {
	q := url.Values{}
	if o.Filter != "" {
		q.Set("filter", o.Filter)
	}
	if sort != "" {
		q.Set("sort", sort)
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

// rank says how urgently somebody should look at a projection, the lowest first.
func (r overviewRow) rank() int {
	if n := rank(r.State); n == 0 || len(r.Trouble) == 0 {
		return n
	}
	return 1
}

func rank(s engine.RunnerState) int {
	switch s {
	case engine.Halted, engine.Diverged, engine.Stalled:
		return 0
	case engine.Stopped, engine.Paused:
		return 2
	case engine.Starting, engine.CatchingUp:
		return 3
	}
	return 4
}

// concern is something that is wrong, though it need not stop the projection.
type concern struct {
	What string // in a few words
	More string // what is known of it
	At   string // the page where it is dealt with
}

// concernsOf is all that is wrong with a projection, but for its state.
func concernsOf(s engine.Status) (all []concern) {
	base := projectionPath(s.Projection)
	add := func(is bool, what, more, at string) {
		if is {
			all = append(all, concern{what, more, at})
		}
	}
	add(s.Refused != "", "refused", s.Refused, base+"/generations")
	add(s.Aside.Letters > 0, count(s.Aside.Letters)+" set aside", "events that failed; they are retried, skipped or dropped by hand", base+"/dead-letters")
	add(s.Failures > 0, count(s.Failures)+" failed", "batches that were rolled back since the engine started", base)
	if e := s.Emits; e != nil {
		add(e.Trouble != "", "cannot emit", e.Trouble, base)
		add(e.Warning != "", "emitted events lost", e.Warning, base)
	}
	if m := s.Mirror; m != nil {
		add(m.Error != "", "mirror", m.Error, base)
		add(m.LeftOut > 0, count(m.LeftOut)+" keys not mirrored", strings.Join(m.LeftOutKeys, "; "), base)
	}
	if c := s.Candidate; c != nil {
		add(rank(c.State) == 0, "candidate "+string(c.State), c.Reason, base+"/generations")
	}
	add(s.Warning != "", "warning", s.Warning, base)
	add(!s.EndUnknownSince.IsZero(), "end not known", "since "+s.EndUnknownSince.UTC().Format(time.DateTime)+" UTC the server has not said where the stream ends: what is behind is as it was then", base)
	return all
}

func projectionPath(name string) string { return "/ui/projections/" + pathOf(name) }

// streamsOf are the streams of projections, in the order of their names.
func streamsOf(all []engine.Status) []streamTotal {
	by := map[string]streamTotal{}
	for _, s := range all {
		t := by[s.Stream]
		t.Name, t.First, t.Last = s.Stream, max(t.First, s.StreamFirst), max(t.Last, s.StreamLast)
		if s.StreamLastTime.After(t.LastTime) {
			t.LastTime = s.StreamLastTime
		}
		t.Empty = t.Last == 0
		if s.Stream != "" {
			by[s.Stream] = t
		}
	}
	list := make([]streamTotal, 0, len(by))
	for _, t := range by {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b streamTotal) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
