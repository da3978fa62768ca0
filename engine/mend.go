package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gnomon/engine/guest"
	"gnomon/engine/streams"
)

// applyMending applies a batch. When the guest fails on some of it, and it is known what
// comes next (smaller pieces, or an event that is passed over), the session goes on behind
// what was applied with instances that are new: reader, overlay and window stay.
func (s *session) applyMending(ctx context.Context, b *streams.Batch) error {
	for {
		err := s.applyBatch(ctx, b)
		if err == nil {
			return nil
		}
		mended, merr := s.mend(ctx, err)
		if merr != nil {
			return merr
		}
		if !mended {
			return err
		}
		if err := s.obeyAll(ctx); err != nil {
			return err
		}
		if err := s.between(ctx); err != nil {
			return err
		}
		b = b.From(s.applied.Sequence + 1)
	}
}

// mend replaces the instances after a failure of the guest, unless that ends the session:
// when the projection halts, or when the guest has memory, which goes back to a snapshot.
func (s *session) mend(ctx context.Context, err error) (bool, error) {
	var failed *batchError
	var guest *guest.Error
	if !s.spoiled || s.spec.Module.Traits().Memory || ctx.Err() != nil || !errors.As(err, &failed) || !errors.As(err, &guest) {
		return false, nil
	}
	if !s.goesOn(failed) {
		return false, nil
	}
	s.aside.forgetAfter(s.applied.Sequence)
	if err := s.partitions.renew(ctx, s.spec, s.generation); err != nil {
		return false, err
	}
	s.spoiled = false
	return true, nil
}

// forgetAfter takes back what was decided of events after a sequence, which are looked at
// once more: another one before them may have failed since.
func (a *aside) forgetAfter(sequence uint64) {
	for i := len(a.pending) - 1; i >= 0 && a.pending[i].Sequence > sequence; i-- {
		if l := &a.pending[i]; l.Status.Waits() {
			a.leave(l)
		}
		a.pending = slices.Delete(a.pending, i, i+1)
	}
	for n := len(a.skipped); n > 0 && a.skipped[n-1] > sequence; n-- {
		a.skipped = a.skipped[:n-1]
	}
	a.full = nil
}

// renew replaces all instances: what they remember may be of events that were rolled back.
func (ps partitions) renew(ctx context.Context, spec *Spec, generation string) error {
	for _, p := range ps {
		if err := p.instance.Close(ctx); err != nil {
			return fmt.Errorf("close instance: %w", err)
		}
	}
	for _, p := range ps {
		in, err := spec.newInstance(ctx, generation)
		if err != nil {
			return err
		}
		p.instance = in
	}
	return nil
}
