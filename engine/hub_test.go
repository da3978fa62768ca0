package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// hubBackend is a server with a hub before it.
type hubBackend struct {
	streams.Source
	*enginetest.Server
}

func (b hubBackend) Stream(ctx context.Context, name string) (streams.Info, error) {
	return b.Source.Stream(ctx, name)
}

func (b hubBackend) Event(ctx context.Context, stream string, sequence uint64) (abi.Record, error) {
	return b.Source.Event(ctx, stream, sequence)
}

func (b hubBackend) SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	return b.Source.SequenceAt(ctx, stream, t)
}

func (b hubBackend) Read(ctx context.Context, stream string, from uint64, limit streams.ReadLimit) (streams.Reader, error) {
	return b.Source.Read(ctx, stream, from, limit)
}

// Readers that share keep the contract of those that do not.
func TestHubIsASource(t *testing.T) {
	enginetest.TestSource(t, func(*testing.T) enginetest.Backend {
		server := new(enginetest.Server)
		return hubBackend{Source: streams.NewHub(server, streams.ReadLimit{Events: 7, Bytes: 300}), Server: server}
	})
}

// several starts projections p0, p1, … that keep a ledger each, one of them slow.
func (b *bench) several(n int, slow func(projection int, e abi.Record)) *running {
	b.t.Helper()
	var specs []engine.Spec
	for i := range n {
		m := enginetest.FuncModule(fmt.Sprint("ledger", i), func(e abi.Record, st guest.State) error {
			slow(i, e)
			return ledger(e, st)
		})
		specs = append(specs, spec(m, func(s *engine.Spec) { s.Name = fmt.Sprint("p", i) }))
	}
	return b.start(specs...)
}

// wantAll waits until every projection has applied exactly the events up to the end.
func (r *running) wantAll(n int, to uint64) {
	r.t.Helper()
	if err := r.AwaitEnd(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	for i := range n {
		reading, err := r.Read(fmt.Sprint("p", i))
		if err != nil {
			r.t.Fatal(err)
		}
		got, _, err := reading.Get([]byte("ledger"))
		reading.Close()
		want := ""
		for seq := uint64(1); seq <= to; seq++ {
			want += fmt.Sprintf("%d ", seq)
		}
		if err != nil || string(got) != want {
			r.t.Errorf("projection %d applied %q, %v", i, got, err)
		}
	}
}

// Projections of one stream that start together share one reader of the server,
// while they catch up and after it.
func TestOneReaderForAll(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(300)
		e := b.several(8, func(int, abi.Record) {})
		e.wantAll(8, 300)
		b.append(20)
		e.wantAll(8, 320)
		if opened, open := b.server.Readers(); opened != 1 || open != 1 {
			t.Errorf("%d readers were opened and %d are open, want 1", opened, open)
		}
		e.stop()
		if _, open := b.server.Readers(); open != 0 {
			t.Errorf("%d readers are left open", open)
		}
	})
}

// At rest the server is asked once a second where the stream ends, however many projections
// there are; an event at the end that was deleted is passed over by all of them.
func TestRestCostsTheServerLittle(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		e := b.several(50, func(int, abi.Record) {})
		e.wantAll(50, 10)
		time.Sleep(time.Minute) // of the bubble
		before := b.server.Asked()
		time.Sleep(time.Minute)
		if n := b.server.Asked() - before; n < 20 || n > 60 {
			t.Errorf("the server was asked %d times in a minute", n)
		}
		b.append(1)
		b.server.Delete(streamName, 11)
		time.Sleep(time.Minute)
		for i := 1; i < 50; i++ {
			if s, err := e.Status(fmt.Sprint("p", i)); err != nil || s.Position != 11 {
				t.Errorf("projection %d is at %d, %v", i, s.Position, err)
			}
		}
	})
}

// A projection that is behind reads by itself and joins the others when it has
// caught up.
func TestLateOneJoins(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(100)
		first := b.several(2, func(int, abi.Record) {})
		first.wantAll(2, 100)
		first.stop()
		b.append(100)
		e := b.several(3, func(p int, _ abi.Record) { time.Sleep(10 * time.Millisecond) })
		e.wantAll(3, 200)
		b.append(50)
		e.wantAll(3, 250)
		e.settle()
		if _, open := b.server.Readers(); open != 1 {
			t.Errorf("%d readers are open when all are live, want 1", open)
		}
	})
}

// settle lets the projections notice that they are at the end.
func (r *running) settle() {
	for range 100 {
		synctest.Wait()
		time.Sleep(100 * time.Millisecond) // of the bubble
	}
}

// A projection that is much slower than the others is left behind, and holds nobody
// up; it applies everything all the same, and joins them in the end.
func TestSlowOneIsLeftBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		large := make([]byte, 1<<20)
		const events = 3 * streams.FeedBytes >> 20
		for range events {
			b.server.Append(streamName, "e.x", large)
		}
		gate := make(chan struct{})
		drop := func(e abi.Record) abi.Record { e.Data = nil; return e }
		var specs []engine.Spec
		for i := range 3 {
			m := enginetest.FuncModule(fmt.Sprint("ledger", i), func(e abi.Record, st guest.State) error {
				if i == 0 && e.Sequence == 2 {
					<-gate
				}
				return ledger(drop(e), st)
			})
			specs = append(specs, spec(m, func(s *engine.Spec) { s.Name = fmt.Sprint("p", i) }))
		}
		e := b.start(specs...)
		for _, name := range []string{"p1", "p2"} {
			for {
				synctest.Wait()
				if s, err := e.Status(name); err != nil || s.Position == events {
					break
				}
				time.Sleep(100 * time.Millisecond) // of the bubble
			}
		}
		if s, err := e.Status("p0"); err != nil || s.Position >= events {
			t.Fatalf("the slow one: %+v, %v", s, err)
		}
		close(gate)
		e.wantAll(3, events)
		e.settle()
		if opened, open := b.server.Readers(); opened != 2 || open != 1 {
			t.Errorf("%d readers were opened and %d are open, want 2 and 1", opened, open)
		}
	})
}

// Everyone who shares a reader that is lost gets another one.
func TestSharedReaderLost(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.several(5, func(int, abi.Record) {})
		for n := uint64(1); n <= 5; n++ {
			b.append(10)
			b.server.LoseReaders()
			b.append(10)
			e.wantAll(5, 20*n)
		}
		b.server.SetSilent(true)
		b.append(1)
		time.Sleep(time.Hour) // of the bubble: they stall, and get another reader, again and again
		for _, s := range e.Projections() {
			if s.State != engine.Stalled {
				t.Errorf("%s is %s", s.Projection, s.State)
			}
		}
		b.server.SetSilent(false)
		e.wantAll(5, 101)
	})
}
