package query_test

import (
	"encoding/json"
	"net"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
)

// A sample has what was done since the one before: events for each second, and fuel for each
// of these events. Counts that begin anew, with another generation, are no negative ones.
func TestSamples(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	at := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for i, s := range []engine.Status{
		{Events: 100, FuelUsed: 1000},
		{Events: 150, FuelUsed: 2000, Behind: 7, BehindMs: 70},
		{Events: 150, FuelUsed: 2000},
		{Events: 20, FuelUsed: 100},
	} {
		s.Projection = "p"
		r.query.Sample([]engine.Status{s, {Projection: "other"}}, at.Add(time.Duration(i)*5*time.Second))
	}
	got, err := r.client().Samples(t.Context(), "p")
	want := []wire.Sample{
		{Time: at.Add(5 * time.Second), Rate: 10, Fuel: 20, Behind: 7, BehindMs: 70},
		{Time: at.Add(10 * time.Second)},
		{Time: at.Add(15 * time.Second), Rate: 4, Fuel: 5},
	}
	if err != nil || got.Projection != "p" || got.EveryMs != 5000 || !same(got.Samples, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if a := r.ask("GET", "/v1/projections/q/samples", ""); a.problem(t).Code != wire.CodeNoProjection {
		t.Errorf("of no projection: %s", a)
	}
	r.query.Sample(nil, at.Add(time.Minute))
	if got, err := r.client().Samples(t.Context(), "p"); err != nil || len(got.Samples) != 0 {
		t.Errorf("after it was gone: %+v, %v", got, err)
	}
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// Samples of ten minutes are kept, the oldest first, and no more.
func TestSamplesAreBounded(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	at := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	const n = 500
	for i := range n {
		r.query.Sample([]engine.Status{{Projection: "p", Events: uint64(i)}}, at.Add(time.Duration(i)*5*time.Second))
	}
	got, err := r.client().Samples(t.Context(), "p")
	if err != nil || len(got.Samples) != 120 {
		t.Fatalf("%d samples, %v", len(got.Samples), err)
	}
	for i, s := range got.Samples {
		if want := at.Add(time.Duration(n-120+i) * 5 * time.Second); !s.Time.Equal(want) {
			t.Fatalf("sample %d is of %s, want %s", i, s.Time, want)
		}
	}
}

// While a server serves it samples, and when it is closed nothing of that goes on.
func TestServeSamples(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	counted := &lookedAt{Engine: r.engine}
	server := query.New(query.Options{Engine: counted, Log: r.log.Logger()})
	if counted.looks.Load() != 0 {
		t.Error("it samples before it serves")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	testutil.Until(t, func() bool { return counted.looks.Load() > 0 })
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
