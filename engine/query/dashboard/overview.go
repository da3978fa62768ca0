package dashboard

import "net/http"

func (d *Dashboard) overview(r *http.Request) (*page, error) {
	all, err := d.ask.Projections(r.Context())
	if err != nil {
		return nil, err
	}
	return &page{Title: "Projections", template: "overview", Data: all, Copy: []ask{
		{"the status of all projections", curl(r, "/v1/projections"), "engine status"},
	}}, nil
}
