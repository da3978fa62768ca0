package dashboard

import (
	"net/http"
	"slices"

	"gnomon/engine/query/wire"
)

// logPage shows what a module logged last; a script goes on with what comes.
type logPage struct {
	wire.GuestLog
	Level  string
	Levels []string
	Stream string // address of what comes
}

func (d *Dashboard) log(r *http.Request) (*page, error) {
	name, level := r.PathValue("projection"), r.URL.Query().Get("level")
	levels := []string{"debug", "info", "warn", "error"}
	if !slices.Contains(levels, level) {
		level = levels[0]
	}
	lines, err := d.ask.Log(r.Context(), name, 0, level)
	if err != nil {
		return nil, err
	}
	path := "/v1/projections/" + pathOf(name) + "/log?level=" + level
	return &page{Title: name + ": log", template: "log", Projection: name, Tab: "log", Data: logPage{lines, level, levels, path + "&after=" + digits(lines.Next)}, Copy: []ask{
		{"what the module logged last", curl(r, path), "engine logs " + quoted(name) + " --level " + level},
		{"and what it goes on to log", curl(r, path) + " -N -H 'Accept: text/event-stream'", "engine logs " + quoted(name) + " --level " + level + " --follow"},
	}}, nil
}
