package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// relayLimit bounds what is published in one go.
var relayLimit = streams.ReadLimit{Events: 1000, Bytes: 4 << 20}

// knownSubjects bounds the subjects whose streams a relay remembers.
const knownSubjects = 10_000

// relay publishes what a generation emits, in the order of its commits, each event once.
//
// Nothing is published before what caused it is durable: then whatever the target streams
// hold of it is in the outbox, or was, after every crash. What is in doubt, after a start or
// a call that failed, is settled by what the target stream says that it holds; only then
// does the relay go on.
type relay struct {
	*Runner
	outlet  streams.Outlet
	streams map[string]string // by subject
	targets map[string]*relayTarget
}

// relayTarget is a stream that is published to.
type relayTarget struct {
	settled bool              // nothing is in doubt
	created time.Time         // when the stream was
	found   map[string]uint64 // where it holds what waits still, by the events' IDs
}

// relay runs until ctx ends.
func (r *Runner) relay(ctx context.Context) {
	if r.outlet == nil {
		return
	}
	y := &relay{Runner: r, outlet: r.outlet, streams: map[string]string{}, targets: map[string]*relayTarget{}}
	y.loadOutbox(ctx)
	wait := firstBackOff
	for y.awaitRows(ctx) == nil {
		before := y.outbox.firstNumber()
		err := y.publishSome(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil || y.outbox.isEmpty() {
			wait = firstBackOff
			y.goesOn()
			continue
		}
		clear(y.streams)
		code, hint := aboutRelay(err)
		if r.outbox.fails(err.Error(), code, hint) {
			r.log.Warn("emitted events are not published, it is tried again", "error", err)
			r.changes()
		}
		if y.outbox.firstNumber() != before { // some were published
			wait = firstBackOff
		}
		wait = r.backOff(ctx, wait)
	}
}

// loadOutbox reads what is stored, which a session may not be opened for soon.
func (y *relay) loadOutbox(ctx context.Context) {
	for wait := firstBackOff; ctx.Err() == nil; wait = y.backOff(ctx, wait) {
		if err := y.Runner.loadOutbox(); err == nil {
			return
		}
	}
}

// loadOutbox reads what is stored of what is emitted, unless that is known.
func (r *Runner) loadOutbox() error {
	if err := r.outbox.load(r.keyspace); err != nil {
		return fmt.Errorf("read what waits to be published: %w", err)
	}
	return nil
}

// awaitRows waits until there is something that may be published.
func (y *relay) awaitRows(ctx context.Context) error {
	return y.await(ctx, func() bool {
		return !y.outbox.isEmpty() && !y.isPaused() && y.rights.Load().mayPublish()
	})
}

func (y *relay) goesOn() {
	if y.outbox.fails("", "", "") {
		y.log.Info("emitted events are published again")
	}
	y.changes()
}

func (m *monitor) isPaused() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused
}

// aboutRelay is the kind of what keeps a relay from going on, and the way out.
func aboutRelay(err error) (code, hint string) {
	var loop *loopError
	switch {
	case errors.As(err, &loop):
		return OutletLoop, "emit to another stream, or set allow_loop = true in projection.emit"
	case errors.Is(err, streams.ErrForbidden):
		return OutletForbidden, streams.HintOfForbidden
	case errors.Is(err, streams.ErrNoStream):
		return OutletNoStream, "create a stream that stores the subject, for instance by a [[stream]] in the configuration; then it goes on by itself"
	case errors.Is(err, streams.ErrRefused):
		return OutletRefused, "see the limits of the target stream and of the server (max_msg_size, max_bytes, max_payload); then it goes on by itself"
	case errors.Is(err, streams.ErrSourceDown):
		return OutletUnreachable, "it is tried again by itself, every few seconds"
	}
	return OutletFailed, "it is tried again by itself, every few seconds"
}

