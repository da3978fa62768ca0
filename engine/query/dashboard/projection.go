package dashboard

import (
	"net/http"
	"time"

	"gnomon/engine"
)

// projectionData is what the first tab shows.
type projectionData struct {
	engine.Status
	Troubles   []concern
	Rate, Fuel curve
	Lag        curve         // how far it was behind, in seconds
	PerEvent   time.Duration // in the guest, on average; 0: there was none
	Steps      []reached
	Empty      *emptyStream // nil: the stream has events
}

// reached is how far an event has come at least: of those up to a sequence.
type reached struct {
	Name     string
	Sequence uint64
	What     string // that means
}

// projection is the first tab of a projection's pages: what it is doing.
func (d *Dashboard) projection(r *http.Request) (*page, error) {
	name := r.PathValue("projection")
	s, err := d.ask.Projection(r.Context(), name)
	if err != nil {
		return nil, err
	}
	recent, err := d.ask.Samples(r.Context(), name)
	if err != nil {
		return nil, err
	}
	data := projectionData{Status: s, Troubles: concernsOf(s), Steps: []reached{
		{"Stream's end", s.StreamLast, "as the server last said"},
		{"Applied", s.Applied, "the module has seen it"},
		{"Committed", s.Committed, "readers see it; it survives a crash of the process"},
		{"Durable", s.Durable, "it survives a crash of the machine"},
	}}
	if s.Stream != "" && s.StreamLast == 0 {
		empty := d.empty(r, s.Stream)
		data.Empty = &empty
	}
	data.Rate, data.Fuel = curvesOf(recent.Samples)
	data.Lag = lagOf(recent.Samples)
	if s.Events > 0 {
		data.PerEvent = s.Apply / time.Duration(s.Events)
	}
	path := "/v1/projections/" + pathOf(name)
	return &page{Title: name, template: "projection", Projection: name, Tab: "status", Data: data, Live: path, Copy: []ask{
		{"The status of " + name, curl(r, path), "engine status " + quoted(name)},
		{"The same, whenever it changes", curlEvents(r, path), ""},
		{"The last 10 minutes", curl(r, path+"/samples"), ""},
	}}, nil
}
