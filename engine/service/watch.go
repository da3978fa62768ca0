package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

const (
	// A message with a key asks for an answer when so much went since the last one that did;
	// all others of a watch do.
	askMessages = 64
	askBytes    = 256 << 10
	// So much is under way to a client unanswered, and one message more.
	aheadMessages = 256
	aheadBytes    = 1 << 20

	watchBeat    = 15 * time.Second // without a message, after which one is sent that says so
	watchSilence = 30 * time.Second // that a client may have something to answer and not do it
)

// MessageHeader is the header that has the number of a message of its watch, from 1: NATS
// delivers at most once, and by it a client sees that it lacks one.
const MessageHeader = "Gnomon-Message"

// endAnswer is the answer by which a client ends its watch; any other is empty.
const endAnswer = "end"

// Why a watch ends, beside what the engine says.
var (
	errClientGone = errors.New("the client is gone") // and nobody there to be told
	errClientEnds = errors.New("the client ended it")
	errStops      = errors.New("the engine stops")
)

// watching is a watch under way: a request of HTTP whose answer, which has an event a line,
// goes to the client's inbox, an event a message. Writing waits while the client has too
// much to answer; so the engine holds nothing for it but the version that it is at.
type watching struct {
	recorder // of a problem, instead of events
	service  *Service
	ctx      context.Context
	stop     context.CancelCauseFunc
	inbox    string        // of the client
	answers  string        // what it answers to, with the number of the message as another token
	begun    func()        // called with the first event
	line     []byte        // the beginning of one
	room     chan struct{} // of 1: the client has answered

	mu       sync.Mutex
	over     bool // nothing is sent any more
	listens  *nats.Subscription
	sent     mark
	answered mark
	asked    []mark    // without an answer, oldest first
	since    time.Time // the client has something to answer, and did not
	beat     *time.Timer
	silence  *time.Timer
}

// mark is how far a watch has come: messages, and the bytes in them.
type mark struct {
	messages uint64
	bytes    int64
}

// watch answers a request to watch. It is bounded where those over HTTP are, with them.
func (s *Service) watch(e *endpoint, m *nats.Msg, r *request, began time.Time) {
	w := &watching{service: s, inbox: m.Reply, answers: m.Subject + "." + rand.Text(), room: make(chan struct{}, 1)}
	w.header = http.Header{}
	w.begun = func() { s.count(e, reply{status: http.StatusOK}, nil, time.Since(began)) }
	w.ctx, w.stop = context.WithCancelCause(s.wait)
	defer w.close()
	ok := s.handle(w.ctx, r, w)
	switch {
	case w.status >= http.StatusMultipleChoices:
		s.respond(e, m, w.reply(), began)
	case !ok && w.status == 0:
		s.respond(e, m, failedOnIt(), began)
	case !ok:
		w.end(errors.New("the engine failed on it: see its log"))
	case w.ctx.Err() != nil:
		w.end(context.Cause(w.ctx))
	}
}

// Write takes what is answered: events, one a line, or a problem.
func (w *watching) Write(p []byte) (n int, err error) {
	w.WriteHeader(http.StatusOK)
	if w.status >= http.StatusMultipleChoices {
		return w.body.Write(p)
	}
	for line := range bytes.Lines(p) {
		if len(w.line) > 0 || line[len(line)-1] != '\n' {
			w.line = append(w.line, line...)
			line = w.line
		}
		if line[len(line)-1] == '\n' {
			if err := w.event(line[:len(line)-1]); err != nil {
				return n, err
			}
			w.line = nil // a large one is not to stay
		}
	}
	return len(p), nil
}

// FlushError lets events be flushed (http.ResponseController): the connection does so by itself.
func (w *watching) FlushError() error { return context.Cause(w.ctx) }

// event sends an event when the client has room for it. The beat is that of this watch, not
// the one of HTTP: it goes on while the engine looks for changes, or the client takes its time.
func (w *watching) event(line []byte) error {
	kind := wire.KindOf(line)
	if kind == engine.WatchIdle {
		return nil
	}
	for kind != engine.WatchEnd && w.full() {
		select {
		case <-w.room:
		case <-w.ctx.Done():
		}
	}
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return w.send(kind, line)
}

// full reports whether the client has too much to answer.
func (w *watching) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ctx.Err() == nil && (w.sent.messages-w.answered.messages >= aheadMessages || w.sent.bytes-w.answered.bytes >= aheadBytes)
}

