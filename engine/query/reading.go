package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

const (
	defaultWait = 2 * time.Second
	maxWait     = time.Minute
	// maxWaiting is how many requests may wait for a sequence at once: each holds a
	// connection, a goroutine and little more.
	maxWaiting = 4096
)

// momentParameters say which state of a projection a request reads.
var momentParameters = []string{"min_seq", "wait", "at", "replay"}

// moment is what they say.
type moment struct {
	least bool   // there is a least sequence
	seq   uint64 // that the state has to reflect
	wait  time.Duration

	past bool // it is one of the past
	at   engine.At
}

// momentOf reads the parameters that say which state a request reads.
func momentOf(w http.ResponseWriter, q url.Values) (m moment, ok bool) {
	m = moment{least: q.Has("min_seq"), wait: defaultWait}
	if m.least {
		n, err := strconv.ParseUint(q.Get("min_seq"), 10, 64)
		if err != nil {
			bad(w, "min_seq is %q: it must be a sequence, such as the seq that an append is answered with", q.Get("min_seq"))
			return m, false
		}
		m.seq = n
	}
	least := m.seq
	if !m.takePast(w, q) {
		return m, false
	}
	if m.past && m.at.Time.IsZero() && m.at.Sequence < least {
		bad(w, "at is %d, and min_seq is %d: what is as of the one does not reflect the other; give one of them", m.at.Sequence, least)
		return m, false
	}
	if q.Has("wait") {
		d, err := time.ParseDuration(q.Get("wait"))
		switch {
		case !m.least:
			bad(w, "wait is given without min_seq: it says how long to wait for that")
			return m, false
		case err != nil || d < 0 || d > maxWait:
			bad(w, "wait is %q: it must be a duration between 0s and %s, such as 500ms", q.Get("wait"), maxWait)
			return m, false
		}
		m.wait = d
	}
	return m, true
}

// takePast reads the parameters of a moment that is past. A sequence that is waited for is
// the least one, too.
func (m *moment) takePast(w http.ResponseWriter, q url.Values) bool {
	m.past = q.Has("at")
	switch replay := q.Get("replay"); {
	case q.Has("replay") && !m.past:
		bad(w, "replay is given without at: it says how that may be answered")
		return false
	case q.Has("replay") && replay != "true" && replay != "false":
		bad(w, "replay is %q: it must be true or false", replay)
		return false
	default:
		m.at.Replay = replay == "true"
	}
	if !m.past {
		return true
	}
	at, ok := atOf(w, "at", q.Get("at"))
	if !ok {
		return false
	}
	m.at.Sequence, m.at.Time = at.Sequence, at.Time
	if at.Time.IsZero() && q.Has("wait") {
		m.least, m.seq = true, max(m.seq, at.Sequence)
	}
	return true
}

// atOf reads a parameter that is a sequence of the stream or a time.
func atOf(w http.ResponseWriter, parameter, text string) (at engine.At, ok bool) {
	n, err := strconv.ParseUint(text, 10, 47)
	if err == nil {
		return engine.At{Sequence: n}, true
	}
	if at.Time, err = time.Parse(time.RFC3339Nano, text); err == nil && !at.Time.IsZero() {
		return at, true
	}
	plus := ""
	if strings.Contains(text, " ") {
		plus = `; in a URL "+" is written %2B`
	}
	bad(w, "%s is %q: it must be a sequence of the stream, or a time such as 2026-01-31T00:00:00Z%s", parameter, text, plus)
	return at, false
}

// reading opens what a request reads, and sets the headers of its answer. Kind tells apart
// the forms that an answer at one address may have. It returns nil when the request is
// answered already.
func (s *Server) reading(w http.ResponseWriter, r *http.Request, name string, q url.Values, kind string) *engine.Reading {
	m, ok := momentOf(w, q)
	if !ok {
		return nil
	}
	reading, late, err := s.readAwaited(r.Context(), name, m)
	switch {
	case late != nil && (err != nil || !m.came(late, reading)):
		s.refuseReading(w, name, m, late, reading)
		return nil
	case err != nil:
		failed(w, err)
		return nil
	}
	if m.past {
		reading.Close()
		if reading, err = s.engine.ReadAt(r.Context(), name, m.at); err != nil {
			failed(w, err)
			return nil
		}
		if m.seq > reading.Checkpoint.Position.Sequence { // as of a time
			s.refuseReading(w, name, m, fmt.Errorf("projection %s reflects %d at that time, %d is %w", name, reading.Checkpoint.Position.Sequence, m.seq, engine.ErrNotReached), reading)
			return nil
		}
	}
	setAsOf(w, wire.OfReading(reading))
	if notModified(w, r, reading, kind) {
		reading.Close()
		return nil
	}
	return reading
}

