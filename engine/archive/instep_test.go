package archive_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/archive"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/store"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// counting is a guest that keeps a row for each of some events and a sum, in keys or in
// its memory, and counts the events that it gets.
type counting struct {
	sum  uint64
	got  *atomic.Int64
	keys bool // it keeps the sum in keys
}

// Event implements enginetest.Guest.
func (g *counting) Event(e abi.Record, st guest.State) error {
	g.got.Add(1)
	if g.keys {
		old, _, err := st.Get([]byte("sum"))
		if err != nil {
			return err
		}
		g.sum = 0
		if len(old) == 8 {
			g.sum = binary.BigEndian.Uint64(old)
		}
	}
	g.sum += e.Sequence
	sum := binary.BigEndian.AppendUint64(nil, g.sum)
	if err := st.Put([]byte("sum"), sum); err != nil {
		return err
	}
	if err := st.Delete(fmt.Append(nil, "row/", e.Sequence/3)); err != nil {
		return err
	}
	return st.Put(fmt.Append(nil, "row/", e.Sequence), append(sum, e.Data...))
}

// remembering is a counting guest whose sum is in its memory.
type remembering struct{ counting }

// Snapshot implements enginetest.Rememberer.
func (g *remembering) Snapshot() [][]byte {
	return [][]byte{binary.BigEndian.AppendUint64(nil, g.sum)}
}

// Restore implements enginetest.Rememberer.
func (g *remembering) Restore(blobs [][]byte) error {
	g.sum = binary.BigEndian.Uint64(blobs[0])
	return nil
}

// modules are a guest with memory and one without.
func modules(got *atomic.Int64) map[string]*enginetest.Module {
	return map[string]*enginetest.Module{
		"keys":   {Name: "keys", New: func() enginetest.Guest { return &counting{got: got, keys: true} }},
		"memory": {Name: "memory", New: func() enginetest.Guest { return &remembering{counting{got: got}} }},
	}
}

func specOf(m guest.Module) engine.Spec {
	return engine.Spec{
		Name: "p", Module: m, Stream: "S", Batch: streams.ReadLimit{Events: 50, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20,
		MemorySnapshots: engine.MemoryPolicy{Events: 300, Every: time.Hour, Keep: 2},
	}
}

// openStore is a data directory whose keyspaces the test may read.
type openStore struct {
	*store.Dir
	mu     sync.Mutex
	opened map[string]state.Keyspace // by generation
}

// Open implements state.Store.
func (s *openStore) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	ks, err := s.Dir.Open(ctx, projection, generation, create)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[generation] = ks
	return ks, err
}

// node is an engine on a data directory.
type node struct {
	*engine.Engine
	store *openStore
	t     testing.TB
}

// start runs a projection on a directory until the test ends.
func start(t testing.TB, d *store.Dir, source streams.Source, spec engine.Spec) *node {
	t.Helper()
	n := &node{store: &openStore{Dir: d, opened: map[string]state.Keyspace{}}, t: t}
	n.Engine = engine.New(engine.Options{Source: source, Store: n.store, Catalog: d.Catalog(), Log: quiet})
	if _, err := n.Declare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	n.Start(t.Context())
	t.Cleanup(func() { n.Engine.Close() })
	return n
}

// await waits until the projection is live at a sequence or after it.
func (n *node) await(sequence uint64) engine.Status {
	n.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := n.Status("p")
		if err != nil {
			n.t.Fatal(err)
		}
		if s.Position >= sequence {
			return s
		}
		select {
		case <-tick.C:
		case <-deadline:
			n.t.Fatalf("at %d of %d: %+v", s.Position, sequence, s)
		}
	}
}

// A new node that imports what a busy one exports has the same digest at the same
// sequence, applies only the events that follow, and is in step with the other one; a
// guest with memory applies those that follow its newest snapshot.
func TestNewNodeIsInStep(t *testing.T) {
	for name := range modules(nil) {
		t.Run(name, func(t *testing.T) {
			server := new(enginetest.Server)
			server.Create("S")
			add := func() uint64 { return server.Append("S", "e.x", []byte("data")) }
			for range 1000 {
				add()
			}
			spec := specOf(modules(new(atomic.Int64))[name])
			old := start(t, dir(t, t.TempDir()), server, spec)
			old.await(500)

			var last uint64
			ctx, stop := context.WithCancel(t.Context())
			var load sync.WaitGroup
			load.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					<-tick.C
					for range 10 {
						last = add()
					}
				}
			})
			at := old.await(1200)
			reading, err := old.Read("p")
			if err != nil {
				t.Fatal(err)
			}
			ck := reading.Checkpoint
			var file bytes.Buffer
			x := archive.Export{Source: old.store.opened[at.Generation], Version: ck.Version, About: archive.About{Projection: "p"}}
			if _, err := archive.Write(t.Context(), &file, x); err != nil {
				t.Fatal(err)
			}
			reading.Close()
			stop()
			load.Wait()
			want := old.await(last)

			there := dir(t, t.TempDir())
			r, err := archive.NewReader(&file)
			if err != nil {
				t.Fatal(err)
			}
			got := new(atomic.Int64)
			spec = specOf(modules(got)[name])
			arrived, err := r.Import(t.Context(), there, "p", spec.Generation())
			if err != nil || arrived.Digest != ck.Digest || arrived.Position.Sequence != ck.Position.Sequence {
				t.Fatalf("imported %+v, %v, want %+v", arrived, err, ck)
			}
			fresh := start(t, there, server, spec)
			if s := fresh.await(last); s.Digest != want.Digest || s.Keys != want.Keys {
				t.Errorf("digest %s with %d keys, want %s with %d", s.Digest, s.Keys, want.Digest, want.Keys)
			}
			from := ck.Position.Sequence
			if name == "memory" {
				from = ck.Memories[0].Version.Sequence()
			}
			if n := uint64(got.Load()); n != last-from {
				t.Errorf("it applied %d events, want those from %d to %d", n, from+1, last)
			}
			for range 500 {
				last = add()
			}
			if a, b := old.await(last), fresh.await(last); a.Digest != b.Digest {
				t.Errorf("digests %s and %s", a.Digest, b.Digest)
			}
		})
	}
}
