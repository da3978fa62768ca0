package outcome

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Encode writes the file: sections that are not nil, keys in the order of their bytes, one
// entry a line.
func (o *Outcome) Encode() []byte {
	w := &writer{}
	w.b.WriteString("{")
	if o.State != nil {
		w.section("state", '{', '}', stateLines(o.State))
	}
	if o.Emits != nil {
		w.section("emits", '[', ']', lines(o.Emits, Record.encode))
	}
	if o.Records != nil {
		w.section("records", '[', ']', lines(o.Records, Record.encode))
	}
	if o.Errors != nil {
		w.section("errors", '[', ']', lines(o.Errors, Failure.encode))
	}
	if o.Logs != nil {
		w.section("logs", '[', ']', lines(o.Logs, encodeText))
	}
	if o.Queries != nil {
		w.section("queries", '[', ']', lines(o.Queries, Query.encode))
	}
	w.b.WriteString("\n}\n")
	return w.b.Bytes()
}

type writer struct {
	b        bytes.Buffer
	sections int
}

func (w *writer) section(name string, begin, end byte, entries [][]byte) {
	if w.sections++; w.sections > 1 {
		w.b.WriteByte(',')
	}
	w.b.WriteString("\n \"" + name + "\":")
	w.b.WriteByte(begin)
	for i, e := range entries {
		if i > 0 {
			w.b.WriteByte(',')
		}
		w.b.WriteString("\n  ")
		w.b.Write(e)
	}
	if len(entries) > 0 {
		w.b.WriteString("\n ")
	}
	w.b.WriteByte(end)
}

func lines[T any](entries []T, encode func(T) []byte) [][]byte {
	all := make([][]byte, len(entries))
	for i, e := range entries {
		all[i] = encode(e)
	}
	return all
}

func stateLines(state map[string]string) (all [][]byte) {
	for _, key := range slices.Sorted(maps.Keys(state)) {
		all = append(all, slices.Concat(encodeText(key), []byte(":"), EncodeValue(state[key])))
	}
	return all
}

func (r Record) encode() []byte {
	b := []byte(`{"event":` + strconv.FormatUint(r.Event, 10) + `,"subject":`)
	b = append(append(b, encodeText(r.Subject)...), `,"headers":[`...)
	for i, h := range r.Headers {
		if i > 0 {
			b = append(b, ',')
		}
		b = slices.Concat(b, []byte("["), encodeText(h.Name), []byte(","), encodeText(h.Value), []byte("]"))
	}
	return slices.Concat(b, []byte(`],"data":`), EncodeValue(r.Data), []byte("}"))
}

func (f Failure) encode() []byte {
	return slices.Concat([]byte(`{"event":`+strconv.FormatUint(f.Event, 10)+`,"error":`), encodeText(f.Error), []byte("}"))
}

func (q Query) encode() []byte {
	b := append([]byte(`{"request":`), EncodeValue(q.Request)...)
	if q.Error != "" {
		return slices.Concat(b, []byte(`,"error":`), encodeText(q.Error), []byte("}"))
	}
	return slices.Concat(b, []byte(`,"answer":`), EncodeValue(q.Answer), []byte("}"))
}

// Decode reads a file. An error names the line.
func Decode(file []byte) (*Outcome, error) {
	if !utf8.Valid(file) {
		return nil, errors.New("not valid UTF-8")
	}
	r := &reader{d: json.NewDecoder(bytes.NewReader(file))}
	r.d.DisallowUnknownFields()
	o := &Outcome{}
	err := r.object(func(name string) error { return r.section(o, name) })
	if err == nil {
		if _, err = r.d.Token(); err == io.EOF {
			return o, nil
		}
		err = errors.New("more after the object")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends too early")
	}
	line := 1 + bytes.Count(file[:min(int(r.d.InputOffset()), len(file))], []byte("\n"))
	return nil, fmt.Errorf("line %d: %w", line, err)
}

// reader reads the parts of a file.
type reader struct{ d *json.Decoder }

// begin reads the delimiter that a value begins with.
func (r *reader) begin(want json.Delim, what string) error {
	t, err := r.d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%s expected", what)
	}
	return nil
}