// readAwaited opens a reading of what is served now, after the wait for a sequence, if one is
// asked for. What is read in between may have changed to a generation that is not there yet.
func (s *Server) readAwaited(ctx context.Context, name string, m moment) (reading *engine.Reading, late, err error) {
	for {
		if m.least {
			late = s.await(ctx, name, m)
		}
		reading, err = s.engine.Read(name)
		if !m.least || late != nil || err != nil || reading.Checkpoint.Position.Sequence >= m.seq {
			return reading, late, err
		}
		reading.Close()
	}
}

// await waits until a projection serves the sequence that a request asks for.
func (s *Server) await(ctx context.Context, name string, m moment) error {
	defer s.waiting.now.Add(-1)
	if s.waiting.now.Add(1) > int64(s.waiting.most) {
		return errWaiting
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.wait, errWaited{m.wait})
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	return s.engine.Await(ctx, name, m.seq)
}

// waiting counts requests that wait for a sequence.
type waiting struct {
	now  atomic.Int64
	most int
}

// errWaiting says that too many requests wait.
var errWaiting = errors.New("as many requests wait for a sequence as may")

// errWaited is the end of the time that a request waits.
type errWaited struct{ wait time.Duration }

func (e errWaited) Error() string { return fmt.Sprintf("waited %s for it", e.wait) }

// came reports whether a reading reflects what was waited for in vain, a moment ago.
func (m moment) came(late error, reading *engine.Reading) bool {
	return errors.As(late, new(errWaited)) && reading.State != engine.Starting && reading.State != engine.Diverged && reading.Checkpoint.Position.Sequence >= m.seq
}

// refuseReading answers that what a request is to read is not there, with what is, if there
// is a reading, which it closes.
func (s *Server) refuseReading(w http.ResponseWriter, name string, m moment, late error, reading *engine.Reading) {
	p := problemOf(late)
	var waited errWaited
	timeout := errors.As(late, &waited)
	if timeout {
		p = makeProblem(http.StatusGatewayTimeout, wire.CodeNotReached, late.Error(), s.wayOn(name))
	}
	if reading != nil {
		at := wire.OfReading(reading)
		reading.Close()
		setAsOf(w, at)
		reflected := at.Reflected()
		p.Reflected = &reflected
		if timeout { // so that it names the same position
			p.Detail = fmt.Sprintf("projection %s reflects %d, %d is %v: %v", name, at.Sequence, m.seq, engine.ErrNotReached, waited)
		}
	}
	writeProblem(w, p)
}

// wayOn says what may be done about a projection that has not come to a sequence in time.
func (s *Server) wayOn(name string) string {
	st, err := s.engine.Status(name)
	switch {
	case err == nil && st.Hint != "":
		return st.Hint
	case err == nil && st.State == engine.Starting:
		return "it starts, and nothing is reached before it has compared the stream's history with its own: ask again"
	case err == nil && st.State == engine.Live && st.Behind == 0:
		return "it has applied all that its stream holds: see that the sequence is one of stream " + st.Stream
	}
	return fmt.Sprintf("ask again, or with a longer wait: at most %s", maxWait)
}

// setAsOf sets the headers that say what an answer reflects.
func setAsOf(w http.ResponseWriter, at wire.AsOf) {
	h := w.Header()
	h.Set("Gnomon-As-Of-Seq", strconv.FormatUint(at.Sequence, 10))
	if !at.Time.IsZero() {
		h.Set("Gnomon-As-Of-Time", at.Time.UTC().Format(time.RFC3339Nano))
	}
	h.Set("Gnomon-Generation", at.Generation)
	h.Set("Gnomon-State", string(at.State))
	h.Set("Gnomon-Freshness", string(at.Freshness))
	h.Set("Gnomon-Behind", strconv.FormatUint(at.Behind, 10))
	h.Set("Cache-Control", "no-cache")
}

// notModified tells a client that has an answer already that it still is the answer. The
// tag names generation, version and what the state amounts to, for a crash of the machine
// may give a version again to another state. It is weak, as the same state may be served
// with another standing, which the headers tell each time.
func notModified(w http.ResponseWriter, r *http.Request, reading *engine.Reading, kind string) bool {
	tag := fmt.Sprintf(`"%s-%d-%.16s%s"`, reading.Generation, reading.Checkpoint.Version, reading.Checkpoint.Digest, kind)
	w.Header().Set("ETag", "W/"+tag)
	w.Header().Add("Vary", "Accept")
	for has := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if strings.TrimPrefix(strings.TrimSpace(has), "W/") == tag {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// readParameters reads the query of a request that reads a state.
func readParameters(w http.ResponseWriter, r *http.Request, known ...string) (url.Values, bool) {
	return parameters(w, r, slices.Concat(known, momentParameters)...)
}
