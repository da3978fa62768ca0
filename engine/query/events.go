package query

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// eventWriter writes an answer that goes on: server-sent events (the HTML standard, section
// 9.2), or JSON, one event a line.
type eventWriter struct {
	server  *Server
	request *http.Request
	to      http.ResponseWriter
	lines   bool          // JSON
	out     *bufio.Writer // nil: nothing was sent yet
	broken  error         // of the connection
}

func (s *Server) newEventWriter(w http.ResponseWriter, r *http.Request) *eventWriter {
	return &eventWriter{server: s, request: r, to: w}
}

func (o *eventWriter) header() {
	kind := "text/event-stream"
	if o.lines {
		kind = "application/x-ndjson"
	}
	h := o.to.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of nginx, and others that heed it
}

// begin sends what comes before the first event.
func (o *eventWriter) begin() {
	if o.out != nil {
		return
	}
	o.header()
	o.out = bufio.NewWriterSize(o.to, partBytes)
	if !o.lines {
		fmt.Fprintf(o.out, "retry: %d\n\n", watchAgain.Milliseconds())
	}
}

// put writes an event, whose data is one line of JSON, to be sent with the next flush. An id is
// what the client goes on from; an empty one has it begin anew, and none leaves it as it was.
func (o *eventWriter) put(kind string, data []byte, id ...string) error {
	o.begin()
	if o.lines {
		_, err := o.out.Write(append(data, '\n'))
		return err
	}
	for _, i := range id {
		fmt.Fprintln(o.out, strings.TrimSuffix("id: "+i, " "))
	}
	_, err := fmt.Fprintf(o.out, "event: %s\ndata: %s\n\n", kind, data)
	return err
}

// comment writes what tells the client that it is connected.
func (o *eventWriter) comment() error {
	o.begin()
	_, err := o.out.WriteString(":\n\n")
	return err
}

func (o *eventWriter) flush() error {
	o.broken = firstOf(o.broken, o.out.Flush(), http.NewResponseController(o.to).Flush())
	return o.broken
}

// end tells the client why there is no more, if it is there still: by what last writes, or, when
// nothing was sent yet, by the error as the answer. It reports whether it told.
func (o *eventWriter) end(err error, last func(reason string) error) bool {
	switch {
	case o.out == nil:
		failed(o.to, err)
		return false
	case o.broken != nil, o.request.Context().Err() != nil:
		return false // the client is gone
	case o.server.closing.Err() != nil:
		err = errors.New("the engine stops")
	}
	if last(err.Error()) == nil {
		_ = o.flush()
	}
	return true
}
