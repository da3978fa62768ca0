package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// run applies what comes after the start of a span, up to a sequence, in a session that is
// over when it returns, but for its overlay.
func (r *replay) run(ctx context.Context, runner *Runner, through uint64) (err error) {
	if err := r.open(ctx, runner); err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, r.closeInstances(ctx)); err != nil {
			r.closeView()
		}
	}()
	if err := r.know(); err != nil {
		return err
	}
	// A tail that was lost after the start, and whose numbers were given again, is told by the end.
	for _, ck := range []state.Checkpoint{r.start, r.next} {
		if err := verifyPast(ctx, r.source, ck); err != nil {
			return err
		}
	}
	if err := r.follow(ctx, through, r.take); err != nil {
		return err
	}
	if r.missing == 0 {
		return nil
	}
	return r.checkGone(ctx)
}

// open makes the instance and shows it the state at the start: that of the commit, or, of a
// guest with memory, that of the newest memory snapshot before it.
func (r *replay) open(ctx context.Context, runner *Runner) error {
	ps, err := openPartitions(ctx, runner.spec, runner.generation)
	if err != nil {
		return err
	}
	r.session = &session{Runner: runner, partitions: ps, chain: newChain(runner.spec.Upcasters, runner.generation)}
	r.start = r.from
	if r.from.Version == 0 {
		ps.see(r.base, state.TxLimit{Writes: replayWrites, Bytes: replayBytes}, r.spec.Cache)
		r.applied = r.start.Position
		return nil
	}
	if err := r.restore(ctx, &r.start); err != nil {
		if errors.Is(err, state.ErrCorrupt) && r.from.Needed() < r.keyspace.Oldest() { // it is gone, and not damaged
			err = fmt.Errorf("%w: a replay up to there begins with the memory at %d", ErrNotKept, r.from.Needed().Sequence())
		}
		return errors.Join(err, r.closeInstances(ctx))
	}
	base := r.base
	if r.start.Version != r.from.Version {
		if base, err = r.keyspace.View(r.start.Version); err != nil {
			return errors.Join(fmt.Errorf("%w: a replay up to there begins with the memory at %d", ErrNotKept, r.start.Position.Sequence), r.closeInstances(ctx))
		}
	}
	ps.see(base, state.TxLimit{Writes: replayWrites, Bytes: replayBytes}, r.spec.Cache)
	r.applied, r.anchors = r.start.Position, r.start.Anchors
	return nil
}

// closeInstances releases what runs. The overlay stays, with its view.
func (r *replay) closeInstances(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	errs := []error{r.chain.close(ctx)}
	for _, p := range r.partitions {
		errs = append(errs, p.instance.Close(ctx))
	}
	return errors.Join(errs...)
}

// closeView closes the view of the overlay, if that is not the span's.
func (r *replay) closeView() {
	if r.session == nil || len(r.partitions) == 0 || r.partitions[0].overlay == nil {
		return
	}
	if base := r.partitions[0].overlay.base; base != r.base {
		base.Close()
	}
}

// know reads what became of the events that are to be applied: those that were set aside,
// and those that were skipped.
func (r *replay) know() error {
	v, err := r.keyspace.View(r.next.Version)
	if err != nil {
		return err
	}
	defer v.Close()
	err = state.ReadLetters(v, r.start.Position.Sequence, func(l state.Letter) bool {
		r.letters = append(r.letters, l)
		return true
	})
	r.verdicts = map[uint64]verdict{}
	for ck := r.next; err == nil && r.start.Version > 0 && ck.Version > r.start.Version; {
		for _, sequence := range ck.Passed {
			r.verdicts[sequence] = verdict{policy: Skip}
		}
		ck, err = r.keyspace.Checkpoint(ck.Version - 1)
	}
	return err
}

// follow reads the events after the applied position, up to a sequence, for take. A reader
// that is lost is made anew.
func (r *replay) follow(ctx context.Context, through uint64, take func(context.Context, *streams.Batch) error) error {
	at := r.applied.Sequence
	for lost := 0; at < through; {
		before := at
		err := r.pump(ctx, &at, through, take)
		if at > before {
			lost = 0
		}
		if lost++; !errors.Is(err, streams.ErrReaderLost) || lost > 3 {
			return err
		}
	}
	return nil
}

