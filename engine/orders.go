package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Verb is what an operator wants of events that were set aside.
type Verb string

// The verbs.
const (
	// RetryLetters applies them again, in order, with the module as it is now. Those of a
	// queue stop at the first that fails again.
	RetryLetters Verb = "retry"
	// SkipLetters passes over them for good, keeps a record of each, and retries what
	// queued behind. On a halted projection that is the event that it halted before.
	SkipLetters Verb = "skip"
	// DropLetters forgets them, with all that queued behind.
	DropLetters Verb = "drop"
)

// Letters names events that were set aside: one by its sequence, those of one key, or
// all.
type Letters struct {
	Sequence uint64 `json:"seq,omitempty"`
	Key      []byte `json:"key,omitempty"` // an empty one: any
}

func (t Letters) match(l *state.Letter) bool {
	return (t.Sequence == 0 || t.Sequence == l.Sequence) && (len(t.Key) == 0 || contains(l.AllKeys(), t.Key))
}

// Ordered is what was done.
type Ordered struct {
	Done  int    `json:"done"`            // events that were retried with success, skipped or dropped
	Left  int64  `json:"left"`            // letters that remain in the projection
	Error string `json:"error,omitempty"` // of the first event that failed again
	Seq   uint64 `json:"seq,omitempty"`   // of that event
}

// ErrNoLetter says that no event is set aside that an order is about.
var ErrNoLetter = errors.New("no such event is set aside")

// Order has something done with events that a projection has set aside, and waits
// until that is committed. It fails with ErrNoLetter when there are none such, with a
// *StoppedError when the projection does not run, and with an error of the Source when an
// event that is to be skipped cannot be read, to keep it on record.
func (e *Engine) Order(ctx context.Context, name string, verb Verb, l Letters) (Ordered, error) {
	r, err := e.runner(name)
	if err != nil {
		return Ordered{}, err
	}
	var done Ordered
	err = r.order(ctx, func(ctx context.Context, s *session) (err error) {
		done, err = s.obey(ctx, verb, l)
		return err
	})
	return done, err
}

// obey carries an order about letters out and commits what came of it.
func (s *session) obey(ctx context.Context, verb Verb, l Letters) (Ordered, error) {
	if err := s.commitAll(ctx); err != nil {
		return Ordered{}, err
	}
	if failed := s.failed.event.Sequence; verb == SkipLetters && failed > s.applied.Sequence && failed == l.Sequence {
		return s.pass(ctx)
	}
	chosen, waits, err := s.choose(l)
	if err != nil {
		return Ordered{}, err
	}
	if len(chosen) == 0 {
		return Ordered{Left: s.aside.count.Letters}, &refusedError{ErrNoLetter}
	}
	w := &orderWork{session: s, waits: waits}
	s.orders++
	switch verb {
	case DropLetters:
		w.drop(chosen)
	case SkipLetters:
		err = w.skip(ctx, chosen)
	default:
		err = w.retry(ctx, chosen)
	}
	if s.broken {
		return Ordered{}, err // what a commit that failed was to hold is lost, and nothing may be committed on top
	}
	if cerr := w.commit(ctx, err == nil); cerr != nil {
		return Ordered{}, cerr
	}
	w.done.Left = s.aside.count.Letters
	return w.done, err
}

// pass passes over the event that the projection is halted before: everything up to it
// is committed. What comes of the next one changes nothing about that.
func (s *session) pass(ctx context.Context) (Ordered, error) {
	e, err := s.failedAgain(ctx)
	if err != nil {
		return Ordered{}, &refusedError{err}
	}
	more := s.takeKeys(ctx, &e)
	if full := s.fullBefore(&e); full != nil {
		return Ordered{}, &refusedError{&StoppedError{State: Halted, Reason: full.Error(), Hint: "retry or drop some that are set aside, or raise the limit"}}
	}
	l := s.letterOf(s.failed.letter, &e, more)
	l.Status = state.Skipped
	s.keepLetter(l)
	s.arrive(e)
	s.read++
	s.failed = failedEvent{}
	if err := s.commitAll(ctx); err != nil {
		return Ordered{}, err
	}
	return Ordered{Done: 1, Left: s.aside.count.Letters}, streams.ErrMoved
}

// failedAgain reads the event that the projection is halted before, from the stream that it
// was read from.
func (s *session) failedAgain(ctx context.Context) (e abi.Record, err error) {
	_, err = s.history().verify(ctx, s.source)
	var changed *HistoryError
	if errors.As(err, &changed) {
		return e, &StoppedError{State: Diverged, Reason: changed.Text, Hint: changed.hint(s.spec.Name)}
	}
	if err == nil {
		e, err = s.source.Event(ctx, s.spec.Stream, s.failed.event.Sequence)
	}
	switch {
	case errors.Is(err, streams.ErrNoEvent):
		return e, fmt.Errorf("event %d is no longer in the stream: %w", s.failed.event.Sequence, ErrNoLetter)
	case err != nil:
		return e, fmt.Errorf("read event %d, to keep it on record: %w", s.failed.event.Sequence, err)
	case !state.AnchorOf(e).Same(s.failed.event):
		return e, fmt.Errorf("event %d is not the one that failed: %w", e.Sequence, ErrNoLetter)
	}
	return e, nil
}

// choose reads the letters that an order is about, and those that wait in the queues of
// their keys, both in order.
func (s *session) choose(t Letters) (chosen, waits []state.Letter, err error) {
	base := s.partitions[0].overlay.base
	err = state.ReadLetters(base, 0, func(l state.Letter) bool {
		if t.match(&l) && l.Status != state.Skipped {
			chosen = append(chosen, l)
		}
		if l.Status.Waits() {
			waits = append(waits, l)
		}
		return true
	})
	if err != nil {
		err = &storeError{err}
	}
	return chosen, waits, err
}

