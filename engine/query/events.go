package query

import (
	"bufio"
	"fmt"
	"net/http"
)

// eventWriter writes server-sent events (the HTML standard, section 9.2).
type eventWriter struct {
	to     http.ResponseWriter
	out    *bufio.Writer
	began  bool
	broken error // of the connection
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	return &eventWriter{to: w, out: bufio.NewWriterSize(w, partBytes)}
}

func (o *eventWriter) header() { eventStreamHeader(o.to.Header(), "text/event-stream") }

// eventStreamHeader is the head of an answer that goes on.
func eventStreamHeader(h http.Header, kind string) {
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of nginx, and others that heed it
}

// event sends an event whose data is one line.
func (o *eventWriter) event(kind string, data []byte) error {
	if !o.began {
		o.began = true
		o.header()
		fmt.Fprintf(o.out, "retry: %d\n\n", watchAgain.Milliseconds())
	}
	fmt.Fprintf(o.out, "event: %s\ndata: %s\n\n", kind, data)
	return o.flush()
}

// beat tells the client that it is connected.
func (o *eventWriter) beat() error {
	fmt.Fprint(o.out, ":\n\n")
	return o.flush()
}

func (o *eventWriter) flush() error {
	o.broken = firstOf(o.broken, o.out.Flush(), http.NewResponseController(o.to).Flush())
	return o.broken
}
