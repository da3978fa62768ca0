package state

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Outbox is what a checkpoint records of emitted events that are to be published.
type Outbox struct {
	Rows  int64  `json:"rows,omitempty"` // that the keyspace holds
	Next  uint64 `json:"next,omitempty"` // number of the next row
	Marks []Mark `json:"marks,omitempty"`
}

// Mark says how far a target stream was settled: what it stored up to Sequence is in no
// row any more, and what is in a row it stored after that, if at all.
type Mark struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"` // when the stream was created
	Sequence uint64    `json:"seq"`
}

// OutboxRow is an emitted event that is committed, and not known to be published.
type OutboxRow struct {
	Number  uint64 // in the order of commits
	Lineage string
	Emit

	size int // of its value, when it is stored
}

// OutboxKey is the key of a row of the outbox: in order of numbers.
func OutboxKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

const outboxVersion = 1 // of the form of a row

// Write is the write that stores the row. Its value is a byte for its form, then
// little-endian u64 cause, u32 index, u16 length of the lineage, u16 of the subject, u32 of
// the headers, and the four of them: lineage, subject, headers, data.
func (r *OutboxRow) Write() Write {
	b := make([]byte, 0, 21+len(r.Lineage)+len(r.Subject)+len(r.Headers)+len(r.Data))
	b = append(b, outboxVersion)
	b = binary.LittleEndian.AppendUint64(b, r.Cause)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Index))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Lineage)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Subject)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Headers)))
	b = append(b, r.Lineage...)
	b = append(b, r.Subject...)
	b = append(b, r.Headers...)
	b = append(b, r.Data...)
	r.size = len(b)
	return Write{Key: string(OutboxKey(r.Number)), Value: b}
}

// Remove is the write that removes the row.
func (r *OutboxRow) Remove() Write {
	return Write{Key: string(OutboxKey(r.Number)), Delete: true, OldSize: r.size}
}

// decodeOutbox reads a row, whose bytes are copied.
func decodeOutbox(key, value []byte) (r OutboxRow, err error) {
	if len(key) != 8 || len(value) < 21 || value[0] != outboxVersion {
		return r, fmt.Errorf("row %x of the outbox, of %d bytes: %w", key, len(value), ErrCorrupt)
	}
	r.Number, r.size = binary.BigEndian.Uint64(key), len(value)
	r.Cause = binary.LittleEndian.Uint64(value[1:])
	r.Index = int(binary.LittleEndian.Uint32(value[9:]))
	lineage, subject := int(binary.LittleEndian.Uint16(value[13:])), int(binary.LittleEndian.Uint16(value[15:]))
	headers := int(binary.LittleEndian.Uint32(value[17:]))
	rest := append([]byte(nil), value[21:]...)
	if lineage+subject+headers > len(rest) {
		return r, fmt.Errorf("row %d of the outbox is cut short: %w", r.Number, ErrCorrupt)
	}
	r.Lineage, rest = string(rest[:lineage]), rest[lineage:]
	r.Subject, rest = string(rest[:subject]), rest[subject:]
	r.Headers, r.Data = rest[:headers:headers], rest[headers:]
	return r, nil
}

// ReadOutbox calls fn for each row of the outbox, in order, until it returns false.
func ReadOutbox(v View, fn func(r OutboxRow) bool) error {
	var bad error
	err := v.Outbox().Scan(nil, nil, func(key, value []byte) bool {
		var r OutboxRow
		if r, bad = decodeOutbox(key, value); bad != nil {
			return false
		}
		return fn(r)
	})
	if err == nil {
		err = bad
	}
	return err
}

// Emit is an event that a guest asked to publish. Its bytes are its own.
type Emit struct {
	Cause   uint64 // sequence of the event that caused it
	Index   int    // its place among the emits of that event, from 0
	Event   int    // index in the batch of the record that caused it
	Subject string
	Headers []byte // as in a record, see sdk/abi
	Data    []byte
}

// Bytes is what its subject, headers and data take.
func (r *OutboxRow) Bytes() int { return len(r.Headers) + len(r.Data) + len(r.Subject) }

// ID is the identity of an emitted event: the same however often it is published.
func (r *OutboxRow) ID(projection string) string {
	return fmt.Sprintf("%s/%s/%d/%d", projection, r.Lineage, r.Cause, r.Index)
}
