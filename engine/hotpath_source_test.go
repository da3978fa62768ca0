package engine

import (
	"context"
	"fmt"
	"time"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// LaidOut is a Source for benchmarks, of a stream "S" whose batches are laid out
// before the clock runs, so that reading costs nothing.
type LaidOut struct {
	batches []*streams.Batch
	info    streams.Info
}

const (
	hotEvents = 1 << 16 // in a stream
	hotBatch  = 4096
	hotKeys   = 10_000
)

// NewLaidOut lays out events of about 200 bytes, over 10,000 subjects.
func NewLaidOut() *LaidOut {
	s := &LaidOut{info: streams.Info{Name: "S", Subjects: []string{"account.*"}, Created: time.Unix(1, 0), First: 1, Last: hotEvents, Events: hotEvents}}
	for sequence := uint64(1); sequence <= hotEvents; {
		b := &streams.Batch{}
		for ; b.Count < hotBatch; sequence++ {
			account := sequence * 7919 % hotKeys
			data := fmt.Sprintf(`{"account":"%06d","amount":%d,"currency":"EUR","note":"%064d"}`, account, sequence%100, sequence)
			b.AppendParts(sequence, int64(sequence), fmt.Sprintf("account.%06d", account), nil, []byte(data))
		}
		b.Pending = hotEvents - b.Through
		s.batches = append(s.batches, b)
	}
	return s
}

// Events is how many the stream holds.
func (s *LaidOut) Events() int { return hotEvents }

// Stream implements Source.
func (s *LaidOut) Stream(context.Context, string) (streams.Info, error) { return s.info, nil }

// Event implements Source. Nobody asks: nothing was read before.
func (s *LaidOut) Event(context.Context, string, uint64) (e abi.Record, err error) {
	return e, streams.ErrNoEvent
}

// SequenceAt implements Source.
func (s *LaidOut) SequenceAt(context.Context, string, time.Time) (uint64, error) { return 1, nil }

// Read implements Source.
func (s *LaidOut) Read(_ context.Context, _ string, from uint64, _ streams.ReadLimit) (streams.Reader, error) {
	r := &laidOutReader{left: s.batches[min((from-1)/hotBatch, uint64(len(s.batches))):], last: s.info.Last, ready: make(chan struct{}, 1)}
	r.ready <- struct{}{}
	return r, nil
}

type laidOutReader struct {
	left  []*streams.Batch
	last  uint64
	ready chan struct{}
}

func (r *laidOutReader) Ready() <-chan struct{} { return r.ready }

func (r *laidOutReader) Take() (*streams.Batch, error) {
	if len(r.left) == 0 {
		return nil, nil
	}
	b := r.left[0]
	r.left = r.left[1:]
	r.ready <- struct{}{}
	return b, nil
}

func (r *laidOutReader) Release(*streams.Batch) {}
func (r *laidOutReader) Close()                 {}

func (r *laidOutReader) CaughtUp(context.Context) (through uint64, ok bool, err error) {
	return r.last, true, nil
}
