package dashboard

import (
	"net/http"
	"time"

	"gnomon/engine/query/wire"
)

// modulePage is the card of a module.
type modulePage struct {
	wire.Module
	Given *shown // its settings; nil: they are not shown to who asks
}

func (d *Dashboard) module(r *http.Request) (*page, error) {
	name := r.PathValue("projection")
	card, err := d.ask.Module(r.Context(), name)
	if err != nil {
		return nil, err
	}
	m := modulePage{Module: card}
	if len(card.Settings) > 0 {
		given := showWhole(card.Settings)
		m.Given = &given
	}
	return &page{Title: name + ": module", template: "module", Projection: name, Tab: "module", Data: m, Copy: []ask{
		{"all of this", curl(r, "/v1/projections/"+pathOf(name)+"/module"), ""},
		{"what the contract says of its file", "", "engine check data/modules/" + card.SHA256 + ".wasm"},
	}}, nil
}

// millis is a span of so many milliseconds.
func millis(n int64) string { return span(time.Duration(n) * time.Millisecond) }
