package engine

import (
	"context"
	"errors"

	"gnomon/engine/guest"
	"gnomon/engine/state"
)

// Trial is one event for one module, beside any projection.
type Trial struct {
	Module   guest.Module
	Instance guest.Config
	Memory   [][]byte      // of the guest, from a snapshot; nil: none is restored
	State    state.Rows    // as the guest finds it
	Limit    state.TxLimit // of what it writes
	Record   []byte        // the event, a record of sdk/abi, or the several that upcasters made of it
	Upcast   bool          // the module is an upcaster: the event is to be rewritten, not applied
}

// Try applies an event to a fresh instance, as a projection would, and forgets what it
// writes. It returns the guest's failure, a *guest.Error or that it writes too much at
// once; nil when it has none; and as err what kept it from running, or State's error.
func Try(ctx context.Context, t Trial) (failure, err error) {
	in, err := t.Module.Instantiate(ctx, t.Instance)
	if err != nil {
		return guestFailure(err)
	}
	defer in.Close(ctx)
	if t.Memory != nil && t.Module.Traits().Memory {
		if err := in.Restore(ctx, t.Memory); err != nil {
			return guestFailure(err)
		}
	}
	if t.Upcast {
		_, err := in.Upcast(ctx, t.Record)
		return guestFailure(err)
	}
	o := newOverlay(rowsOnly{t.State}, t.Limit, 1<<30)
	o.begin()
	return guestFailure(in.Apply(ctx, t.Record, o))
}

// guestFailure tells what is the guest's failure from what is not.
func guestFailure(err error) (failure, other error) {
	var guest *guest.Error
	if errors.As(err, &guest) || errors.Is(err, errWindowFull) {
		return err, nil
	}
	return nil, err
}

// rowsOnly is a view of rows that have no version.
type rowsOnly struct{ state.Rows }

func (rowsOnly) Version() state.Version { return 0 }
func (rowsOnly) Letters() state.Rows    { return nil }
func (rowsOnly) Outbox() state.Rows     { return nil }
func (rowsOnly) Close()                 {}
