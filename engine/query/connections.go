package query

import (
	"container/list"
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"

	"gnomon/engine/query/wire"
)

// spareConnections are those that may be beyond the bound, to ask about the engine's
// health only.
const spareConnections = 16

// connections bounds how many there are. A listener that accepts no more than so many, as
// golang.org/x/net/netutil has one, would have new clients wait behind idle ones, and
// health checks with them: an orchestrator would then kill an engine that has nothing but
// too many readers. So a new connection is let in, and the one that has waited longest
// for a request, or for the rest of its head, makes room, as a connection may be closed
// between requests at any time. While all of them have a request under way, which the times
// that clients have make come to an end, a few more are let in, and refused with a problem
// unless they ask for health or metrics. What comes beyond these is closed.
type connections struct {
	limit, spare int

	mu      sync.Mutex
	open    map[net.Conn]*connection
	waiting list.List // of those without a request under way, the longest waiting first
	refused uint64
}

// connection is one of them.
type connection struct {
	conn    net.Conn
	waiting *list.Element // nil while a request is under way
}

// boundConnections bounds them; 0: there may be any number.
func boundConnections(limit int) *connections {
	if limit == 0 {
		limit = math.MaxInt - spareConnections
	}
	return &connections{limit: limit, spare: spareConnections, open: map[net.Conn]*connection{}}
}

// came takes a connection in, or closes it when there is no room to be made.
func (c *connections) came(conn net.Conn) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= c.limit && c.waiting.Len() > 0 {
		longest := c.waiting.Front().Value.(*connection)
		c.forgetLocked(longest)
		closeNow(longest.conn)
	}
	n := &connection{conn: conn}
	if len(c.open) >= c.limit+c.spare {
		c.refused++
		closeNow(conn)
		return n
	}
	c.open[conn] = n
	c.waitLocked(n)
	return n
}

// closeNow closes a connection without the farewell of TLS, which may have to wait.
func closeNow(conn net.Conn) {
	if under, ok := conn.(*tls.Conn); ok {
		conn = under.NetConn()
	}
	_ = conn.Close()
}

func (c *connections) waitLocked(n *connection) {
	c.workLocked(n)
	n.waiting = c.waiting.PushBack(n)
}

func (c *connections) workLocked(n *connection) {
	if n.waiting != nil {
		c.waiting.Remove(n.waiting)
		n.waiting = nil
	}
}

func (c *connections) forgetLocked(n *connection) {
	c.workLocked(n)
	delete(c.open, n.conn)
}

// changed follows the states of a connection (http.Server.ConnState).
func (c *connections) changed(conn net.Conn, to http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.open[conn]
	switch {
	case n == nil: // it was closed here
	case to == http.StateIdle:
		c.waitLocked(n)
	case to == http.StateClosed, to == http.StateHijacked:
		c.forgetLocked(n)
	}
}

// begin notes that a request is under way, and reports whether there are more than there
// may be.
func (c *connections) begin(n *connection) (crowded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workLocked(n)
	return len(c.open)-c.waiting.Len() > c.limit
}

func (c *connections) refuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused++
}

// counts tells how many connections are open, and how many requests and connections were
// refused for want of room.
func (c *connections) counts() (open int, refused uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open), c.refused
}

// connectionKey is the key of the connection in the context of a request.
type connectionKey struct{}

func (c *connections) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c.came(conn))
}

// admit reports whether a request may go on; it is answered otherwise.
func (c *connections) admit(w http.ResponseWriter, r *http.Request) bool {
	n, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok || !c.begin(n) { // or served by another server
		return true
	}
	w.Header().Set("Connection", "close")
	switch r.URL.Path {
	case "/healthz", "/readyz", "/metrics":
		return true
	}
	c.refuse()
	w.Header().Set("Retry-After", "1")
	problem(w, http.StatusServiceUnavailable, wire.CodeBusy, fmt.Sprintf("requests are under way on all of the %d connections that there may be", c.limit),
		"ask again in a moment, use fewer connections, or raise http.max_connections")
	return false
}
