package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// verdict is what becomes of one event that failed, once it is reached again. A
// runner keeps it until the event's letter is committed.
type verdict struct {
	policy Policy
	letter state.Letter // what failed
}

// failedEvent is an event that halts a projection; the zero one: none does.
type failedEvent struct {
	event  state.Anchor
	letter state.Letter // what failed
}

// judge decides what becomes of an event that failed by itself. It returns false when
// the projection halts.
func (r *Runner) judge(e *batchError) bool {
	r.failed = failedEvent{}
	var guest *guest.Error
	if e.count != 1 || !errors.As(e.err, &guest) {
		return false
	}
	if r.spec.OnError == Halt || r.spec.OnError == "" {
		r.failed = failedEvent{event: e.event, letter: r.letter(e.err.Error(), e.fuel)}
		return false
	}
	if r.verdicts == nil {
		r.verdicts = map[uint64]verdict{}
	}
	r.verdicts[e.first] = verdict{policy: r.spec.OnError, letter: r.letter(e.err.Error(), e.fuel)}
	r.log.Warn("event failed", "sequence", e.first, "error", e.err, "on_error", string(r.spec.OnError))
	return true
}

// letter is what is known of a failure just now.
func (r *Runner) letter(text string, fuel uint64) state.Letter {
	return state.Letter{Error: text, Module: r.spec.Module.Digest(), Time: time.Now().UTC(), Fuel: fuel, Attempts: 1}
}

// aside is what a session knows of events that are not applied.
type aside struct {
	count   state.Aside    // as of the last cut
	waiting map[string]int // letters in the queues of keys, as of the last event read
	pending []state.Letter // not cut yet, by sequence
	skipped []uint64       // sequences passed over, not cut yet
	rewrite []state.Write  // changes of letters that were stored before
	known   []state.Letter // stored by an earlier session for events that are applied again, by sequence
	full    *fullError     // no more may be set aside: the batch ends before that event
}

// loadAside reads what earlier sessions set aside. Where the session goes on from so
// many events had been skipped; with memory that may be before the newest checkpoint,
// and the letters since then are for events that come again.
func (s *session) loadAside(skipped int64) error {
	s.aside = aside{count: s.newest.Aside, waiting: map[string]int{}}
	s.aside.count.Skipped = skipped
	if s.newest.Aside.Letters == 0 {
		return nil
	}
	v, err := s.keyspace.View(s.newest.Version)
	if err != nil {
		return fmt.Errorf("read events set aside at %d: %w", s.newest.Position.Sequence, err)
	}
	defer v.Close()
	var before []state.Letter // of events that are not applied again
	err = state.ReadLetters(v, 0, func(l state.Letter) bool {
		if l.Sequence > s.applied.Sequence {
			s.aside.known = append(s.aside.known, l)
			s.aside.count.Forget(l.Status)
			return true
		}
		if l.Status.Waits() {
			s.aside.queue(&l)
		}
		before = append(before, l)
		return true
	})
	if err != nil || s.since == 0 {
		return err
	}
	return s.keepOrdered(before)
}

// keepOrdered keeps what orders have made of letters since the memory snapshot that the
// session goes back to: the commit that takes the state back there writes them again.
func (s *session) keepOrdered(letters []state.Letter) error {
	skipped := map[uint64]bool{} // already then
	err := state.ReadLetters(s.partitions[0].overlay.base, 0, func(l state.Letter) bool {
		skipped[l.Sequence] = l.Status == state.Skipped
		return true
	})
	if err != nil {
		return err
	}
	for _, l := range letters {
		if l.Status == state.Skipped && !skipped[l.Sequence] {
			s.aside.count.Skipped++
		}
		w, err := l.Write()
		if err != nil {
			return err
		}
		s.aside.rewrite = append(s.aside.rewrite, w)
	}
	return nil
}

// asideActive reports whether events have to be looked at one by one.
func (s *session) asideActive() bool {
	return len(s.verdicts) > 0 || len(s.aside.waiting) > 0 || len(s.aside.known) > 0
}

// setAside decides whether an event is applied. One that is not becomes a letter, or
// is only counted. More are further declared keys, of an event of which upcasters made
// records of several.
func (s *session) setAside(e *abi.Record, more ...[]byte) bool {
	if s.keepKnown(e.Sequence) {
		return true
	}
	var l state.Letter
	v, failed := s.verdicts[e.Sequence]
	switch {
	case failed && v.policy == Skip:
		s.aside.skipped = append(s.aside.skipped, e.Sequence)
		return true
	case failed:
		l = v.letter
		l.Status = state.Dead
		if v.policy == Quarantine && len(e.Key) > 0 {
			l.Status = state.Failed
		}
	case s.aside.waits(e.Key, more):
		l = state.Letter{Status: state.Parked, Time: time.Now().UTC()}
	default:
		return false
	}
	if s.aside.full = s.fullBefore(e); s.aside.full != nil {
		return true
	}
	s.keepLetter(s.letterOf(l, e, more))
	return true
}

