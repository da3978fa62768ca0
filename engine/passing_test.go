package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// trouble makes calls of one kind fail, so many times.
type trouble struct {
	mu   sync.Mutex
	kind string
	left int
}

func (f *trouble) begin(kind string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.left = kind, times
}

func (f *trouble) of(kind string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if kind != f.kind || f.left == 0 {
		return nil
	}
	f.left--
	return errors.New("input/output error")
}

// troubledStore is a store whose reads fail now and then.
type troubledStore struct {
	state.Store
	*trouble
}

func (s troubledStore) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	ks, err := s.Store.Open(ctx, projection, generation, create)
	return troubledKeyspace{ks, s.trouble}, err
}

type troubledKeyspace struct {
	state.Keyspace
	*trouble
}

func (k troubledKeyspace) View(v state.Version) (state.View, error) {
	if err := k.of("view"); err != nil {
		return nil, err
	}
	view, err := k.Keyspace.View(v)
	return troubledView{view, k.trouble}, err
}

func (k troubledKeyspace) Checkpoint(v state.Version) (state.Checkpoint, error) {
	if err := k.of("checkpoint"); err != nil {
		return state.Checkpoint{}, err
	}
	return k.Keyspace.Checkpoint(v)
}

func (k troubledKeyspace) Memory(m state.Memory) ([][]byte, error) {
	if err := k.of("memory"); err != nil {
		return nil, err
	}
	return k.Keyspace.Memory(m)
}

type troubledView struct {
	state.View
	*trouble
}

func (v troubledView) Get(key []byte) ([]byte, bool, error) {
	if err := v.of("get"); err != nil {
		return nil, false, err
	}
	return v.View.Get(key)
}

func (v troubledView) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	if err := v.of("scan"); err != nil {
		return err
	}
	return v.View.Scan(prefix, after, fn)
}

func (v troubledView) Letters() state.Rows { return troubledLetters{v.View.Letters(), v.trouble} }

type troubledLetters struct {
	state.Rows
	*trouble
}

func (r troubledLetters) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	if err := r.of("letters"); err != nil {
		return err
	}
	return r.Rows.Scan(prefix, after, fn)
}

// troubledModule is a module of which no instance can be made now and then.
type troubledModule struct {
	guest.Module
	*trouble
}

func (m troubledModule) Instantiate(ctx context.Context, c guest.Config) (guest.Instance, error) {
	if err := m.of("instance"); err != nil {
		return nil, err
	}
	return m.Module.Instantiate(ctx, c)
}

// scanner is a guest with memory that reads in every way, and refuses event 2.
type scanner struct{ rememberer }

func (g *scanner) Event(e abi.Record, st guest.State) error {
	if err := st.Scan([]byte("event/"), nil, func(_, _ []byte) bool { return true }); err != nil {
		return err
	}
	if e.Sequence == 2 {
		return enginetest.Refuse("not 2")
	}
	return g.rememberer.Event(e, st)
}

// What fails today and may not tomorrow, a read of the store or the making of an instance,
// stalls a projection. It is tried again, the reason is told, and nothing is lost, not
// even an older memory is gone back to.
func TestPassingTrouble(t *testing.T) {
	for kind, reason := range map[string]string{
		"view":       "read state at 10: input/output error",
		"get":        "read state: input/output error",
		"scan":       "read state: input/output error",
		"letters":    "input/output error",
		"memory":     "read memory at 10: input/output error",
		"checkpoint": "read checkpoint at 10: input/output error",
		"instance":   "instantiate module: input/output error",
	} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				f := &trouble{}
				m := troubledModule{&enginetest.Module{Name: "scanner", New: func() enginetest.Guest { return new(scanner) }}, f}
				s := spec(m, func(s *engine.Spec) { s.OnError, s.Letters, s.Batch.Events = engine.DeadLetter, 10, 1 })
				b.append(10)
				e := b.startOn(troubledStore{b.store, f}, s)
				e.awaitLive(10)
				e.stop()
				b.append(5)
				f.begin(kind, 5)
				e = b.startOn(troubledStore{b.store, f}, s)
				got := e.awaitState(engine.Stalled)
				if !strings.HasSuffix(got.Reason, reason) || !strings.HasPrefix(got.Hint, "it is tried again by itself") || got.Position != 10 {
					t.Errorf("%+v, want %q", got, reason)
				}
				if got = e.awaitLive(15); got.Events != 5 || got.Reason != "" || got.Failing != 0 {
					t.Errorf("%+v", got)
				}
				e.wantLedger(1, 15, 2)
				e.wantLetters("2 dead  apply returned an error: not 2")
				if state, _ := e.content(); state["count/15"] != "14" {
					t.Errorf("the guest remembers %s events, want 14", state["count/15"])
				}
			})
		})
	}
}

