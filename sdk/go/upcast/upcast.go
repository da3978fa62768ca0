package upcast

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"gnomon/sdk/abi"
	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/internal/boundary"
)

// Handler hands on what is to stand for an event: what it does not write is not there
// for projections. An error, or a panic, makes the event fail in each of them.
type Handler func(ev gnomon.Event, out *Out) error

// OnEvent registers the upcaster's handler. Call it once, from an init function.
func OnEvent(h Handler) {
	if upcaster.handle != nil {
		panic("upcast: OnEvent is called twice: a module is one upcaster")
	}
	upcaster.handle = h
	boundary.Upcasts = true
}

// upcaster is what the program registered, and what was written in the call under way.
var upcaster struct {
	handle Handler
	out    Out
}

var errNotRegistered = errors.New("package upcast is imported, but upcast.OnEvent was not called from an init function")

func upcast() int32 {
	u := &upcaster
	u.out.buf = u.out.buf[:0]
	return boundary.EachEvent(boundary.InputRead, handleEvent, u.out.flush)
}

var handleEvent any = func(ev gnomon.Event) error {
	if upcaster.handle == nil {
		return errNotRegistered
	}
	return upcaster.handle(ev, &upcaster.out)
}

// Out takes what stands for the event that is being handled. All of it has the sequence
// and the stored time of that event.
type Out struct{ buf []byte }

// flushed is the size from which on records are handed to the host, in bytes.
const flushed = 256 << 10

// Keep hands the event on as it is.
func (o *Out) Keep() error {
	r := boundary.Record
	return o.write(r.Subject, r.Headers, r.Data)
}

// Put hands on an event with a subject and data, and the headers of the event that is
// being handled. Headers are pairs of name and value that take the place of those of the
// same name, whatever its case; an empty value removes them.
func (o *Out) Put(subject string, data []byte, headers ...string) error {
	encoded, err := merge(boundary.Record.Headers, headers)
	if err != nil {
		return err
	}
	return o.write([]byte(subject), encoded, data)
}

// JSON is Put with the JSON of a value as data.
func (o *Out) JSON(subject string, v any, headers ...string) error {
	data, err := json.Marshal(v)
	if err != nil {
		return boundary.Wrap("encode event data", err)
	}
	return o.Put(subject, data, headers...)
}

func (o *Out) write(subject, headers, data []byte) error {
	switch {
	case len(subject) == 0 || len(subject) > abi.MaxSubject:
		return errors.New("subject of " + strconv.Itoa(len(subject)) + " bytes: it must have 1 to " + strconv.Itoa(abi.MaxSubject))
	case len(headers) > abi.MaxHeaders:
		return errors.New("headers of " + strconv.Itoa(len(headers)) + " bytes: the limit is " + strconv.Itoa(abi.MaxHeaders))
	}
	r := abi.Record{Sequence: boundary.Record.Sequence, TimeNs: boundary.Record.TimeNs, Subject: subject, Headers: headers, Data: data}
	o.buf = r.Append(o.buf)
	if len(o.buf) < flushed {
		return nil
	}
	return o.flush()
}

func (o *Out) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	code := boundary.OutputWrite(o.buf)
	o.buf = o.buf[:0]
	if code < 0 {
		return boundary.Wrap("write events", boundary.CodeError(code))
	}
	return nil
}

var errHeaders = errors.New("headers must be pairs of name and value, each shorter than 64 KiB, and names not empty")

// merge returns encoded headers with pairs in the place of those of the same names,
// ordered by name.
func merge(headers []byte, pairs []string) ([]byte, error) {
	if len(pairs) == 0 {
		return headers, nil
	}
	if len(pairs)%2 != 0 {
		return nil, errHeaders
	}
	var list [][2]string
	for len(headers) > 0 {
		name, value, rest, err := abi.NextHeader(headers)
		if err != nil {
			return nil, err
		}
		if headers = rest; !names(pairs, string(name)) {
			list = append(list, [2]string{string(name), string(value)})
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "" {
			return nil, errHeaders
		}
		if pairs[i+1] != "" {
			list = append(list, [2]string{pairs[i], pairs[i+1]})
		}
	}
	slices.SortStableFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	var encoded []byte
	for _, h := range list {
		var ok bool
		if encoded, ok = abi.AppendHeader(encoded, h[0], h[1]); !ok {
			return nil, errHeaders
		}
	}
	return encoded, nil
}

// names reports whether pairs have a name.
func names(pairs []string, name string) bool {
	for i := 0; i < len(pairs); i += 2 {
		if strings.EqualFold(pairs[i], name) {
			return true
		}
	}
	return false
}
