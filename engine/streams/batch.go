package streams

import "gnomon/sdk/abi"

// Batch is a run of a stream's events in stream order, laid out as the guest
// reads them. One without events only says that there are none through a sequence.
type Batch struct {
	Records []byte // concatenated records, see sdk/abi
	Count   int    // of records
	Through uint64 // every event up to this sequence is in this batch, in an earlier one, or no longer in the stream
	Pending uint64 // events that the stream still held after the last one, when that was delivered
	Markers uint64 // sequences that hold no event, but the server's word that some are gone

	last int    // offset of the last record
	lead uint64 // so many markers come directly before its first event
	gap  uint64 // the first sequence after its first event, or marker, that is missing; 0: none
}

// Missing returns the first sequence after one that is not in the batch, though later
// ones are; 0 when there is none.
func (b *Batch) Missing(after uint64) uint64 {
	first := b.Through + 1
	if e, _, err := abi.Next(b.Records); err == nil {
		first = e.Sequence
	}
	if first > after+1+b.lead {
		return after + 1
	}
	return b.gap
}

// Pass notes that what is stored at a sequence is no event but a marker.
func (b *Batch) Pass(sequence uint64) {
	switch next := sequence == b.Through+1; {
	case b.Count > 0:
		b.noteGap(sequence)
	case next:
		b.lead++
	default:
		b.lead = 1
	}
	b.Markers++
	b.Through = sequence
}

// noteGap notes what is missing before a sequence.
func (b *Batch) noteGap(sequence uint64) {
	if b.gap == 0 && sequence != b.Through+1 {
		b.gap = b.Through + 1
	}
}

// follow notes the sequence of an event that is appended.
func (b *Batch) follow(sequence uint64) {
	switch {
	case b.Count > 0:
		b.noteGap(sequence)
	case sequence != b.Through+1:
		b.lead = 0
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

// Until is a copy of a batch without what comes after a sequence.
func (b *Batch) Until(sequence uint64) *Batch {
	out := &Batch{}
	for rest := b.Records; len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil || e.Sequence > sequence {
			break
		}
		out.Append(&e)
		rest = after
	}
	out.Through, out.Pending = sequence, b.Pending+uint64(b.Count-out.Count)
	return out
}

// CountTo counts the events up to a sequence.
func (b *Batch) CountTo(sequence uint64) (n int) {
	if sequence >= b.Through {
		return b.Count
	}
	for rest := b.Records; len(rest) > 0; n++ {
		e, after, err := abi.Next(rest)
		if err != nil || e.Sequence > sequence {
			break
		}
		rest = after
	}
	return n
}

// First is the sequence of its first event, or what comes after it when there is none.
func (b *Batch) First() uint64 {
	if e, _, err := abi.Next(b.Records); err == nil {
		return e.Sequence
	}
	return b.Through + 1
}

// Since is a copy of a batch without what comes before a sequence.
func (b *Batch) Since(sequence uint64) *Batch {
	out := &Batch{}
	for rest := b.Records; len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil {
			break // the reader wrote it
		}
		if rest = after; e.Sequence >= sequence {
			out.Append(&e)
		}
	}
	out.Through, out.Pending = b.Through, b.Pending
	return out
}

// Passed counts sequences that a projection passed over because the stream has no event
// for anyone there. What is applied again is counted again.
type Passed struct {
	// Absent are those at which the stream holds nothing: the event was deleted or expired,
	// or its mirror leaves it out.
	Absent uint64 `json:"absent"`
	// Markers are those at which it holds the server's own word that events are gone
	// (Nats-Marker-Reason).
	Markers uint64 `json:"delete_markers"`
}

// Passed is what a batch passes over after a sequence.
func (b *Batch) Passed(after uint64) Passed {
	without := b.Through - min(b.Through, after+uint64(b.Count))
	markers := min(b.Markers, without) // of a batch that is only half new, some may come before
	return Passed{Absent: without - markers, Markers: markers}
}

// From is what is left of a batch from a sequence on. It aliases the batch.
func (b *Batch) From(sequence uint64) *Batch {
	out := *b
	for len(out.Records) > 0 {
		e, rest, err := abi.Next(out.Records)
		if err != nil || e.Sequence >= sequence { // the reader wrote it
			break
		}
		out.last -= len(out.Records) - len(rest)
		out.Records = rest
		out.Count--
	}
	return &out
}