// publishSome publishes the first of what waits.
func (y *relay) publishSome(ctx context.Context) error {
	rows, at := y.outbox.next(relayLimit)
	if len(rows) == 0 {
		return nil
	}
	if y.keyspace.Durable() < at {
		if _, err := y.keyspace.Sync(ctx); err != nil {
			return fmt.Errorf("make what is emitted durable: %w", err)
		}
	}
	right := y.rights.Load()
	e := right.emission()
	if e == nil || !right.live {
		return nil
	}
	for i := range rows { // of a candidate that has taken over
		rows[i].Lineage = cmp.Or(rows[i].Lineage, e.Lineage)
	}
	rows, parts, err := y.partsOf(ctx, rows, e)
	if err != nil {
		return err
	}
	through := rows[len(rows)-1].Number
	var marks []state.Mark
	for _, part := range parts {
		known, mark, err := y.publishPart(ctx, part)
		if err != nil && known > 0 && len(parts) == 1 {
			y.settled(part.rows[known-1].Number, parts[0].first(known), []state.Mark{mark})
		}
		if err != nil {
			return fmt.Errorf("publish to stream %s: %w", part.stream, err)
		}
		marks = append(marks, mark)
	}
	y.settled(through, parts, marks)
	return nil
}

// settled notes that rows up to a number do not wait any more: those of parts are published.
func (y *relay) settled(through uint64, parts []*relayPart, marks []state.Mark) {
	n := 0
	for _, part := range parts {
		n += len(part.rows)
		for i := range part.rows {
			delete(y.targets[part.stream].found, part.rows[i].ID(y.name))
		}
	}
	y.outbox.settled(through, n, marks)
	y.wake() // the session may wait for room
}

// relayPart are rows for one stream.
type relayPart struct {
	stream string
	rows   []state.OutboxRow
}

func (p *relayPart) first(n int) []*relayPart { return []*relayPart{{p.stream, p.rows[:n]}} }

// partsOf deals out to their streams the rows that are to be published, up to the first
// event for which there is none.
func (y *relay) partsOf(ctx context.Context, rows []state.OutboxRow, e *catalog.Emission) (_ []state.OutboxRow, parts []*relayPart, err error) {
	streams := make([]string, len(rows))
	for i, r := range rows {
		if e.PassesOver(&r) {
			continue
		}
		if streams[i], err = y.streamOf(ctx, r.Subject); err == nil {
			continue
		}
		for i > 0 && rows[i-1].Cause == r.Cause {
			i--
		}
		if i == 0 {
			return nil, nil, err
		}
		rows = rows[:i]
		break
	}
	byStream := map[string]*relayPart{}
	for i, r := range rows {
		stream := streams[i]
		if stream == "" {
			continue
		}
		part := byStream[stream]
		if part == nil {
			part = &relayPart{stream: stream}
			byStream[stream] = part
			parts = append(parts, part)
		}
		part.rows = append(part.rows, r)
	}
	return rows, parts, nil
}

// loopError says that a projection would be fed with its own events.
type loopError struct{ subject, stream string }

func (e *loopError) Error() string {
	return fmt.Sprintf("%s would be stored by stream %s, which the projection gets its events from: it would be fed with its own", e.subject, e.stream)
}

func (y *relay) streamOf(ctx context.Context, subject string) (string, error) {
	if s, ok := y.streams[subject]; ok {
		return s, nil
	}
	info, err := y.outlet.StreamFor(ctx, subject)
	if err != nil {
		return "", err // it names the subject
	}
	// Subjects that it asks for were held against those it may emit to when it was declared.
	if s := y.current.Load(); info.Name == s.Stream && !s.Emit.AllowLoop && len(s.asked()) == 0 {
		return "", &loopError{subject, info.Name}
	}
	if len(y.streams) >= knownSubjects {
		clear(y.streams)
	}
	y.streams[subject] = info.Name
	return info.Name, nil
}

