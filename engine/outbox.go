package engine

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// OutboxLimit bounds the events that wait to be published; 0: no bound. No more events are
// taken while it is reached. One batch may go beyond it.
type OutboxLimit struct {
	Rows  int
	Bytes int // of headers and data
}

// outbox is what is committed of a runner's emitted events and not known to be published.
// It outlives sessions. What is stored of it is written by the session only.
type outbox struct {
	mu     sync.Mutex
	loaded bool
	rows   []outboxEntry         // that wait, in order
	bytes  int                   // of them
	done   []state.OutboxRow     // that do not wait any more, and are stored still
	marks  map[string]state.Mark // of what is done, by stream

	published, silent uint64 // since the engine started
	through           uint64 // cause of the last one that was published
	full              bool   // no more events are taken
	trouble, hint     string // of the relay, while it cannot go on
	code              string // of the trouble
	since             time.Time
	warning           string
}

type outboxEntry struct {
	state.OutboxRow
	version state.Version // that it was committed at, or a later one
}

// load reads what is stored, unless that is known. What was done before is done.
func (o *outbox) load(ks state.Keyspace) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.loaded {
		return nil
	}
	ck, err := ks.Latest()
	if errors.Is(err, state.ErrNoCheckpoint) {
		return nil
	}
	if err != nil {
		return err
	}
	was := map[uint64]bool{}
	for _, r := range o.done {
		was[r.Number] = true
	}
	var rows []outboxEntry
	var done []state.OutboxRow
	if ck.Outbox.Rows > 0 {
		v, err := ks.View(ck.Version)
		if err != nil {
			return err
		}
		defer v.Close()
		err = state.ReadOutbox(v, func(r state.OutboxRow) bool {
			if was[r.Number] {
				done = append(done, r)
			} else {
				rows = append(rows, outboxEntry{r, ck.Version})
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	o.rows, o.done, o.bytes, o.loaded = rows, done, 0, true
	for i := range rows {
		o.bytes += rows[i].Bytes()
	}
	if o.marks == nil {
		o.marks = map[string]state.Mark{}
	}
	for _, m := range ck.Outbox.Marks {
		if _, ok := o.marks[m.Stream]; !ok {
			o.marks[m.Stream] = m
		}
	}
	return nil
}

// forget has what is stored read anew: it is not known what a commit came to.
func (o *outbox) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.loaded = false
}

// committed takes in a commit: rows that were written, and how many of what is done were
// removed.
func (o *outbox) committed(rows []state.OutboxRow, removed int, at state.Version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range rows {
		o.rows = append(o.rows, outboxEntry{r, at})
		o.bytes += r.Bytes()
	}
	o.done = slices.Delete(o.done, 0, removed)
}

// trims is what the next commit removes, with the marks that belong to it.
func (o *outbox) trims() ([]state.OutboxRow, []state.Mark) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.done), o.marksLocked()
}

func (o *outbox) marksLocked() (all []state.Mark) {
	for _, m := range o.marks {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b state.Mark) int { return strings.Compare(a.Stream, b.Stream) })
	return all
}

func (o *outbox) knownMarks() []state.Mark {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.marksLocked()
}

// hasDone reports whether there is something to remove.
func (o *outbox) hasDone() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.done) > 0
}

// next returns the first rows, so many and as large at most, and at least one if there is
// any, and the version that they were all committed at.
func (o *outbox) next(limit streams.ReadLimit) (rows []state.OutboxRow, at state.Version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bytes := 0
	for i := range o.rows {
		bytes += o.rows[i].Bytes()
		if len(rows) > 0 && (len(rows) == limit.Events || bytes > limit.Bytes) && o.rows[i].Cause != rows[len(rows)-1].Cause {
			break
		}
		rows, at = append(rows, o.rows[i].OutboxRow), max(at, o.rows[i].version)
	}
	return rows, at
}

// settled notes that the first rows, up to one of a number, do not wait any more, and what
// the target streams hold of them.
func (o *outbox) settled(through uint64, published int, marks []state.Mark) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for ; n < len(o.rows) && o.rows[n].Number <= through; n++ {
		o.doneLocked(&o.rows[n])
	}
	o.silent += uint64(n - min(n, published))
	o.published += uint64(published)
	if n > 0 && published > 0 {
		o.through = o.rows[n-1].Cause
	}
	o.rows = slices.Delete(o.rows, 0, n)
	for _, m := range marks {
		o.marks[m.Stream] = m
	}
}

func (o *outbox) doneLocked(e *outboxEntry) {
	o.bytes -= e.Bytes()
	r := e.OutboxRow
	r.Headers, r.Data = nil, nil
	o.done = append(o.done, r)
}

// drop has the rows that are silent not wait any more.
func (o *outbox) drop(silent func(cause uint64) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows = slices.DeleteFunc(o.rows, func(e outboxEntry) bool {
		if !silent(e.Cause) {
			return false
		}
		o.silent++
		o.doneLocked(&e)
		return true
	})
}

// subjects are those of what waits, or all there are when they are many.
func (o *outbox) subjects() (all []string) {
	const most = 20
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.rows {
		s := o.rows[i].Subject
		if slices.Contains(all, s) {
			continue
		}
		if len(all) == most {
			return []string{">"}
		}
		all = append(all, s)
	}
	return all
}

// waiting is how many rows wait, and their bytes.
func (o *outbox) waiting() (rows, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rows), o.bytes
}

// mark is that of a stream.
func (o *outbox) mark(stream string) (state.Mark, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m, ok := o.marks[stream]
	return m, ok
}

// isEmpty reports whether nothing waits, as far as is known.
func (o *outbox) isEmpty() bool {
	rows, _ := o.waiting()
	return rows == 0
}

// firstNumber is that of the first row that waits; 0 also when none does.
func (o *outbox) firstNumber() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rows) == 0 {
		return 0
	}
	return o.rows[0].Number
}

// isFull reports whether no more events are taken because of what waits.
func (o *outbox) isFull() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.full
}

func (o *outbox) setFull(full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.full = full
}

// passedOver counts emitted events that are not to be published.
func (o *outbox) passedOver(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.silent += uint64(n)
}

// fails notes what keeps the relay from going on; empty: nothing does.
func (o *outbox) fails(trouble, code, hint string) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	news = o.trouble != trouble
	if news {
		o.since = time.Now()
	}
	o.trouble, o.code, o.hint = trouble, code, hint
	return news
}

func (o *outbox) troubled() (trouble, hint string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trouble, o.hint
}

// warn notes what the target streams lost.
func (o *outbox) warn(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.warning = text
}

// reportEmits fills in what is known of what is emitted, if anything is.
func (r *Runner) reportEmits(s *Status) {
	spec, right := r.current.Load(), r.rights.Load()
	emits := spec.Module != nil && spec.Module.Traits().Emits
	o := &r.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if !emits && len(o.rows) == 0 {
		return
	}
	e := &EmitStatus{
		Waiting: len(o.rows), WaitingBytes: o.bytes, Limit: spec.Outbox.Rows, LimitBytes: spec.Outbox.Bytes,
		Published: o.published, PublishedSeq: o.through, Silent: o.silent,
		Trouble: o.trouble, Code: o.code, Hint: o.hint, Warning: o.warning,
	}
	if o.trouble != "" {
		e.Since = o.since
	}
	if len(o.rows) > 0 {
		e.Oldest = o.rows[0].Cause
	}
	if was := right.emission(); was != nil {
		e.Lineage, e.SilentThrough = was.Lineage, was.Through
	}
	s.Emits = e
}
