package enginetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Outlet publishes to the streams of a Server, with faults to order. Its methods may be
// called concurrently.
type Outlet struct {
	// Window is how long an ID is remembered, by which repetitions are told.
	Window time.Duration
	// Max is what MaxBytes returns.
	Max int

	server *Server
	mu     sync.Mutex // guards what follows
	seen   map[string]stored
	fault  func(group []streams.Message) Fault // see Break
}

// stored is where, and when, a message was stored.
type stored struct {
	stream   *stream
	sequence uint64
	at       time.Time
}

// Fault is what goes wrong with messages that are published.
type Fault int

// The faults.
const (
	NoFault Fault = iota
	Lost          // they are not stored, and nobody learns of it
	AckLost       // they are stored, and nobody learns of it
	Torn          // some of a group are stored, and nobody learns of it
	Refused       // the server says that it does not store them
)

// NewOutlet makes an outlet to a server's streams, with a window of two minutes.
func NewOutlet(s *Server) *Outlet {
	return &Outlet{server: s, Window: 2 * time.Minute, Max: 1 << 20, seen: map[string]stored{}}
}

// Break has fn asked before each group of messages is stored: it says what becomes of it.
// Nil mends the outlet.
func (o *Outlet) Break(fn func(group []streams.Message) Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = fn
}

// MaxBytes implements streams.Outlet.
func (o *Outlet) MaxBytes() int { return o.Max }

// StreamFor implements streams.Outlet.
func (o *Outlet) StreamFor(_ context.Context, subject string) (streams.Info, error) {
	o.server.mu.Lock()
	defer o.server.mu.Unlock()
	if o.server.down != nil {
		return streams.Info{}, o.server.down
	}
	for _, st := range o.server.streams {
		if st.takes(subject) {
			return st.info, nil
		}
	}
	return streams.Info{}, fmt.Errorf("%w: none stores %s", streams.ErrNoStream, subject)
}

func (st *stream) takes(subject string) bool {
	return slices.ContainsFunc(st.info.Subjects, func(f string) bool { return streams.MatchSubject(f, []byte(subject)) })
}

// Publish implements streams.Outlet. Groups are stored all or none, unless what Break was given says Torn.
func (o *Outlet) Publish(_ context.Context, name string, messages []streams.Message) (n int, last uint64, err error) {
	for n < len(messages) {
		end := n + 1
		for end < len(messages) && messages[end].Group == messages[n].Group {
			end++
		}
		seq, err := o.publish(name, messages[n:end])
		if err != nil {
			return n, last, err
		}
		n, last = end, seq
	}
	return n, last, nil
}

func (o *Outlet) publish(name string, group []streams.Message) (last uint64, err error) {
	o.mu.Lock()
	becomes := o.fault
	o.mu.Unlock()
	fault := NoFault
	if becomes != nil {
		fault = becomes(group)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.server.mu.Lock()
	defer o.server.mu.Unlock()
	st, err := o.server.streamLocked(name)
	if err != nil {
		return 0, err
	}
	timeout := fmt.Errorf("%w: no answer", streams.ErrSourceDown)
	switch fault {
	case Lost:
		return 0, timeout
	case Refused:
		return 0, fmt.Errorf("%w: by order", streams.ErrRefused)
	case Torn:
		group = group[:len(group)/2]
	}
	for _, m := range group {
		if size := len(m.Headers) + len(m.Data); size > o.Max || !st.takes(m.Subject) {
			return 0, fmt.Errorf("%w: %s of %d bytes", streams.ErrRefused, m.Subject, size)
		}
	}
	for _, m := range group {
		if last, err = o.storeLocked(st, m); err != nil {
			return 0, err
		}
	}
	if fault != NoFault {
		return 0, timeout
	}
	return last, nil
}

// storeLocked stores a message that is not a repetition.
func (o *Outlet) storeLocked(st *stream, m streams.Message) (uint64, error) {
	if was, ok := o.seen[m.ID]; ok && was.stream == st && time.Since(was.at) < o.Window {
		return was.sequence, nil
	}
	headers, ok := abi.AppendHeader(slices.Clone(m.Headers), msgID, m.ID)
	if !ok {
		return 0, fmt.Errorf("%w: an ID of %d bytes", streams.ErrRefused, len(m.ID))
	}
	seq := o.server.storeLocked(st, abi.Record{Subject: []byte(m.Subject), Headers: headers, Data: slices.Clone(m.Data)})
	o.seen[m.ID] = stored{st, seq, time.Now()}
	return seq, nil
}

const msgID = "Nats-Msg-Id"

// Stored implements streams.Outlet.
func (o *Outlet) Stored(_ context.Context, name string, subjects []string, after uint64, fn func(id string, sequence uint64) bool) error {
	o.server.mu.Lock()
	defer o.server.mu.Unlock()
	st, err := o.server.streamLocked(name)
	if err != nil {
		return err
	}
	for seq := max(after+1, st.info.First); seq <= st.info.Last; seq++ {
		e, ok := st.events[seq]
		if !ok || !slices.ContainsFunc(subjects, func(f string) bool { return streams.MatchSubject(f, e.Subject) }) {
			continue
		}
		if id, ok := e.Header(msgID); ok && !fn(string(id), seq) {
			return nil
		}
	}
	return nil
}
