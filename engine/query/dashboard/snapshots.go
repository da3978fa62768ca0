package dashboard

import (
	"net/http"
	"slices"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/wire"
)

// snapshotsPage shows what is kept of a projection's past, and under which names.
type snapshotsPage struct {
	Status    engine.Status
	Take      act
	Snapshots []snapshotRow // newest first
	Past      *wire.Past    // nil: it cannot be told now
	Keeps     *wire.ModuleKeeps
	Memory    bool // the module keeps state in its own memory
}

type snapshotRow struct {
	catalog.Snapshot
	Export string // address of its archive; empty: the person may not have it
	Delete act
}

func (d *Dashboard) snapshots(r *http.Request) (*page, error) {
	name := r.PathValue("projection")
	s, err := d.ask.Projection(r.Context(), name)
	if err != nil {
		return nil, err
	}
	why, err := d.mayAct(r, name)
	if err != nil {
		return nil, err
	}
	list, err := d.ask.Snapshots(r.Context(), name)
	if err != nil {
		return nil, err
	}
	path := "/v1/projections/" + pathOf(name) + "/snapshots"
	p := snapshotsPage{Status: s, Take: button("snapshot", name, why)}
	for _, one := range slices.Backward(list) {
		row := snapshotRow{Snapshot: one, Delete: button("delete-snapshot", name, why, "snapshot", one.Name)}
		if why == "" {
			row.Export = path + "/" + pathOf(one.Name) + "/export"
		}
		p.Snapshots = append(p.Snapshots, row)
	}
	if past, err := d.ask.Past(r.Context(), name); err == nil {
		p.Past = &past
	}
	if card, err := d.ask.Module(r.Context(), name); err == nil {
		p.Keeps, p.Memory = &card.Keeps, slices.Contains(card.Does, "memory")
	}
	return &page{Title: name + ": snapshots", template: "snapshots", Projection: name, Tab: "snapshots", Data: p, Copy: []ask{
		{"the snapshots of " + name, curl(r, path), "engine snapshot list " + quoted(name)},
		{"what it serves now, as a file", curl(r, path+"/export") + " -o " + quoted(name+".gnomon"), "engine snapshot export " + quoted(name) + " -o " + quoted(name+".gnomon")},
		{"what can be read of its past", curl(r, "/v1/projections/"+pathOf(name)+"/past"), ""},
	}}, nil
}