// send sends an event. When that fails the watch ends.
func (w *watching) send(kind engine.WatchKind, event []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return errClientGone
	}
	err := w.sendLocked(kind, event)
	if err != nil {
		w.stop(err)
	}
	w.over = kind == engine.WatchEnd
	return err
}

func (w *watching) sendLocked(kind engine.WatchKind, event []byte) error {
	s := w.service
	if w.listens == nil {
		if err := w.listenLocked(); err != nil {
			return err
		}
	}
	next := mark{w.sent.messages + 1, w.sent.bytes + int64(len(event))}
	m := nats.NewMsg(w.inbox)
	m.Data = event
	m.Header[MessageHeader] = []string{strconv.FormatUint(next.messages, 10)}
	if w.asksLocked(kind, next) {
		m.Reply = w.answers + "." + m.Header[MessageHeader][0]
	}
	if limit := s.maxPayload(); size(m) > limit {
		return fmt.Errorf("a message of %d bytes is due, the server takes at most %d (max_payload): watch over HTTP, or a prefix without that key", size(m), limit)
	}
	if err := s.conn.PublishMsg(m); err != nil {
		return err
	}
	w.sent = next
	w.beat.Reset(s.beat)
	if m.Reply != "" {
		if w.asked = append(w.asked, next); len(w.asked) == 1 {
			w.waitLocked()
		}
	}
	return nil
}

// listenLocked begins to hear the client, before the first event is sent.
func (w *watching) listenLocked() (err error) {
	if w.listens, err = w.service.conn.Subscribe(w.answers+".*", w.answer); err != nil {
		return err
	}
	w.beat = time.AfterFunc(w.service.beat, func() {
		_ = w.send(engine.WatchIdle, idle)
	})
	w.silence = time.AfterFunc(w.service.silence, w.silent)
	w.begun()
	return nil
}

// idle is the event that says that there is none.
var idle, _ = wire.Marshal(wire.Watched{WatchEvent: engine.WatchEvent{Kind: engine.WatchIdle}})

// asksLocked reports whether a message asks for an answer.
func (w *watching) asksLocked(kind engine.WatchKind, next mark) bool {
	switch kind {
	case engine.WatchEnd:
		return false
	case engine.WatchSnapshot, engine.WatchChange:
		last := w.answered
		if n := len(w.asked); n > 0 {
			last = w.asked[n-1]
		}
		return next.messages-last.messages >= askMessages || next.bytes-last.bytes >= askBytes
	}
	return true
}

// waitLocked gives the client time to answer.
func (w *watching) waitLocked() {
	w.since = time.Now()
	w.silence.Reset(w.service.silence)
}

// silent ends the watch of a client that does not answer.
func (w *watching) silent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if patience := w.service.silence; len(w.asked) > 0 && time.Since(w.since) >= patience {
		w.stop(fmt.Errorf("there was no answer for %s: a message with a reply subject has to be answered, with an empty one", patience))
	}
}

// answer takes what the client answers to a message, which says that it has taken all up to
// that; or what the server does, when nobody hears the client's inbox any more.
func (w *watching) answer(m *nats.Msg) {
	switch text := string(m.Data); {
	case text == "" && m.Header.Get("Status") == "503":
		w.stop(errClientGone)
	case text == endAnswer:
		w.stop(errClientEnds)
	case text != "":
		w.stop(fmt.Errorf("the answer %.50q is not known: send an empty one to go on, or %q", text, endAnswer))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.asked, func(a mark) bool { return m.Subject == w.answers+"."+strconv.FormatUint(a.messages, 10) })
	if i < 0 {
		return // it was answered already
	}
	w.answered, w.asked = w.asked[i], w.asked[i+1:]
	w.waitLocked()
	select {
	case w.room <- struct{}{}:
	default:
	}
}

// end tells the client why there is no more, if it is there still.
func (w *watching) end(why error) {
	switch {
	case errors.Is(why, errClientGone):
		return
	case errors.Is(why, context.Canceled):
		why = errStops
	case !errors.Is(why, errClientEnds):
		w.service.log.Warn("watch over NATS ended", "subject", w.answers, "error", why)
	}
	event, err := wire.Marshal(wire.Watched{WatchEvent: engine.WatchEvent{Kind: engine.WatchEnd, Reason: why.Error()}})
	if err == nil {
		_ = w.send(engine.WatchEnd, event)
	}
}

// close sends and hears nothing any more.
func (w *watching) close() {
	w.stop(nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.listens == nil {
		return
	}
	_ = w.listens.Unsubscribe() // or the connection is closed
	w.beat.Stop()
	w.silence.Stop()
}
