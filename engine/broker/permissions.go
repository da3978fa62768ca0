package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gnomon/engine/streams"
)

// A PermissionError says that the server does not let the user publish or subscribe to a
// subject. It is a nats.ErrPermissionViolation, and a streams.ErrForbidden.
type PermissionError struct {
	Err     error  // in the server's words
	Subject string // that was refused
	Verb    string // publish | subscribe
	Missing string // what to add to the subjects that the user may publish or subscribe to
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("%v: add %q to the subjects that the user may %s", e.Err, e.Missing, e.Verb)
}

func (e *PermissionError) Unwrap() []error { return []error{e.Err, streams.ErrForbidden} }

// violation is how the server says it (nats-server, server/client.go).
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "(\S+?)"`)

// permissionError makes one of what the connection reports; nil: that is about something
// else.
func permissionError(err error) *PermissionError {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	parts := violation.FindStringSubmatch(err.Error())
	if parts == nil {
		return nil
	}
	e := &PermissionError{Err: err, Subject: parts[2], Verb: "publish"}
	if strings.EqualFold(parts[1], "subscription") {
		e.Verb = "subscribe"
	}
	e.Missing = patternOf(e.Subject)
	return e
}

// fixed is how many tokens of a subject are the same whenever it is used: the rest are
// names that are made for once, or those of events and keys.
var fixed = []struct {
	prefix string
	tokens int
}{
	{"$JS.API.CONSUMER.MSG.NEXT.", 6}, {"$JS.API.CONSUMER.", 5}, {"$JS.API.DIRECT.GET.", 5},
	{"$O.", 2}, {"$KV.", 2}, {"_INBOX.", 1}, {"gnomon.v1.", 2}, {"$SRV.", 1},
}

// patternOf is what has to be allowed, for the likes of a subject too.
func patternOf(subject string) string {
	for _, f := range fixed {
		tokens := strings.Split(subject, ".")
		if strings.HasPrefix(subject, f.prefix) && len(tokens) > f.tokens {
			return strings.Join(tokens[:f.tokens], ".") + ".>"
		}
	}
	return subject
}

// refusals end the waiting of those whose request the server refused: it says so on its
// own, and the client library would wait for an answer until the time is up.
type refusals struct {
	mu      sync.Mutex
	waiting map[*permitted]struct{}
	inbox   *PermissionError // answers are refused: nothing is ever answered on this connection
	last    *PermissionError
	at      time.Time // of the last
	count   uint64
	told    map[string]time.Time // when the log had it that a permission is missing; of some
}

// A request that is refused is made again every few seconds: the log has each missing permission so often, of so many.
const (
	tellEvery = time.Minute
	mostTold  = 100
)

// news reports whether the log is to have a refusal, and takes it that it has.
func (r *refusals) news(e *PermissionError, now time.Time) bool {
	missing := e.Verb + " " + e.Missing
	if last, ok := r.told[missing]; ok && now.Sub(last) < tellEvery {
		return false
	}
	if r.told == nil || len(r.told) >= mostTold {
		r.told = map[string]time.Time{}
	}
	r.told[missing] = now
	return true
}

// recent is how long ago a refusal may be what a request was waiting for: they take less.
const recent = 15 * time.Second

// latest is the refusal that a request may have run into; nil: there is none.
func (r *refusals) latest() *PermissionError {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.inbox != nil:
		return r.inbox
	case time.Since(r.at) < recent:
		return r.last
	}
	return nil
}

// forget is called when there is another connection.
func (r *refusals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inbox, r.last, r.told = nil, nil, nil
}

// permitted is a context whose time is up when the server refuses a request.
type permitted struct {
	context.Context
	about []string
	done  chan struct{}
	once  sync.Once
	err   error // set before done is closed
}

// Deadline implements context.Context.
func (p *permitted) Deadline() (time.Time, bool) { return p.Context.Deadline() }

// Done implements context.Context.
func (p *permitted) Done() <-chan struct{} { return p.done }

// Err implements context.Context.
func (p *permitted) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

func (p *permitted) end(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

// concerns reports whether a refused subject is about what is waited for: it is that, or has
// it as a token.
func (p *permitted) concerns(e *PermissionError) bool {
	return len(p.about) == 0 || slices.Contains(p.about, e.Subject) ||
		slices.ContainsFunc(strings.Split(e.Subject, "."), func(token string) bool { return slices.Contains(p.about, token) })
}

// Permitted returns a context for requests that are about some subjects, or streams or
// buckets, by their names; none: about anything. As soon as the server refuses one its time
// is up, context.DeadlineExceeded, and Explain tells of what. Call the function when the
// requests are done.
func (b *Broker) Permitted(ctx context.Context, about ...string) (context.Context, context.CancelFunc) {
	r := &b.refusals
	p := &permitted{Context: ctx, about: slices.DeleteFunc(about, func(s string) bool { return s == "" }), done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { p.end(ctx.Err()) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[*permitted]struct{}{}
	}
	r.waiting[p] = struct{}{}
	if r.inbox != nil {
		p.end(context.DeadlineExceeded)
	}
	return p, func() {
		stop()
		r.mu.Lock()
		delete(r.waiting, p)
		r.mu.Unlock()
		p.end(context.Canceled)
	}
}

// reported takes an error that the connection reports by itself, and tells those who wait for
// what was refused.
func (b *Broker) reported(err error) {
	e := permissionError(err)
	if e == nil {
		b.note("NATS reports", err)
		return
	}
	answers := e.Verb == "subscribe" && b.isInbox(e.Subject)
	if answers {
		e.Missing = b.inboxPrefix() + ".>"
	}
	r := &b.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.news(e, time.Now()) {
		b.log.Warn("NATS refuses", "error", e)
	}
	r.last, r.at, r.count = e, time.Now(), r.count+1
	if answers {
		r.inbox = e
	}
	for p := range r.waiting {
		if answers || p.concerns(e) {
			p.end(context.DeadlineExceeded)
		}
	}
}

// isInbox reports whether answers come to a subject.
func (b *Broker) isInbox(subject string) bool {
	return b.conn != nil && strings.HasPrefix(subject, b.inboxPrefix()+".")
}

func (b *Broker) inboxPrefix() string {
	return strings.TrimSuffix(cmp.Or(b.conn.Opts.InboxPrefix, nats.InboxPrefix), ".")
}
