package query_test

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// A projection that is stuck, in its module or for want of events, is stalled: the metric
// of its state and the answer about readiness say so, with the reason, and take it back when
// it goes on.
func TestStuckProjectionShows(t *testing.T) {
	for name, stuck := range map[string]string{
		"in its module":      "the module has been at work on events 2 to 2",
		"for want of events": "no event came for 30s",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nats, gate := new(enginetest.Server), make(chan struct{})
				nats.Create("S")
				nats.Append("S", "e.x", nil)
				module := enginetest.FuncModule("gate", func(e abi.Record, _ guest.State) error {
					if e.Sequence == 2 {
						<-gate
					}
					return nil
				})
				release := func() { close(gate) }
				if name == "for want of events" {
					close(gate)
					nats.SetSilent(true)
					release = func() { nats.SetSilent(false) }
				}
				log := slog.New(slog.DiscardHandler)
				e := engine.New(engine.Options{Source: nats, Store: new(enginetest.Store), Catalog: new(enginetest.Catalog), Log: log})
				spec := engine.Spec{Name: "p", Module: module, Stream: "S", Batch: streams.ReadLimit{Events: 1, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20}
				if _, err := e.Declare(t.Context(), spec); err != nil {
					t.Fatal(err)
				}
				e.Start(t.Context())
				defer e.Close()
				nats.Append("S", "e.x", nil)
				server := query.New(query.Options{Engine: e, Log: log})
				ask := func(path string) (code int, body string) {
					w := httptest.NewRecorder()
					r := httptest.NewRequest("GET", path, nil)
					r.Host = "localhost"
					server.ServeHTTP(w, r)
					return w.Code, w.Body.String()
				}
				until := func(want ...string) (metrics string) {
					for range 36_000 { // an hour of the bubble
						synctest.Wait()
						_, metrics = ask("/metrics")
						found := true
						for _, w := range want {
							found = found && strings.Contains(metrics, w+"\n")
						}
						if found {
							return metrics
						}
						time.Sleep(100 * time.Millisecond) // of the bubble
					}
					t.Fatalf("%q do not come: %s", want, metrics)
					return ""
				}
				until(`gnomon_projection_state{projection="p",state="stalled",stream="S"} 1`, `gnomon_projection_state{projection="p",state="live",stream="S"} 0`)
				if code, body := ask("/readyz"); code != 503 || !strings.Contains(body, "projection p is stalled at ") || !strings.Contains(body, stuck) {
					t.Errorf("readiness: %d %s", code, body)
				}
				release()
				until(`gnomon_projection_state{projection="p",state="stalled",stream="S"} 0`, `gnomon_projection_state{projection="p",state="live",stream="S"} 1`)
				if code, body := ask("/readyz"); code != 200 {
					t.Errorf("readiness: %d %s", code, body)
				}
			})
		})
	}
}
