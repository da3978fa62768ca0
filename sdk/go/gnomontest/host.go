package gnomontest

import (
	"encoding/binary"
	"slices"
	"strings"

	"gnomon/sdk/abi"
	"gnomon/sdk/jsonfields"
	"gnomon/sdk/outcome"
)

// host implements boundary.Host over maps.
type host struct {
	call     string // the export under way
	settings string
	batch    []byte
	sequence []uint64 // of the batch's events
	state    map[string]string
	sorted   []string           // keys of state; nil when they must be sorted anew
	undo     map[string]*string // what the batch under way changed; nil: was absent
	blobs    [][]byte
	read     int    // of blobs
	request  string // of a query
	output   []byte // of an upcaster, and the answer to a query
	fields   *jsonfields.Reader

	said    string // by fail
	failed  int32
	logged  []string
	emitted []Emitted
	headers [][]outcome.Header // of emitted
	causes  []uint32           // of emitted: the index in the batch of the event
	emits   int                // of emitted, before the batch under way
	writes  []write            // of the batch, in order
}

// write is a change of a key; a nil value: it was deleted.
type write struct {
	key   string
	value *string
}

func newHost(settings string) *host {
	if settings == "" {
		settings = "{}"
	}
	return &host{settings: settings, state: map[string]string{}, undo: map[string]*string{}}
}

func (h *host) begin(call string) {
	h.call, h.said, h.failed = call, "", -1
}

// fill makes the batch of events, and numbers those that have no sequence.
func (h *host) fill(events []Event, sequence *uint64) (err error) {
	h.batch, h.sequence, h.writes = h.batch[:0], h.sequence[:0], h.writes[:0]
	for i := range events {
		*sequence++
		if s := events[i].Sequence; s != 0 {
			*sequence = s
		}
		if h.batch, err = events[i].record(h.batch, *sequence); err != nil {
			return err
		}
		h.sequence = append(h.sequence, *sequence)
	}
	return nil
}

func (h *host) commit() {
	clear(h.undo)
	h.emits = len(h.emitted)
}

func (h *host) rollBack() {
	for k, v := range h.undo {
		if v == nil {
			delete(h.state, k)
		} else {
			h.state[k] = *v
		}
	}
	h.sorted = nil
	h.emitted, h.headers, h.causes = h.emitted[:h.emits], h.headers[:h.emits], h.causes[:h.emits]
	clear(h.undo)
}

// failedAt is the sequence of the event that fail named, or 0.
func (h *host) failedAt() uint64 {
	if h.call != abi.ExportApply && h.call != abi.ExportUpcast || h.failed < 0 || int(h.failed) >= len(h.sequence) {
		return 0
	}
	return h.sequence[h.failed]
}

// give copies b to buf when it fits, and returns its length.
func give[T ~string | ~[]byte](buf []byte, b T) int32 {
	if len(b) <= len(buf) {
		copy(buf, b)
	}
	return int32(len(b))
}

// change notes what a key held before the batch, unless that is noted already.
func (h *host) change(key string) {
	old, present := h.state[key]
	if !present {
		h.sorted = nil
	}
	if _, noted := h.undo[key]; noted {
		return
	}
	if present {
		h.undo[key] = &old
	} else {
		h.undo[key] = nil
	}
}

// refusal is the code for a use of a key that writes, or 0.
func (h *host) refusal(key string) int32 {
	if h.call == abi.ExportQuery {
		return abi.ReadOnly
	}
	return h.readRefusal(key)
}

// readRefusal is the code for a use of a key that reads, or 0.
func (h *host) readRefusal(key string) int32 {
	switch {
	case h.call != abi.ExportApply && h.call != abi.ExportQuery && h.call != abi.ExportMigrate:
		return abi.ReadOnly
	case len(key) > abi.MaxKey:
		return abi.TooLarge
	}
	return 0
}

func (h *host) BatchRead(buf []byte) int32 {
	if h.call != abi.ExportApply {
		return abi.BadArgument
	}
	return give(buf, h.batch)
}

func (h *host) StateGet(key string, buf []byte) int32 {
	if code := h.readRefusal(key); code != 0 {
		return code
	}
	v, ok := h.state[key]
	if !ok {
		return abi.NotFound
	}
	return give(buf, v)
}

func (h *host) StatePut(key string, value []byte) int32 {
	code := h.refusal(key)
	switch {
	case code != 0:
		return code
	case len(key) == 0:
		return abi.BadArgument
	case len(value) > abi.MaxValue:
		return abi.TooLarge
	}
	h.change(key)
	text := string(value)
	h.state[key] = text
	h.writes = append(h.writes, write{key, &text})
	return 0
}

func (h *host) StateDelete(key string) int32 {
	if code := h.refusal(key); code != 0 {
		return code
	}
	h.change(key)
	h.writes = append(h.writes, write{key, nil})
	delete(h.state, key)
	h.sorted = nil
	return 0
}