// orderWork is an order that is being carried out.
type orderWork struct {
	*session
	waits []state.Letter // in the queues of their keys, in order
	done  Ordered
}

// keySet is a set of declared keys. A letter may have several: then it stands in several
// queues, and waits for those before it in all of them.
type keySet map[string]bool

func (s keySet) add(l *state.Letter) {
	for _, k := range l.AllKeys() {
		s[string(k)] = true
	}
}

func (s keySet) hasAny(l *state.Letter) bool {
	return slices.ContainsFunc(l.AllKeys(), func(k []byte) bool { return s[string(k)] })
}

func sequencesOf(letters []state.Letter) map[uint64]bool {
	set := make(map[uint64]bool, len(letters))
	for i := range letters {
		set[letters[i].Sequence] = true
	}
	return set
}

// drop forgets letters. Those that wait go with all that queued behind them.
func (w *orderWork) drop(chosen []state.Letter) {
	for i := range chosen {
		if !chosen[i].Status.Waits() {
			w.gone(&chosen[i])
		}
	}
	named, dropped := sequencesOf(chosen), keySet{}
	for i := range w.waits {
		if l := &w.waits[i]; named[l.Sequence] || dropped.hasAny(l) {
			dropped.add(l)
			w.gone(l)
		}
	}
}

// skip marks letters as skipped, and then retries what waits for nothing else any more.
func (w *orderWork) skip(ctx context.Context, chosen []state.Letter) error {
	for _, l := range chosen {
		if err := w.mark(l); err != nil {
			return err
		}
	}
	for _, l := range w.freed(sequencesOf(chosen)) {
		if err := w.again(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// freed are the letters that waited for some that are gone, and for nothing else.
func (w *orderWork) freed(gone map[uint64]bool) (list []state.Letter) {
	free, held := keySet{}, keySet{} // keys whose queues have lost their first, and those that have not
	for i := range w.waits {
		l := &w.waits[i]
		switch {
		case gone[l.Sequence]:
			for _, k := range l.AllKeys() {
				free[string(k)] = !held[string(k)]
			}
		case !held.hasAny(l) && free.hasAny(l):
			list = append(list, *l)
			free.add(l)
		default:
			held.add(l)
		}
	}
	return list
}

// mark keeps a letter as the record of an event that was skipped.
func (w *orderWork) mark(l state.Letter) error {
	waited := l.Status.Waits()
	l.Status, l.Time = state.Skipped, time.Now().UTC()
	write, err := l.Write()
	if err != nil {
		return err
	}
	if waited {
		w.leave(&l)
	}
	w.aside.rewrite = append(w.aside.rewrite, write)
	w.aside.count.Skipped++
	w.done.Done++
	return nil
}

// retry applies letters again, in order, each after all that it waits for, whichever of
// them was asked for.
func (w *orderWork) retry(ctx context.Context, chosen []state.Letter) error {
	named, needed := sequencesOf(chosen), keySet{}
	list := slices.DeleteFunc(chosen, func(l state.Letter) bool { return l.Status.Waits() })
	for i := len(w.waits) - 1; i >= 0; i-- {
		if l := &w.waits[i]; named[l.Sequence] || needed.hasAny(l) {
			needed.add(l)
			list = append(list, *l)
		}
	}
	slices.SortFunc(list, func(a, b state.Letter) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, l := range list {
		if err := w.again(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// again applies one letter. When it fails it stays what it was, with the new failure,
// and the instance is done for.
func (w *orderWork) again(ctx context.Context, l state.Letter) error {
	records, err := w.retried(ctx, l.Event)
	fuel := w.chain.fuel()
	if err == nil && len(records) > 0 {
		began := time.Now()
		err = w.partitions.apply(ctx, records, w.emitted)
		fuel = w.partitions.fuel()
		w.traceApplied(records, l.Sequence, l.Sequence, 1, fuel, began, time.Since(began), err)
	}
	if err == nil {
		w.gone(&l)
		if w.partitions.fill() > 0.5 || w.spec.Module.Traits().Memory {
			return w.commit(ctx, true)
		}
		return nil
	}
	w.spoiled = true
	var guest *guest.Error
	if !errors.As(err, &guest) && !errors.Is(err, errWindowFull) {
		return err
	}
	w.done.Error, w.done.Seq = err.Error(), l.Sequence
	l.Error, l.Module, l.Time, l.Fuel = err.Error(), w.spec.Module.Digest(), time.Now().UTC(), fuel
	l.Attempts++
	if l.Status == state.Parked {
		l.Status = state.Failed
	}
	write, werr := l.Write()
	w.aside.rewrite = append(w.aside.rewrite, write)
	return errors.Join(errReopen, werr)
}

// gone removes a letter.
func (w *orderWork) gone(l *state.Letter) {
	w.aside.rewrite = append(w.aside.rewrite, l.Remove())
	w.aside.count.Letters--
	if l.Status.Waits() {
		w.leave(l)
	}
	w.done.Done++
}

// leave takes a letter out of the queues of its keys.
func (w *orderWork) leave(l *state.Letter) {
	w.aside.count.Waiting--
	w.aside.leave(l)
}

// commit commits what was done so far, with the memory of a sound instance: it has seen
// events out of their order, which a replay would not repeat. What an instance that is not
// sound has left to commit are changes of letters that stay.
func (w *orderWork) commit(ctx context.Context, sound bool) error {
	if sound {
		return w.commitAlone(ctx)
	}
	if err := w.cut(ctx, false); err != nil {
		return err
	}
	return w.settle()
}
