package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// endpoint is one kind of read, at a subject whose last token names the projection.
type endpoint struct {
	name, subject string
	metadata      map[string]string
	named         bool // the subject ends in the name of a projection
	keyed         bool // the request has a key
	paged         bool // the reply is a page, which can be had with fewer rows
	watch         bool // the answer is many messages, until one side ends it
	raw           bool // the message is what the guest is asked; parameters are headers

	places chan struct{}       // of requests that are answered at the same time
	stats  micro.EndpointStats // guarded by the service's mu
}

// moment are the properties of a request that say which state it reads, as JSON Schema.
const moment = `"min_seq":{"type":"integer","minimum":0},"wait":{"type":"string"},"at":{"type":["string","integer"]},"replay":{"type":"boolean"}`

func endpoints() []*endpoint {
	all := []*endpoint{
		{name: "list", subject: Prefix + ".list", metadata: about("status of all projections", `{}`)},
		{name: "status", named: true, metadata: about("status of one", `{}`)},
		{name: "get", named: true, keyed: true, metadata: about("one key: key, or key_b64 for bytes that are no UTF-8",
			`{"key":{"type":"string"},"key_b64":{"type":"string","contentEncoding":"base64"},`+moment+`}`)},
		{name: "scan", named: true, paged: true, metadata: about("a page of keys in order; go on with after = next of the reply, or after_b64 = next_b64",
			`{"prefix":{"type":"string"},"prefix_b64":{"type":"string"},"after":{"type":"string"},"after_b64":{"type":"string"},"limit":{"type":"integer","minimum":1},`+moment+`}`)},
		{name: "watch", named: true, watch: true, metadata: about("all keys, then what changes, as messages to the inbox of the request, an event each; those with a reply subject are to be answered, with an empty message, or with end",
			`{"prefix":{"type":"string"},"prefix_b64":{"type":"string"},"from":{"type":["string","integer"]}}`)},
		{name: "query", named: true, raw: true, metadata: map[string]string{
			"description": "what the module answers: the message is handed to it as it is, and the reply is its answer",
			"headers":     "Gnomon-Min-Seq, Gnomon-Wait, Gnomon-At, Gnomon-Replay: as min_seq, wait, at and replay elsewhere",
		}},
	}
	for _, e := range all {
		e.places = make(chan struct{}, atOnce)
		if e.named {
			e.subject = Prefix + "." + e.name + ".*"
			e.metadata["projection"] = "the last token of the subject: NAME, NAME@candidate or NAME@previous"
		}
	}
	return all
}

// about describes an endpoint whose requests are JSON objects with some properties.
func about(description, properties string) map[string]string {
	return map[string]string{"description": description, "schema": `{"type":"object","additionalProperties":false,"properties":` + properties + `}`}
}

// request is what a message asks for, as a request of HTTP: its parameters, and what may
// be wrong with them, are told there and only there.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	paged        bool // the answer is a page, which can be had with fewer rows
	watch        bool // the answer is a watch
}

// waits reports whether the request is to wait for a sequence.
func (r *request) waits() bool { return r.query.Has("min_seq") }

// past reports whether the request is one of the past, which may have to be replayed.
func (r *request) past() bool { return r.query.Has("at") }

func (r *request) target() string {
	if len(r.query) == 0 {
		return r.path
	}
	return r.path + "?" + r.query.Encode()
}

// request reads what a message asks for.
func (e *endpoint) request(m *nats.Msg) (*request, error) {
	r := &request{method: http.MethodGet, path: "/v1/projections", query: url.Values{}}
	if e.named {
		r.path += "/" + url.PathEscape(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	}
	if e.raw {
		r.method, r.path, r.body = http.MethodPost, r.path+"/query", m.Data
		return r, r.readHeaders(m.Header)
	}
	fields, err := envelope(m.Data)
	if err != nil {
		return nil, err
	}
	if e.keyed {
		key, err := takeKey(fields)
		if err != nil {
			return nil, err
		}
		r.path += "/state/" + url.PathEscape(key)
	}
	if e.paged {
		r.path, r.paged = r.path+"/state", true
	}
	if e.watch {
		r.path, r.watch = r.path+"/watch", true
	}
	for name, raw := range fields {
		text, err := scalar(raw)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		r.query.Set(name, text)
	}
	return r, nil
}

// own is how our headers begin.
const own = "Gnomon-"

// readHeaders takes parameters from headers: Gnomon-Min-Seq is min_seq.
func (r *request) readHeaders(h nats.Header) error {
	for name, values := range h {
		if len(name) <= len(own) || !strings.EqualFold(name[:len(own)], own) {
			continue
		}
		if len(values) != 1 {
			return fmt.Errorf("header %s is given %d times", name, len(values))
		}
		parameter := strings.ReplaceAll(strings.ToLower(name[len(own):]), "-", "_")
		if r.query.Has(parameter) {
			return fmt.Errorf("header %s is given twice", name)
		}
		r.query.Set(parameter, values[0])
	}
	return nil
}

var errObject = errors.New("the request must be a JSON object, or empty")

// envelope reads a request that is a JSON object, in which no name is twice.
func envelope(data []byte) (map[string]json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if len(data) == 0 {
		return fields, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errObject
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("the request is no JSON: %w", err)
		}
		name := t.(string)
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%q is given twice", name)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("the request is no JSON: %w", err)
		}
		fields[name] = raw
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("the request is no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the JSON object")
	}
	return fields, nil
}

// takeKey takes the key out of a request: as text, or as base64.
func takeKey(fields map[string]json.RawMessage) (string, error) {
	text, hasText := fields["key"]
	encoded, hasBytes := fields["key_b64"]
	delete(fields, "key")
	delete(fields, "key_b64")
	switch {
	case hasText == hasBytes:
		return "", errors.New(`a request has either "key" or "key_b64"`)
	case hasText:
		var s *string
		if err := json.Unmarshal(text, &s); err != nil || s == nil {
			return "", errors.New(`"key" must be a string`)
		}
		return *s, nil
	}
	var b *[]byte
	if err := json.Unmarshal(encoded, &b); err != nil || b == nil {
		return "", errors.New(`"key_b64" must be a string, the key as base64`)
	}
	return string(*b), nil
}

// scalar is a string as it is, and a number or a truth value as it is written.
func scalar(raw json.RawMessage) (string, error) {
	switch {
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case raw[0] == '{', raw[0] == '[', slices.Equal(raw, []byte("null")):
		return "", errors.New("it must be a string or a number")
	}
	return string(raw), nil
}