// publishPart publishes rows to their stream, those that it does not hold yet. It returns how
// many of them, from the first on, the stream holds for certain, and the mark after those.
func (y *relay) publishPart(ctx context.Context, part *relayPart) (known int, m state.Mark, err error) {
	target := y.targets[part.stream]
	if target == nil {
		target = &relayTarget{}
		y.targets[part.stream] = target
	}
	if !target.settled {
		if err := y.settle(ctx, part, target); err != nil {
			return 0, m, err
		}
	}
	var fresh []streams.Message
	for i := range part.rows {
		r := &part.rows[i]
		if id := r.ID(y.name); target.found[id] == 0 {
			fresh = append(fresh, streams.Message{ID: id, Subject: r.Subject, Headers: r.Headers, Data: r.Data, Group: r.Cause})
		}
	}
	if len(fresh) > 0 {
		n, seq, perr := y.outlet.Publish(ctx, part.stream, fresh)
		for _, f := range fresh[:n] {
			target.found[f.ID] = seq // or before: the mark is made after all of them
		}
		if err = perr; err != nil {
			target.settled = errors.Is(err, streams.ErrRefused)
		}
	}
	m = state.Mark{Stream: part.stream, Created: target.created}
	for ; known < len(part.rows); known++ {
		seq := target.found[part.rows[known].ID(y.name)]
		if seq == 0 {
			break
		}
		m.Sequence = max(m.Sequence, seq)
	}
	return known, m, err
}

// settle finds out what a stream holds of what waits. Before the first event ever it notes
// where the stream ends, so that it need not be read from its beginning.
func (y *relay) settle(ctx context.Context, part *relayPart, target *relayTarget) error {
	stream, subject := part.stream, part.rows[0].Subject
	// Not the source: what is emitted may go to streams that cannot be projected.
	info, err := y.outlet.StreamFor(ctx, subject)
	if err != nil {
		return err
	}
	if info.Name != stream {
		return fmt.Errorf("%w: stream %s stores %s now", streams.ErrRefused, info.Name, subject)
	}
	mark, ok := y.markOf(info)
	if !ok {
		mark = state.Mark{Stream: stream, Created: info.Created, Sequence: info.Last}
		err := y.setEmission(func(e *catalog.Emission) *catalog.Emission { return e.WithTarget(mark) })
		if err != nil {
			return err
		}
	}
	y.compare(mark, info)
	after := mark.Sequence
	if !mark.Created.Equal(info.Created) || mark.Sequence > info.Last {
		after = 0 // what it holds is a copy, whose sequences may be others
	}
	found := map[string]uint64{}
	prefix := y.name + "/"
	err = y.outlet.Stored(ctx, stream, y.outbox.subjects(), after, func(id string, seq uint64) bool {
		if strings.HasPrefix(id, prefix) {
			found[id] = seq
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read what it holds after %d: %w", after, err)
	}
	target.found, target.created, target.settled = found, info.Created, true
	return nil
}

// markOf is the newest mark of a stream that is known.
func (y *relay) markOf(info streams.Info) (m state.Mark, ok bool) {
	m, ok = y.outbox.mark(info.Name)
	begun := y.rights.Load().emission().Target(info.Name)
	switch {
	case begun == nil:
		return m, ok
	case !ok, begun.Created.Equal(info.Created) && (!m.Created.Equal(info.Created) || begun.Sequence > m.Sequence):
		return *begun, true
	}
	return m, true
}

// compare names what a target stream has lost, for then what it holds tells less.
func (y *relay) compare(mark state.Mark, info streams.Info) {
	text := ""
	switch {
	case !mark.Created.Equal(info.Created):
		text = fmt.Sprintf("target stream %s was created at %s, and events were published to one created at %s: what is in doubt is looked for in the new one", info.Name, stamp(info.Created), stamp(mark.Created))
	case info.Last < mark.Sequence:
		text = fmt.Sprintf("target stream %s ends at %d, and events were published up to %d: it lost its tail, and with it events that are not emitted again", info.Name, info.Last, mark.Sequence)
	case info.First > mark.Sequence+1:
		text = fmt.Sprintf("target stream %s begins at %d, and events that were published after %d may have been removed: of those that were in doubt some may be published again", info.Name, info.First, mark.Sequence)
	}
	if text != "" {
		y.log.Warn(text)
	}
	y.outbox.warn(text)
}
