package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/internal/boundary"
)

// Handler answers a request of at most 1 MiB, with at most as much. The request is valid
// until it returns. The text of an error is what the client is told, word for word; a panic
// is told, too, and is the module's fault.
type Handler func(request []byte, st gnomon.Reader) (answer []byte, err error)

// OnRequest registers the handler of requests. Call it once, from an init function.
func OnRequest(h Handler) {
	if answerer.handle != nil {
		panic("query: OnRequest is called twice: a module has one handler of requests")
	}
	answerer.handle = h
}

// JSON makes a handler of a function that is asked and answers in JSON. An empty request is
// the zero value; a field that the type does not have is refused.
func JSON[Q, A any](answer func(q Q, st gnomon.Reader) (A, error)) Handler {
	return func(request []byte, st gnomon.Reader) ([]byte, error) {
		var q Q
		if len(request) > 0 {
			if err := decode(request, &q); err != nil {
				return nil, boundary.Wrap("the request", err)
			}
		}
		a, err := answer(q, st)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a)
	}
}

func decode(request []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(request))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the JSON value")
	}
	return nil
}

// answerer is what the program registered, and the memory that its calls share.
var answerer struct {
	handle  Handler
	request []byte // grown to the largest request so far
}

var errNotRegistered = errors.New("package query is imported, but query.OnRequest was not called from an init function")

func query() int32 {
	event := boundary.NoEvent
	return boundary.Step(&event, func() error {
		a := &answerer
		if a.handle == nil {
			return errNotRegistered
		}
		buf, n := boundary.Fill(a.request, boundary.InputRead)
		if n < 0 {
			return boundary.Wrap("read request", boundary.CodeError(n))
		}
		a.request = buf
		answer, err := a.handle(buf[:n:n], gnomon.Reader{})
		if err != nil {
			return err
		}
		if code := boundary.OutputWrite(answer); code < 0 {
			return boundary.Wrap("write answer", boundary.CodeError(code))
		}
		return nil
	})
}