// letterOf is the letter for an event, whose bytes are copied.
func (s *session) letterOf(l state.Letter, e *abi.Record, more [][]byte) state.Letter {
	stored := *e
	if !s.chain.isEmpty() {
		stored.Key = nil // it is upcast again when it is retried, and gets its key then
	}
	l.Sequence, l.Key, l.Event = e.Sequence, bytes.Clone(e.Key), stored.Append(nil)
	for _, key := range more {
		l.Keys = append(l.Keys, bytes.Clone(key))
	}
	return l
}

// waits reports whether an event has to queue behind another one of one of its keys.
func (a *aside) waits(key []byte, more [][]byte) bool {
	if len(a.waiting) == 0 {
		return false
	}
	return len(key) > 0 && a.waiting[string(key)] > 0 ||
		slices.ContainsFunc(more, func(k []byte) bool { return a.waiting[string(k)] > 0 })
}

// queue puts a letter into the queues of its keys.
func (a *aside) queue(l *state.Letter) {
	for _, key := range l.AllKeys() {
		a.waiting[string(key)]++
	}
}

// leave takes a letter out of the queues of its keys.
func (a *aside) leave(l *state.Letter) {
	for _, key := range l.AllKeys() {
		if a.waiting[string(key)]--; a.waiting[string(key)] == 0 {
			delete(a.waiting, string(key))
		}
	}
}

// decided reports whether it is known what becomes of an event that failed.
func (s *session) decided(sequence uint64) bool {
	known := slices.ContainsFunc(s.aside.known, func(l state.Letter) bool { return l.Sequence == sequence })
	_, judged := s.verdicts[sequence]
	return known || judged
}

// fullError says that as many events are set aside as may be.
type fullError struct {
	event, have uint64
	limit       int
}

func (e *fullError) Error() string {
	return fmt.Sprintf("event %d cannot be set aside: %d are, and the limit is %d (projection.limits.dead_letters)", e.event, e.have, e.limit)
}

// fullBefore returns an error when an event cannot be set aside.
func (s *session) fullBefore(e *abi.Record) *fullError {
	have := s.aside.count.Letters + int64(len(s.aside.pending))
	if have < int64(s.spec.Letters) {
		return nil
	}
	return &fullError{event: e.Sequence, have: uint64(have), limit: s.spec.Letters}
}

// keepKnown keeps the letters up to a sequence that were stored before, and reports whether
// the last one is of that. The stream may no longer hold the events of the others, but
// the letters do.
func (s *session) keepKnown(through uint64) (last bool) {
	for len(s.aside.known) > 0 && s.aside.known[0].Sequence <= through {
		l := s.aside.known[0]
		s.aside.known = s.aside.known[1:]
		s.keepLetter(l)
		last = l.Sequence == through
	}
	return last
}

func (s *session) keepLetter(l state.Letter) {
	s.aside.pending = append(s.aside.pending, l)
	if l.Status.Waits() {
		s.aside.queue(&l)
	}
}

// cutAside takes what was set aside up to the applied position, for a commit.
func (s *session) cutAside(job *commitJob) error {
	s.keepKnown(s.applied.Sequence)
	a := &s.aside
	job.letters = a.rewrite
	a.rewrite = nil
	n := 0
	for ; n < len(a.pending) && a.pending[n].Sequence <= s.applied.Sequence; n++ {
		l := &a.pending[n]
		w, err := l.Write()
		if err != nil {
			return fmt.Errorf("set event %d aside: %w", l.Sequence, err)
		}
		job.letters = append(job.letters, w)
		a.count.Add(l.Status)
	}
	a.pending = slices.Delete(a.pending, 0, n)
	n = 0
	for ; n < len(a.skipped) && a.skipped[n] <= s.applied.Sequence; n++ {
		a.count.Skipped++
	}
	job.passed = slices.Clone(a.skipped[:n])
	a.skipped = slices.Delete(a.skipped, 0, n)
	job.aside = a.count
	return nil
}

// passVerdicts forgets verdicts on events that are committed, and not applied again after
// a failure.
func (r *Runner) passVerdicts(c state.Checkpoint) {
	sequence := c.Position.Sequence
	if r.spec.Module.Traits().Memory && len(c.Memories) > 0 {
		sequence = c.Memories[0].Version.Sequence()
	}
	maps.DeleteFunc(r.verdicts, func(seq uint64, _ verdict) bool { return seq <= sequence })
}
