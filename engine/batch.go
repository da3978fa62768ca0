package engine

import "gnomon/sdk/abi"

// Batch is a run of a stream's events in stream order, laid out as the guest
// reads them.
type Batch struct {
	Records []byte // concatenated records, see sdk/abi
	Count   int    // of records
	Through uint64 // every event up to this sequence is in this batch, in an earlier one, or no longer in the stream
	Pending uint64 // events that the stream still held after the last one, when that was delivered

	last int // offset of the last record
}

// Append adds an event. Its fields are copied.
func (b *Batch) Append(e *abi.Record) {
	b.last = len(b.Records)
	b.Records = e.Append(b.Records)
	b.Count++
	b.Through = e.Sequence
}

// AppendParts appends an event by its parts, without making a record of them first.
func (b *Batch) AppendParts(sequence uint64, timeNs int64, subject string, headers, data []byte) {
	b.last = len(b.Records)
	b.Records, _ = abi.AppendHead(b.Records, sequence, timeNs, len(subject), len(headers), len(data), 0)
	b.Records = append(b.Records, subject...)
	b.Records = append(b.Records, headers...)
	b.Records = abi.Pad(append(b.Records, data...))
	b.Count++
	b.Through = sequence
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
