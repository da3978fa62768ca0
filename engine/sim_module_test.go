package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"gnomon/engine"
	"gnomon/engine/guest"
)

// passingTrouble is in the reason of every halt that no event is to blame for: it is gone
// when the projection tries anew.
const passingTrouble = "passing trouble"

func troubled(call string) error {
	return &guest.Error{Call: call, Kind: guest.Trapped, Text: passingTrouble, Event: -1}
}

// simModule is a module whose instances cannot always be made, and fail now and then.
type simModule struct {
	guest.Module
	life   *life
	name   string // of the projection
	closed atomic.Int32
}

// Close implements guest.Module's optional part.
func (m *simModule) Close(context.Context) error {
	if m.closed.Add(1) > 1 {
		panic("a module is closed twice:\n" + m.life.seen.last())
	}
	return nil
}

// Instantiate implements guest.Module.
func (m *simModule) Instantiate(ctx context.Context, c guest.Config) (guest.Instance, error) {
	if m.closed.Load() > 0 {
		m.life.seen.saw("BUG %s: an instance of a module that was closed", m.name)
		panic("an instance is made of a module that was closed:\n" + m.life.seen.last())
	}
	if m.life.dice.hit("instance "+m.name, m.life.sky.Load().instance) {
		m.life.seen.saw("%s: no instance can be made", m.name)
		if m.life.dice.hit("whose fault "+m.name, 0.5) {
			return nil, troubled("start")
		}
		return nil, errors.New("cannot allocate memory")
	}
	in, err := m.Module.Instantiate(ctx, c)
	return &simInstance{Instance: in, module: m}, err
}

type simInstance struct {
	guest.Instance
	module *simModule
	failed bool
}

func (in *simInstance) fails(call string) bool {
	l := in.module.life
	if !l.dice.hit(call+" "+in.module.name, l.sky.Load().guest) {
		return false
	}
	l.seen.saw("%s: %s fails", in.module.name, call)
	in.failed = true
	return true
}

// Apply implements guest.Instance. A guest that fails for no reason of its own does so in
// a call with more events than one: else the event would be blamed.
func (in *simInstance) Apply(ctx context.Context, records []byte, st guest.State) error {
	if in.failed {
		return errors.New("an instance was used after it had failed")
	}
	first, rest, err := firstEvent(records)
	switch {
	case err != nil:
		return err
	case len(rest) > 0 && in.fails("apply"):
		if err := in.Instance.Apply(ctx, records[:len(records)-len(rest)], st); err != nil {
			return err
		}
		return troubled("apply")
	case in.fails("host"):
		return fmt.Errorf("apply of %d: %s", first.Sequence, passingTrouble)
	}
	return in.Instance.Apply(ctx, records, st)
}

// Snapshot implements guest.Instance.
func (in *simInstance) Snapshot(ctx context.Context) ([][]byte, error) {
	if in.fails("snapshot") {
		return nil, troubled("snapshot")
	}
	return in.Instance.Snapshot(ctx)
}

// Restore implements guest.Instance.
func (in *simInstance) Restore(ctx context.Context, blobs [][]byte) error {
	if in.fails("restore") {
		return troubled("restore")
	}
	return in.Instance.Restore(ctx, blobs)
}

// haltsInPassing reports whether no event is to blame for a halt.
func haltsInPassing(s engine.Status) bool {
	return s.State == engine.Halted && strings.Contains(s.Reason, passingTrouble)
}
