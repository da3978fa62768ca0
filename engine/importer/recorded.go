package importer

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// RecordedEvent is an event of a stream, as a line can have it.
func RecordedEvent(r abi.Record) (Event, error) {
	e := Event{Subject: string(r.Subject), Data: bytes.Clone(r.Data), Recorded: &Recorded{Sequence: r.Sequence, Stored: time.Unix(0, r.TimeNs).UTC(), Headers: [][2]string{}}}
	for h := r.Headers; len(h) > 0; {
		name, value, rest, err := abi.NextHeader(h)
		if err != nil {
			return e, err
		}
		e.Recorded.Headers = append(e.Recorded.Headers, [2]string{string(name), string(value)})
		h = rest
	}
	e.attributes()
	return e, nil
}

// attributes takes the attributes of a recorded event from its headers.
func (e *Event) attributes() {
	value := func(name string) string {
		for _, h := range e.Recorded.Headers {
			if strings.EqualFold(h[0], name) {
				return h[1]
			}
		}
		return ""
	}
	e.Type, e.Time, e.Source = value("ce-type"), value("ce-time"), value("ce-source")
	e.ID = cmp.Or(value(idHeader), value("ce-id"), "seq-"+strconv.FormatUint(e.Recorded.Sequence, 10))
}

// recorded reads the form of a recorded event.
func (l line) recorded() (Event, error) {
	e := Event{Subject: l.Subject}
	switch {
	case l.Headers == nil || l.Stored == nil || l.Sequence == 0:
		return e, errors.New(`"seq", "stored" and "headers" belong together: one of them is missing`)
	case l.ID != "" || l.Type != "" || l.Time != "" || l.Source != "":
		return e, errors.New(`"headers" are given, so "id", "type", "time" and "source" are among them: leave them out`)
	case l.Subject == "":
		return e, errors.New(`"subject" is missing or empty`)
	}
	if err := streams.CheckSubject(l.Subject); err != nil {
		return e, err
	}
	e.Recorded = &Recorded{Sequence: l.Sequence, Stored: *l.Stored, Headers: [][2]string{}}
	for _, h := range l.Headers {
		if len(h) != 2 || h[0] == "" {
			return e, fmt.Errorf("header %q: it must be [NAME,VALUE]", h)
		}
		if !stored(h[0], h[1]) {
			return e, fmt.Errorf("header %.80q: %.80q cannot be one: the name has a colon, or one of them line breaks, or the value begins with a space", h[0], h[1])
		}
		e.Recorded.Headers = append(e.Recorded.Headers, [2]string{h[0], h[1]})
	}
	e.attributes()
	var err error
	e.Data, err = l.data()
	return e, err
}

// stored reports whether a header can be one of a message that a stream has, which other clients
// may have written: it is one line, of which the client takes the name up to the first colon, and
// the value after spaces.
func stored(name, value string) bool {
	return !strings.ContainsAny(name, ":\r\n") && !strings.ContainsAny(value, "\r\n") && value == strings.TrimLeft(value, " \t")
}

// JSONLine writes a recorded event as Parse reads it, without a line break.
func (e Event) JSONLine() ([]byte, error) {
	if e.Recorded == nil {
		return nil, errors.New("the event was not recorded")
	}
	if !utf8.ValidString(e.Subject) {
		return nil, fmt.Errorf("subject %.80q is no UTF-8, which a line has to be", e.Subject)
	}
	for _, h := range e.Recorded.Headers {
		if !utf8.ValidString(h[0]) || !utf8.ValidString(h[1]) {
			return nil, fmt.Errorf("header %q: %.80q is no UTF-8, which a line has to be", h[0], h[1])
		}
	}
	head, err := marshal(struct {
		Sequence uint64      `json:"seq"`
		Stored   time.Time   `json:"stored"`
		Subject  string      `json:"subject"`
		Headers  [][2]string `json:"headers"`
	}{e.Recorded.Sequence, e.Recorded.Stored, e.Subject, e.Recorded.Headers})
	if err != nil {
		return nil, err
	}
	b := bytes.TrimSuffix(head, []byte("}"))
	switch {
	case len(e.Data) == 0:
	case isLine(e.Data):
		b = append(append(b, `,"data":`...), e.Data...) // byte for byte
	default:
		b = append(append(b, `,"data_base64":"`...), base64.StdEncoding.EncodeToString(e.Data)...)
		b = append(b, '"')
	}
	return append(b, '}'), nil
}

// isLine reports whether data is JSON that a line can have as it is.
func isLine(data []byte) bool {
	return utf8.Valid(data) && !bytes.ContainsAny(data, "\r\n") && len(bytes.TrimSpace(data)) == len(data) && json.Valid(data)
}

// marshal writes JSON without escapes that it does not need.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// expects begins the names of headers that say under what conditions a server was to store an
// event: they were for the one time when it did.
const expects = "Nats-Expected-"

// published are the headers that an event is imported with.
func (e Event) published() map[string][]string {
	h := e.Headers()
	if e.Recorded != nil {
		for name := range h {
			if strings.HasPrefix(name, expects) {
				delete(h, name)
			}
		}
	}
	return h
}