// A snapshot whose keyspace cannot be read for a moment, when an engine starts, is kept, with
// the memory that goes with it.
func TestSnapshotOutlivesTrouble(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		f := &trouble{}
		s := spec(remembers())
		b.append(13)
		e := b.start(s)
		e.awaitLive(13)
		b.append(1)
		e.awaitLive(14)
		want, err := e.CreateSnapshot(t.Context(), "p", "s")
		if err != nil || want.Memory == 0 || want.Memory >= want.Version {
			t.Fatalf("%+v, %v", want, err)
		}
		e.stop()
		b.keyspace(s).Crash(false) // which forgets pins
		f.begin("checkpoint", 5)
		e = b.startOn(troubledStore{b.store, f}, s)
		e.awaitLive(14)
		if all, err := e.Snapshots("p"); err != nil || len(all) != 1 || all[0] != want {
			t.Errorf("%+v, %v", all, err)
		}
		if pins := b.keyspace(s).Pins(); !slices.Equal(pins, []state.Version{want.Memory, want.Version}) {
			t.Errorf("pinned are %v, want those of %+v", pins, want)
		}
	})
}

// A snapshot whose version was lost with the machine is dropped, also when that cannot be
// told at the start.
func TestSnapshotGone(t *testing.T) {
	for _, fails := range []int{0, 3} {
		inBubble(t, func(t *testing.T, b *bench) {
			f := &trouble{}
			s := spec(ledgerModule)
			b.append(10)
			e := b.start(s)
			e.awaitLive(10)
			kept, err := e.CreateSnapshot(t.Context(), "p", "kept")
			if err != nil {
				t.Fatal(err)
			}
			e.stop()
			lost := kept
			lost.Name, lost.Version = "lost", state.VersionAt(8)
			err = b.catalog.Update("p", func(r *catalog.Record) error { r.Snapshots = append(r.Snapshots, lost); return nil })
			if err != nil {
				t.Fatal(err)
			}
			b.keyspace(s).Crash(false) // which forgets pins
			f.begin("checkpoint", fails)
			e = b.startOn(troubledStore{b.store, f}, s)
			e.awaitLive(10)
			time.Sleep(time.Minute) // of the bubble
			if all, err := e.Snapshots("p"); err != nil || len(all) != 1 || all[0] != kept {
				t.Errorf("%+v, %v", all, err)
			}
			if pins := b.keyspace(s).Pins(); !slices.Equal(pins, []state.Version{kept.Version}) {
				t.Errorf("pinned are %v, want that of %+v", pins, kept)
			}
		})
	}
}

// An order that runs into a read that fails does too, and can be given again.
func TestOrderWhoseReadFails(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		f := &trouble{}
		b.twoAccounts(3)
		p := &picky{refuses: map[uint64]bool{3: true}}
		e := b.startOn(troubledStore{b.store, f}, setsAside(p.module("picky"), engine.Quarantine))
		e.awaitLive(6)
		p.mended.Store(true)
		f.begin("letters", 1)
		if done, err := e.Order(t.Context(), "p", engine.RetryLetters, engine.Letters{}); err == nil || !strings.Contains(err.Error(), "input/output error") {
			t.Errorf("%+v, %v", done, err)
		}
		e.awaitLive(6)
		if done := e.order(engine.RetryLetters, engine.Letters{}); done.Done != 2 {
			t.Errorf("%+v", done)
		}
		e.wantLetters()
		time.Sleep(time.Minute) // of the bubble
		if s := e.status(); s.State != engine.Live {
			t.Errorf("%+v", s)
		}
	})
}