// object reads an object; each reads the value of a name, of which there is one.
func (r *reader) object(each func(name string) error) error {
	if err := r.begin('{', "a JSON object"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for r.d.More() {
		t, err := r.d.Token()
		if err != nil {
			return err
		}
		name := t.(string) // or the decoder had failed
		if seen[name] {
			return fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		if err := each(name); err != nil {
			return err
		}
	}
	_, err := r.d.Token()
	return err
}

func (r *reader) section(o *Outcome, name string) (err error) {
	switch name {
	case "state":
		o.State, err = r.state()
	case "emits":
		o.Emits, err = list(r, entry.record)
	case "records":
		o.Records, err = list(r, entry.record)
	case "errors":
		o.Errors, err = list(r, entry.failure)
	case "logs":
		o.Logs, err = list(r, decodeText)
	case "queries":
		o.Queries, err = list(r, entry.query)
	default:
		return fmt.Errorf("unknown section %q: there are state, emits, records, errors, logs and queries", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (r *reader) state() (map[string]string, error) {
	state := map[string]string{}
	err := r.object(func(name string) error {
		key, err := decodeText(name)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := r.d.Decode(&raw); err != nil {
			return err
		}
		if _, twice := state[key]; twice {
			return fmt.Errorf("key %q is there twice", key)
		}
		if state[key], err = DecodeValue(raw); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		return nil
	})
	return state, err
}

// list reads an array of what decode makes of its elements.
func list[E, T any](r *reader, decode func(E) (T, error)) ([]T, error) {
	if err := r.begin('[', "a JSON array"); err != nil {
		return nil, err
	}
	all := []T{}
	for r.d.More() {
		var e E
		if err := r.d.Decode(&e); err != nil {
			return nil, err
		}
		v, err := decode(e)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(all)+1, err)
		}
		all = append(all, v)
	}
	_, err := r.d.Token()
	return all, err
}

// entry is the form of an element of any list of objects.
type entry struct {
	Event   *uint64         `json:"event"`
	Subject *string         `json:"subject"`
	Headers [][]string      `json:"headers"`
	Data    json.RawMessage `json:"data"`
	Error   *string         `json:"error"`
	Request json.RawMessage `json:"request"`
	Answer  json.RawMessage `json:"answer"`
}

func (e entry) record() (r Record, err error) {
	if e.Event == nil || e.Subject == nil || e.Data == nil || e.Error != nil || e.Request != nil || e.Answer != nil {
		return r, errors.New(`it must have "event", "subject" and "data", may have "headers", and nothing else`)
	}
	r.Event = *e.Event
	if r.Subject, err = decodeText(*e.Subject); err != nil {
		return r, err
	}
	for _, pair := range e.Headers {
		if len(pair) != 2 {
			return r, fmt.Errorf("header %q: it must be [NAME,VALUE]", pair)
		}
		var h Header
		if h.Name, err = decodeText(pair[0]); err != nil {
			return r, err
		}
		if h.Value, err = decodeText(pair[1]); err != nil {
			return r, err
		}
		r.Headers = append(r.Headers, h)
	}
	r.Data, err = DecodeValue(e.Data)
	return r, err
}

func (e entry) failure() (f Failure, err error) {
	if e.Event == nil || e.Error == nil || e.Subject != nil || e.Headers != nil || e.Data != nil || e.Request != nil || e.Answer != nil {
		return f, errors.New(`it must have "event" and "error", and nothing else`)
	}
	f.Event = *e.Event
	f.Error, err = decodeText(*e.Error)
	return f, err
}

func (e entry) query() (q Query, err error) {
	if e.Request == nil || (e.Answer == nil) == (e.Error == nil) || e.Event != nil || e.Subject != nil || e.Headers != nil || e.Data != nil {
		return q, errors.New(`it must have "request", and either "answer" or "error"`)
	}
	if q.Request, err = DecodeValue(e.Request); err != nil {
		return q, err
	}
	if e.Answer != nil {
		q.Answer, err = DecodeValue(e.Answer)
		return q, err
	}
	if q.Error, err = decodeText(*e.Error); err == nil && q.Error == "" {
		err = errors.New(`"error" is empty`)
	}
	return q, err
}