// pump hands what a reader yields to take, until the position is at a sequence.
func (r *replay) pump(ctx context.Context, at *uint64, through uint64, take func(context.Context, *streams.Batch) error) error {
	reader, err := r.source.Read(ctx, r.spec.Stream, *at+1, r.spec.Batch)
	if err != nil {
		return fmt.Errorf("read stream %s from %d: %w", r.spec.Stream, *at+1, err)
	}
	defer reader.Close()
	idle := time.NewTicker(replayIdle)
	defer idle.Stop()
	for *at < through {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-reader.Ready():
			err = r.step(ctx, reader, at, through, take)
		case <-idle.C:
			err = r.caughtUp(ctx, reader, at, through)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// step takes one batch of a reader.
func (r *replay) step(ctx context.Context, reader streams.Reader, at *uint64, through uint64, take func(context.Context, *streams.Batch) error) error {
	b, err := reader.Take()
	if b == nil || err != nil {
		return err
	}
	defer reader.Release(b)
	r.miss(b.Missing(*at), through)
	part := b
	if b.Through > through {
		part = b.Until(through)
	}
	if err := take(ctx, part); err != nil {
		return err
	}
	r.seen += part.Count
	*at = part.Through
	return nil
}

// caughtUp finds out whether there are no events where none come.
func (r *replay) caughtUp(ctx context.Context, reader streams.Reader, at *uint64, through uint64) error {
	end, ok, err := reader.CaughtUp(ctx)
	if err != nil || !ok || end <= *at {
		return err
	}
	r.miss(*at+1, through)
	*at = min(end, through)
	r.advance(*at)
	return nil
}

// miss notes the first sequence that the stream does not hold.
func (r *replay) miss(sequence, through uint64) {
	if sequence != 0 && sequence <= through && (r.missing == 0 || sequence < r.missing) {
		r.missing = sequence
	}
}

// take applies a batch.
func (r *replay) take(ctx context.Context, b *streams.Batch) error {
	if r.watch == nil {
		return r.again(ctx, b)
	}
	for rest := b.Records; len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil {
			return err
		}
		one := &streams.Batch{}
		one.Append(&e)
		if err := r.again(ctx, one); err != nil {
			return err
		}
		if err := r.watch(r, e); err != nil {
			return err
		}
		rest = after
	}
	r.advance(b.Through)
	return nil
}

// again applies a batch, in smaller calls where one is too large. A guest with memory has to
// begin at its memory then.
func (r *replay) again(ctx context.Context, b *streams.Batch) error {
	for {
		r.aside = aside{waiting: map[string]int{}, known: r.lettersAfter(r.applied.Sequence)}
		err := r.apply(ctx, b)
		var failed *batchError
		if err == nil || r.spec.Module.Traits().Memory || errors.Is(err, errWindowFull) || !errors.As(err, &failed) || !r.retry(failed) {
			return err
		}
		if err := r.renew(ctx); err != nil {
			return err
		}
		b = b.Since(r.applied.Sequence + 1)
	}
}

// lettersAfter are those of events after a sequence.
func (r *replay) lettersAfter(sequence uint64) []state.Letter {
	i, _ := slices.BinarySearchFunc(r.letters, sequence+1, func(l state.Letter, s uint64) int { return cmp.Compare(l.Sequence, s) })
	return r.letters[i:]
}

// renew makes another instance: one that failed is not to be used.
func (r *replay) renew(ctx context.Context) error {
	in, err := r.spec.newInstance(ctx, r.generation)
	if err != nil {
		return err
	}
	p := r.partitions[0]
	err = p.instance.Close(ctx)
	p.instance = in
	return err
}

// checkGone tells sequences that never held an event of the replay, such as those between
// what a mirror has, from events that were applied and are gone since: then there are fewer
// of them in the whole span than were read.
func (r *replay) checkGone(ctx context.Context) error {
	was := r.next.Read - r.start.Read
	if uint64(r.seen) < was {
		skip := func(context.Context, *streams.Batch) error { return nil }
		if err := r.follow(ctx, r.next.Position.Sequence, skip); err != nil {
			return err
		}
	}
	if uint64(r.seen) == was {
		return nil
	}
	return fmt.Errorf("%w: of %d events that were applied after %d, up to %d, stream %s holds %d; the first sequence without one is %d",
		ErrEventsGone, was, r.start.Position.Sequence, r.next.Position.Sequence, r.spec.Stream, r.seen, r.missing)
}

// view makes a view of what the replay came to. It takes the views that the replay reads.
func (r *replay) view(sequence uint64) (*pastView, state.Checkpoint, error) {
	ck := r.start
	o := r.partitions[0].overlay
	w := &window{}
	o.cut(w)
	if err := w.tally(&ck, o.base); err != nil {
		return nil, ck, err
	}
	r.applied.Sequence = sequence
	ck.Version, ck.Position, ck.Anchors, ck.Schema = state.VersionAt(sequence), r.applied, r.anchors, r.next.Schema
	ck.Memories, ck.After, ck.Passed, ck.Runs = r.from.Memories, r.from.Version, nil, r.next.Runs
	ck.Read = r.start.Read + uint64(r.seen)
	ck.Aside = r.from.Aside
	letters := pastRows{base: r.base.Letters()}
	for _, l := range r.lettersAfter(r.from.Position.Sequence) {
		if l.Sequence > sequence {
			break
		}
		write, err := l.Write()
		if err != nil {
			return nil, ck, err
		}
		ck.Aside.Add(l.Status)
		letters.changed = append(letters.changed, &item{key: write.Key, value: write.Value, present: true})
	}
	for s := range r.verdicts {
		if s > r.from.Position.Sequence && s <= sequence {
			ck.Aside.Skipped++
		}
	}
	st := pastRows{base: o.base}
	for i := range w.entries {
		e := &w.entries[i]
		st.changed = append(st.changed, &item{key: e.key, value: e.value, present: e.present})
	}
	slices.SortFunc(st.changed, func(a, b *item) int { return cmp.Compare(a.key, b.key) })
	views := []state.View{r.base}
	if o.base != r.base {
		views = append(views, o.base)
	}
	return newPastView(st, letters, o.base.Version(), ck.Version, views...), ck, nil
}
