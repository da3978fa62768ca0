package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/sdk/abi"
)

// simNone is the kind of a further record of an event, which changes nothing.
const simNone simKind = 'n'

// upcasters are a chain that makes records beside an event, some of which it takes away
// again, and that refuses what the guest would: all in all the events are what they were.
func (s simTraits) upcasters(r *rand.Rand, world *atomic.Int64) []engine.Upcaster {
	spread := func(e abi.Record, out func(abi.Record)) error {
		none := abi.Record{Subject: e.Subject, Data: []byte{simNone}}
		for range e.Sequence % 3 {
			out(none)
			out(abi.Record{Subject: []byte("x.gone"), Data: none.Data})
		}
		out(e)
		if e.Sequence%2 == 0 {
			out(none)
		}
		return nil
	}
	gone := func(abi.Record, func(abi.Record)) error { return nil }
	refuse := func(e abi.Record, out func(abi.Record)) error {
		out(e)
		level := world.Load()
		if s.memory {
			level = 0
		}
		if e.Data[0] == simPoison && s.picks(string(e.Subject)) && int64(e.Data[1]-'0') > level {
			return enginetest.Refuse("poison")
		}
		return nil
	}
	pick := func(n ...int) int { return n[r.IntN(len(n))] }
	chain := []engine.Upcaster{
		{Name: "spread", Module: &enginetest.Module{Name: "spread", Rewrite: spread, Buffer: pick(0, 0, 120), Fuel: pick(0, 0, 1, 7)}},
		{Name: "gone", Module: &enginetest.Module{Name: "gone", Rewrite: gone}},
		{Name: "refuse", Module: &enginetest.Module{Name: "refuse", Rewrite: refuse, Buffer: pick(0, 0, 600), Fuel: pick(0, 0, 7)}},
	}
	chain[1].Filter = func(subject []byte) bool { return subject[0] == 'x' }
	return chain
}

// Upcast implements guest.Instance. It fails as Apply does.
func (in *simInstance) Upcast(ctx context.Context, records []byte) ([]byte, error) {
	if in.failed {
		return nil, errors.New("an instance was used after it had failed")
	}
	first, rest, err := firstEvent(records)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0 && in.fails("upcast"):
		return nil, troubled("upcast")
	case in.fails("host"):
		return nil, fmt.Errorf("upcast of %d: %s", first.Sequence, passingTrouble)
	}
	return in.Instance.Upcast(ctx, records)
}

// firstEvent is the first record, and what follows the event that it belongs to.
func firstEvent(records []byte) (first abi.Record, rest []byte, err error) {
	first, rest, err = abi.Next(records)
	for err == nil && len(rest) > 0 {
		e, after, nerr := abi.Next(rest)
		if nerr != nil || e.Sequence != first.Sequence {
			return first, rest, nerr
		}
		rest = after
	}
	return first, rest, err
}
