package ingest_test

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// projector is an engine over a real server, whose one projection writes down the
// sequence and the data of every event, in the order in which they come.
type projector struct {
	t       *testing.T
	source  streams.Source
	store   *enginetest.Store
	catalog *enginetest.Catalog
	engine  *engine.Engine // nil while it is stopped

	each func(e abi.Record) // is told each event before it is applied; may be nil
}

// project runs a projection of S, until the test ends.
func (r *rig) project(each func(e abi.Record)) *projector {
	r.t.Helper()
	p := &projector{t: r.t, source: r.source, store: new(enginetest.Store), catalog: new(enginetest.Catalog), each: each}
	r.t.Cleanup(p.stop)
	p.start()
	return p
}

func (p *projector) start() {
	p.t.Helper()
	p.engine = engine.New(engine.Options{
		Source: p.source, Store: p.store, Catalog: p.catalog, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	_, err := p.engine.Declare(p.t.Context(), engine.Spec{
		Name: "p", Module: enginetest.FuncModule("ledger", p.apply), Stream: "S",
		Batch: streams.ReadLimit{Events: 100, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20,
		Pins: engine.PinPolicy{Max: 3, MaxAge: time.Hour},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.engine.Start(p.t.Context())
}

// apply is the guest.
func (p *projector) apply(e abi.Record, st guest.State) error {
	if p.each != nil {
		p.each(e)
	}
	list, _, err := st.Get([]byte("ledger"))
	if err != nil {
		return err
	}
	return st.Put([]byte("ledger"), fmt.Appendf(list[:len(list):len(list)], "%d:%s ", e.Sequence, e.Data))
}

func (p *projector) stop() {
	p.t.Helper()
	if p.engine == nil {
		return
	}
	if err := p.engine.Close(); err != nil {
		p.t.Errorf("close engine: %v", err)
	}
	p.engine = nil
}

// await waits until the status is as wanted.
func (p *projector) await(what string, ok func(engine.Status) bool) (s engine.Status) {
	p.t.Helper()
	p.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("the last status, when the test waited for %s: %+v", what, s)
		}
	})
	testutil.Until(p.t, func() bool {
		var err error
		if s, err = p.engine.Status("p"); err != nil {
			p.t.Fatal(err)
		}
		return ok(s)
	})
	return s
}

// awaitLive waits until a sequence is committed.
func (p *projector) awaitLive(sequence uint64) {
	p.t.Helper()
	p.await(fmt.Sprintf("live at %d", sequence), func(s engine.Status) bool {
		return s.State == engine.Live && s.Position == sequence
	})
}

// wantDiverged waits until the projection says that the history is another, with the
// facts, and checks that what was applied before is read.
func (p *projector) wantDiverged(reason, ledger string) {
	p.t.Helper()
	s := p.await("diverged", func(s engine.Status) bool { return s.State == engine.Diverged })
	if !strings.Contains(s.Reason, reason) || s.Hint == "" {
		p.t.Errorf("reason %q, hint %q; want %q", s.Reason, s.Hint, reason)
	}
	if got := p.ledger(); got != ledger {
		p.t.Errorf("the ledger is %.200q, want %.200q", got, ledger)
	}
}

// ledger is what is served.
func (p *projector) ledger() string {
	p.t.Helper()
	reading, err := p.engine.Read("p")
	if err != nil {
		p.t.Fatal(err)
	}
	defer reading.Close()
	list, _, err := reading.Get([]byte("ledger"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(list)
}

// numbers is the ledger of events that fill stored.
func numbers(first, last int) string {
	var s strings.Builder
	for n := first; n <= last; n++ {
		fmt.Fprintf(&s, "%d:%d ", n, n)
	}
	return s.String()
}
