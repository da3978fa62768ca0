package dashboard

import "net/http"

// projection is the first tab of a projection's pages: what it is doing.
func (d *Dashboard) projection(r *http.Request) (*page, error) {
	name := r.PathValue("projection")
	s, err := d.ask.Projection(r.Context(), name)
	if err != nil {
		return nil, err
	}
	return &page{Title: name, template: "projection", Projection: name, Tab: "status", Data: s, Copy: []ask{
		{"the status of " + name, curl(r, "/v1/projections/"+pathOf(name)), "engine status " + quoted(name)},
	}}, nil
}
