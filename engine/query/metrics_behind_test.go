package query

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gnomon/engine"
	"gnomon/engine/streams"
)

// behindEngine has one projection, of a stream whose last event came after a quiet night.
type behindEngine struct {
	Engine
	status engine.Status
	stream streams.Info
}

func (e behindEngine) Projections() []engine.Status { return []engine.Status{e.status} }
func (e behindEngine) Ready() (bool, []string)      { return true, nil }
func (e behindEngine) Measures() engine.Measures {
	return engine.Measures{Streams: []streams.Info{e.stream}, Projections: map[string]engine.ProjectionMeasures{e.status.Projection: {}}}
}

// How far a projection is behind in time is what its status says: the first event after a
// quiet night is not a night behind.
func TestBehindInTimeIsThatOfTheStatus(t *testing.T) {
	night := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := prometheus.NewRegistry()
	r.MustRegister(collector{engine: behindEngine{
		status: engine.Status{Projection: "p", Stream: "S", Position: 3, PositionTime: night, StreamLast: 4, Behind: 1, BehindMs: 1500},
		stream: streams.Info{Name: "S", First: 1, Last: 4, LastTime: night.Add(8 * time.Hour)},
	}})
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "gnomon_projection_behind_seconds" {
			if got := f.Metric[0].GetGauge().GetValue(); got != 1.5 {
				t.Errorf("%v seconds behind", got)
			}
			return
		}
	}
	t.Error("there is no gnomon_projection_behind_seconds")
}
