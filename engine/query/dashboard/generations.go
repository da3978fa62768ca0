package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/wire"
)

// generationsPage shows which generations there are, how a candidate differs, and which
// there were.
type generationsPage struct {
	Status         engine.Status
	Rows           []generationRow
	Promote, Back  *act
	Compare        bool // the keys were compared
	Prefix         string
	Limit          int
	Differences    []differenceRow
	Sum            wire.Compared
	CompareProblem string
	History        []catalog.Change // newest first
}

type generationRow struct {
	Role engine.Role
	engine.GenerationStatus
	Last uint64 // of the stream
	Left time.Duration
}

type differenceRow struct {
	Key, Link string
	Diff      difference // of what is read, to what the candidate has
}

const (
	shownDifferences = 50
	mostDifferences  = 500
	compareTime      = 10 * time.Second
)

func (d *Dashboard) generations(r *http.Request) (*page, error) {
	name := r.PathValue("projection")
	s, err := d.ask.Projection(r.Context(), name)
	if err != nil {
		return nil, err
	}
	why, err := d.mayAct(r, name)
	if err != nil {
		return nil, err
	}
	g := generationsPage{Status: s, Rows: generationRows(s), Limit: shownDifferences}
	if s.Candidate != nil {
		b := button("promote", name, why, "generation", s.Candidate.ID)
		g.Promote = &b
	}
	if s.Previous != nil {
		b := button("rollback", name, why, "generation", s.Previous.ID)
		g.Back = &b
	}
	if g.History, err = d.ask.History(r.Context(), name); err != nil {
		return nil, err
	}
	slices.Reverse(g.History)
	copies := []ask{
		{"the generations of " + name, curl(r, "/v1/projections/"+pathOf(name)), "engine status " + quoted(name)},
		{"what happened to it", curl(r, "/v1/projections/"+pathOf(name)+"/history"), "engine history " + quoted(name)},
	}
	if s.Candidate != nil {
		d.compare(r, &g)
		copies = append(copies, ask{"how the candidate differs", curl(r, apiPath(name, "diff", url.Values{"prefix": {g.Prefix}, "limit": {strconv.Itoa(g.Limit)}})), "engine diff " + quoted(name) + " --prefix " + quotedKey([]byte(g.Prefix)) + " --limit " + strconv.Itoa(g.Limit)})
	}
	return &page{Title: name + ": generations", template: "generations", Projection: name, Tab: "generations", Data: g, Copy: copies}, nil
}

func generationRows(s engine.Status) []generationRow {
	rows := []generationRow{{Role: engine.RoleLive, Last: s.StreamLast, Left: time.Duration(s.LeftMs) * time.Millisecond, GenerationStatus: engine.GenerationStatus{
		ID: s.Generation, Module: s.Module, State: s.State, Reason: s.Reason, Hint: s.Hint, Position: s.Position, Behind: s.Behind, Keys: s.Keys, Digest: s.Digest, Rate: s.Rate, LeftMs: s.LeftMs,
	}}}
	add := func(role engine.Role, g *engine.GenerationStatus) {
		if g != nil {
			rows = append(rows, generationRow{role, *g, max(s.StreamLast, g.Position+g.Behind), time.Duration(g.LeftMs) * time.Millisecond})
		}
	}
	add(engine.RoleCandidate, s.Candidate)
	add(engine.RolePrevious, s.Previous)
	return rows
}

// compare fills in the keys that differ, if the person asked for them.
func (d *Dashboard) compare(r *http.Request, g *generationsPage) {
	q := r.URL.Query()
	g.Prefix = q.Get("prefix")
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n > 0 {
		g.Limit = min(n, mostDifferences)
	}
	if g.Compare = q.Has("compare"); !g.Compare {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), compareTime)
	defer cancel()
	name := g.Status.Projection
	sum, err := d.ask.Diff(ctx, name, []byte(g.Prefix), g.Limit, func(one wire.Difference) error {
		g.Differences = append(g.Differences, differenceRow{
			Key: keyText(one.Key), Link: tabPath(name, "explain") + "?" + keyQuery(one.Key),
			Diff: differenceOf(one.Change, one.Live, one.Candidate),
		})
		return nil
	})
	if g.Sum = sum; err != nil {
		g.CompareProblem = err.Error()
		if ctx.Err() != nil {
			g.CompareProblem = "it takes longer than " + span(compareTime) + ": give a prefix, or use the command, which takes its time"
		}
	}
}
