package engine

import "gnomon/sdk/abi"

// Batch is a run of a stream's events in stream order, laid out as the guest
// reads them.
type Batch struct {
	Records []byte // concatenated records, see sdk/abi
	Count   int    // of records
	Through uint64 // every event up to this sequence is in this batch, in an earlier one, or no longer in the stream
	Pending uint64 // events that the stream still held after the last one, when that was delivered

	last int    // offset of the last record
	gap  uint64 // the first sequence between two of its events that is missing; 0: none
}

// missing returns the first sequence after one that is not in the batch, though later
// ones are; 0 when there is none.
func (b *Batch) missing(after uint64) uint64 {
	first, _, err := abi.Next(b.Records)
	if err == nil && first.Sequence > after+1 {
		return after + 1
	}
	return b.gap
}

// follow notes the sequence of an event that is appended.
func (b *Batch) follow(sequence uint64) {
	if b.Count > 0 && b.gap == 0 && sequence != b.Through+1 {
		b.gap = b.Through + 1
	}
	b.last = len(b.Records)
	b.Count++
	b.Through = sequence
}

// Append adds an event. Its fields are copied.
func (b *Batch) Append(e *abi.Record) {
	b.follow(e.Sequence)
	b.Records = e.Append(b.Records)
}

// AppendParts appends an event by its parts, without making a record of them first.
func (b *Batch) AppendParts(sequence uint64, timeNs int64, subject string, headers, data []byte) {
	b.follow(sequence)
	b.Records, _ = abi.AppendHead(b.Records, sequence, timeNs, len(subject), len(headers), len(data), 0)
	b.Records = append(b.Records, subject...)
	b.Records = append(b.Records, headers...)
	b.Records = abi.Pad(append(b.Records, data...))
}

// Last returns the last event; ok is false when the batch holds none.
func (b *Batch) Last() (e abi.Record, ok bool) {
	if b.Count == 0 {
		return e, false
	}
	e, _, err := abi.Next(b.Records[b.last:])
	return e, err == nil
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { *b = Batch{Records: b.Records[:0]} }
