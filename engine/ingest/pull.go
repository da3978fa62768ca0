package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullEvents is how many events one request asks for. Two requests are out at a
	// time, so that the server never waits for one. Measured as the best for a consumer
	// without acknowledgements.
	pullEvents = 4096
	// pullBytes bounds what they may weigh in this process, unless the server takes
	// larger messages.
	pullBytes = 8 << 20
	// pullExtra is more than a message's subjects add to its payload.
	pullExtra = 64 << 10
	// pullExpires is how long the server keeps a request.
	pullExpires = 30 * time.Second
	// heartbeat is how often the server is to say that it is there; two missed ones
	// lose the reader.
	heartbeat = 5 * time.Second
)

// pull asks a consumer for its messages, always two requests ahead. The client's own
// way of doing that takes a fifth more time for an event, and keeps events to itself
// that look like a message of the server. The protocol is ADR-13 of NATS:
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-13.md
type pull struct {
	conn    *nats.Conn
	subject string // of the consumer's requests
	inbox   string
	request []byte
	sub     *nats.Subscription

	owed int // messages that the server may send still; the subscription's goroutine's
}

// openPull begins to hand what a consumer sends to receive, with the reason why that is
// the last, if it is.
func openPull(js jetstream.JetStream, stream, consumer string, receive func(*nats.Msg, error)) (*pull, error) {
	conn := js.Conn()
	request, err := json.Marshal(map[string]any{
		"batch": pullEvents, "max_bytes": max(pullBytes, int(conn.MaxPayload())+pullExtra),
		"expires": pullExpires, "idle_heartbeat": heartbeat,
	})
	if err != nil {
		return nil, err
	}
	p := &pull{
		conn: conn, subject: apiSubject(js.Options(), "CONSUMER.MSG.NEXT."+stream+"."+consumer),
		inbox: conn.NewInbox(), request: request, owed: 2 * pullEvents,
	}
	p.sub, err = conn.Subscribe(p.inbox, func(m *nats.Msg) { receive(m, p.note(m)) })
	if err != nil {
		return nil, err
	}
	// The requests bound what waits in the client.
	err = errors.Join(p.sub.SetPendingLimits(-1, -1), p.ask(), p.ask())
	if err != nil {
		p.close()
	}
	return p, err
}

// apiSubject is a subject of JetStream's API.
func apiSubject(o jetstream.JetStreamOptions, name string) string {
	prefix := strings.TrimSuffix(jetstream.DefaultAPIPrefix, ".")
	switch {
	case o.Domain != "":
		prefix = "$JS." + o.Domain + ".API"
	case o.APIPrefix != "":
		prefix = strings.TrimSuffix(o.APIPrefix, ".")
	}
	return prefix + "." + name
}

func (p *pull) ask() error { return p.conn.PublishRequest(p.subject, p.inbox, p.request) }

// note counts what came, and asks for more in time. It returns why nothing more will
// come.
func (p *pull) note(m *nats.Msg) error {
	if m.Reply != "" { // an event has one, a message of the server has none
		p.owed--
	} else if err := p.status(m); err != nil {
		return err
	}
	if p.owed > pullEvents {
		return nil
	}
	p.owed += pullEvents
	return p.ask()
}

// status reads a message of the server. One that ends a request says how much of it
// is not sent; for any other end the consumer is lost.
func (p *pull) status(m *nats.Msg) error {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	if code == "100" { // heartbeat
		return nil
	}
	if left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages")); err == nil {
		p.owed -= left
		return nil
	}
	switch {
	case code == "503":
		return nats.ErrNoResponders
	case strings.EqualFold(text, "Consumer Deleted"):
		return jetstream.ErrConsumerDeleted
	}
	return fmt.Errorf("the server ended the request for events: %s %s", code, text)
}

func (p *pull) close() { _ = p.sub.Unsubscribe() }