func (h *host) StateScan(prefix, after string, limit uint32, buf []byte) int64 {
	if code := h.readRefusal(""); code != 0 {
		return int64(code)
	}
	if len(prefix) > abi.MaxKey || len(after) > abi.MaxKey {
		return int64(abi.TooLarge)
	}
	count, page := int64(0), buf[:0]
	for _, k := range h.from(max(prefix, after)) {
		if !strings.HasPrefix(k, prefix) {
			break
		}
		if k <= after {
			continue
		}
		v := h.state[k]
		if len(page)+8+len(k)+len(v) > len(buf) {
			if count == 0 {
				return int64(abi.TooLarge)
			}
			break
		}
		if count > 0 && len(page)+8+len(k)+len(v) > abi.MaxScanPage {
			break
		}
		page = binary.LittleEndian.AppendUint32(page, uint32(len(k)))
		page = binary.LittleEndian.AppendUint32(page, uint32(len(v)))
		page = append(append(page, k...), v...)
		if count++; count == int64(limit) {
			break
		}
	}
	return count<<32 | int64(len(page))
}

// from returns the keys that are not less than first, in order.
func (h *host) from(first string) []string {
	if h.sorted == nil {
		h.sorted = make([]string, 0, len(h.state))
		for k := range h.state {
			h.sorted = append(h.sorted, k)
		}
		slices.Sort(h.sorted)
	}
	i, _ := slices.BinarySearch(h.sorted, first)
	return h.sorted[i:]
}

func (h *host) Emit(event uint32, subject string, headers, data []byte) int32 {
	switch {
	case h.call == abi.ExportMigrate:
		return abi.BadArgument // it has no events
	case h.call != abi.ExportApply:
		return abi.ReadOnly
	case int(event) >= len(h.sequence), len(h.emitted) > h.emits && event < h.causes[len(h.causes)-1]:
		return abi.BadArgument
	case subject == "" || len(subject) > abi.MaxSubject, len(headers) > abi.MaxHeaders:
		return abi.TooLarge
	}
	list, err := headersOf(headers)
	if err != nil {
		return abi.BadArgument
	}
	h.emitted = append(h.emitted, Emitted{h.sequence[event], subject, string(data)})
	h.headers = append(h.headers, list)
	h.causes = append(h.causes, event)
	return 0
}

// headersOf decodes headers.
func headersOf(encoded []byte) (list []outcome.Header, err error) {
	for len(encoded) > 0 {
		var name, value []byte
		if name, value, encoded, err = abi.NextHeader(encoded); err != nil {
			return nil, err
		}
		list = append(list, outcome.Header{Name: string(name), Value: string(value)})
	}
	return list, nil
}

func (h *host) ConfigRead(buf []byte) int32 { return give(buf, h.settings) }

func (h *host) Log(level int32, line string) {
	h.logged = append(h.logged, outcome.LogLine(int(level), text(line)))
}

// text is what the engine keeps of a line, or of the text of an error.
func text(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), abi.MaxLogLine)], "\uFFFD")
}

func (h *host) LogEnabled(int32) int32 { return 1 }

func (h *host) Fail(event int32, said string) { h.failed, h.said = event, text(said) }

func (h *host) BlobWrite(blob []byte) int32 {
	if h.call != abi.ExportSnapshot {
		return abi.BadArgument
	}
	h.blobs = append(h.blobs, slices.Clone(blob))
	return 0
}

func (h *host) BlobRead(buf []byte) int32 {
	if h.call != abi.ExportRestore {
		return abi.BadArgument
	}
	if h.read == len(h.blobs) {
		return abi.NotFound
	}
	n := give(buf, h.blobs[h.read])
	if int(n) <= len(buf) {
		h.read++
	}
	return n
}

func (h *host) InputRead(buf []byte) int32 {
	switch h.call {
	case abi.ExportUpcast:
		return give(buf, h.batch)
	case abi.ExportQuery:
		return give(buf, h.request)
	}
	return abi.BadArgument
}

func (h *host) OutputWrite(records []byte) int32 {
	if h.call != abi.ExportUpcast && h.call != abi.ExportQuery {
		return abi.BadArgument
	}
	if h.call == abi.ExportQuery {
		h.output = append(h.output, records...)
		return 0
	}
	for len(records) > 0 {
		r, rest, err := abi.Next(records)
		if err != nil {
			return abi.BadArgument // the engine ends the call
		}
		r.TimeNs = h.stored(r.Sequence)
		h.output, records = r.Append(h.output), rest
	}
	return 0
}

// stored is the time of the event of the batch that has a sequence, or 0.
func (h *host) stored(sequence uint64) int64 {
	for rest := h.batch; len(rest) > 0; {
		r, after, err := abi.Next(rest)
		if err != nil || r.Sequence == sequence {
			return r.TimeNs
		}
		rest = after
	}
	return 0
}

func (h *host) FieldsDeclare(names []byte) int32 {
	var list []string
	for len(names) > 0 {
		name, rest, err := abi.NextName(names)
		if err != nil {
			return abi.BadArgument
		}
		if len(name) > abi.MaxField {
			return abi.TooLarge
		}
		list, names = append(list, string(name)), rest
	}
	if len(list) > abi.MaxFields {
		return abi.TooLarge
	}
	h.fields = jsonfields.NewReader(list...)
	return int32(len(list))
}

func (h *host) FieldsRead(buf []byte) int32 {
	if h.call != abi.ExportApply && h.call != abi.ExportUpcast || h.fields == nil {
		return abi.BadArgument
	}
	table, err := h.fields.AppendTable(nil, h.batch)
	if err != nil {
		return abi.BadArgument
	}
	return give(buf, table)
}
