package engine_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// A failure that comes together with a pause, or the end of the engine, spoils the memory
// all the same: it is not stored.
func TestMemoryAfterFailureAndPause(t *testing.T) {
	for name, end := range map[string]func(e *running){
		"pause": func(e *running) { e.pause() },
		"stop":  func(e *running) { go e.Close(); time.Sleep(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				var e atomic.Pointer[running]
				once := sync.OnceValue(func() error {
					end(e.Load())
					return enginetest.Refuse("at a bad moment")
				})
				fails := &atomic.Bool{}
				fails.Store(true)
				var guest *unlucky
				m := &enginetest.Module{Name: "remembers", New: func() enginetest.Guest {
					guest = &unlucky{fails: fails, fail: once}
					return guest
				}}
				s := spec(forgiving{m, func() enginetest.Rememberer { return guest }}, func(s *engine.Spec) { s.MemorySnapshots.Events = 1000 })
				e.Store(b.start(s))
				b.append(10)
				e.Load().awaitLive(10)
				b.server.SetSilent(true)
				b.append(17)
				b.server.SetSilent(false)
				time.Sleep(time.Minute) // of the bubble
				fails.Store(false)
				e.Load().stop()
				e.Store(b.start(s))
				e.Load().resume()
				e.Load().awaitLive(27)
				e.Load().wantCounts(27)
			})
		})
	}
}

// forgiving is a module whose instances write snapshots after a failure too, as those in
// the sandbox do.
type forgiving struct {
	guest.Module
	made func() enginetest.Rememberer // the guest of the instance that was made last
}

func (m forgiving) Instantiate(ctx context.Context, c guest.Config) (guest.Instance, error) {
	in, err := m.Module.Instantiate(ctx, c)
	return forgivingInstance{in, m.made()}, err
}

type forgivingInstance struct {
	guest.Instance
	guest enginetest.Rememberer
}

func (in forgivingInstance) Snapshot(context.Context) ([][]byte, error) {
	return in.guest.Snapshot(), nil
}

// unlucky fails at event 21, after it has counted it.
type unlucky struct {
	rememberer
	fails *atomic.Bool
	fail  func() error
}

func (u *unlucky) Event(e abi.Record, st guest.State) error {
	if err := u.rememberer.Event(e, st); err != nil || e.Sequence != 21 || !u.fails.Load() {
		return err
	}
	return u.fail()
}

// shaky is a module whose guests fail to write a snapshot, once: the one that so many
// come before.
type shaky struct {
	guest.Module
	fails *atomic.Int64
}

func (m shaky) Instantiate(ctx context.Context, c guest.Config) (guest.Instance, error) {
	in, err := m.Module.Instantiate(ctx, c)
	return shakyInstance{in, m.fails}, err
}

type shakyInstance struct {
	guest.Instance
	fails *atomic.Int64
}

func (in shakyInstance) Snapshot(ctx context.Context) ([][]byte, error) {
	if in.fails.Add(-1) == -1 {
		return nil, &guest.Error{Call: "snapshot", Kind: guest.Trapped, Event: -1}
	}
	return in.Instance.Snapshot(ctx)
}

// A guest that fails to write a snapshot halts its projection, with everything before
// committed; also where events were applied again, and some of them are gone.
func TestSnapshotFails(t *testing.T) {
	for _, deleted := range []uint64{0, 2} {
		inBubble(t, func(t *testing.T, b *bench) {
			s, memory := behindMemory(t, b)
			var except []uint64
			if deleted > 0 {
				except = append(except, memory+deleted)
				b.server.Delete(streamName, memory+deleted)
			}
			fails := &atomic.Int64{}
			s.Module, s.MemorySnapshots.Events = shaky{s.Module, fails}, 5
			b.append(2)
			e := b.start(s)
			if s := e.awaitState(engine.Halted); s.Reason != "snapshot memory at 50: snapshot trapped" || s.Position != 50 {
				t.Errorf("%+v", s)
			}
			e.wantLedger(1, 50, except...)
			e.stop()
			b.append(2)
			e = b.start(s)
			e.awaitLive(52)
			e.wantLedger(1, 52, except...)
		})
	}
}

// What was found out about an event holds when it is applied again because another one
// fails: else the one would bring up the other without end.
func TestMemoryAndTwoFailures(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var made atomic.Int64
		broken := true
		m := &enginetest.Module{Name: "moody", Fuel: 7, New: func() enginetest.Guest { return &moody{broken: &broken, look: func() {}} }}
		m.Open = func([]byte) {
			if made.Add(1) == 100 {
				t.Error("a hundred instances were made")
				broken = false
			}
		}
		b.append(60)
		e := b.start(spec(m, func(s *engine.Spec) {
			s.OnError, s.Batch.Events = engine.Skip, 10
			s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 2}
		}))
		e.awaitLive(60)
		e.wantLedger(1, 60, 21)
	})
}
