package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// partitions are the instances of a projection: each gets the events of its share of
// the keys, in stream order, and they work at the same time. What they write is
// committed together, at one position, so that the state is that of one prefix of
// the stream, as with one instance. That holds for projections that are local to
// their key: what one partition writes no other may use.
type partitions []*partition

// partition is an instance with the state as it sees it.
type partition struct {
	instance guest.Instance
	overlay  *overlay

	records []byte // its share of the piece under way
	places  []int  // of those in the piece
	err     error
}

// SharedStateError says that two partitions used one key of the state.
type SharedStateError struct {
	Key           string
	Writer, Other int // partitions, from 0
}

func (e *SharedStateError) Error() string {
	return fmt.Sprintf("partition %d wrote the state's key %.200q and partition %d used it too: what events of different keys use cannot be split", e.Writer, e.Key, e.Other)
}

// openPartitions makes the instances that a spec asks for. They have no state yet.
func openPartitions(ctx context.Context, spec *Spec, generation string) (partitions, error) {
	var ps partitions
	for range max(1, spec.Partitions) {
		in, err := spec.newInstance(ctx, generation)
		if err != nil {
			return nil, errors.Join(err, ps.close(ctx))
		}
		ps = append(ps, &partition{instance: in})
	}
	return ps, nil
}

// see shows all partitions the state at a view, and gives each its part of the cache
// and of a commit.
func (ps partitions) see(base state.View, limit state.TxLimit, cache int) {
	for _, p := range ps {
		p.overlay = newOverlay(base, state.TxLimit{}, cache/len(ps))
	}
	ps.setLimit(limit)
}

func (ps partitions) setLimit(l state.TxLimit) {
	for _, p := range ps {
		p.overlay.limit = l.Share(len(ps))
	}
}

// close releases the instances and the view that they see.
func (ps partitions) close(ctx context.Context) error {
	var errs []error
	for i, p := range ps {
		if i == 0 && p.overlay != nil {
			p.overlay.base.Close()
		}
		if err := p.instance.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close instance: %w", err))
		}
	}
	return errors.Join(errs...)
}

// apply runs the guest on records, all of them or none. What it emits is passed on to
// dress, with the records that it is about.
func (ps partitions) apply(ctx context.Context, records []byte, dress dresser) error {
	for _, p := range ps {
		p.overlay.begin()
	}
	err := ps.run(ctx, records)
	if err == nil {
		err = ps.dress(records, dress)
	}
	if err != nil {
		for _, p := range ps {
			p.overlay.rollback()
		}
	}
	return err
}

func (ps partitions) run(ctx context.Context, records []byte) error {
	if len(ps) == 1 {
		return ps[0].instance.Apply(ctx, records, ps[0].overlay)
	}
	if err := ps.deal(records); err != nil {
		return err
	}
	var working sync.WaitGroup
	for _, p := range ps {
		if p.err = nil; len(p.records) > 0 {
			working.Go(func() { p.err = p.instance.Apply(ctx, p.records, p.overlay) })
		}
	}
	working.Wait()
	for _, p := range ps {
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// deal hands each record to the partition of its key.
func (ps partitions) deal(records []byte) error {
	for _, p := range ps {
		p.records, p.places = p.records[:0], p.places[:0]
	}
	for n := 0; len(records) > 0; n++ {
		e, rest, err := abi.Next(records)
		if err != nil {
			return fmt.Errorf("read batch: %w", err)
		}
		p := ps[Share(e.Key, len(ps))]
		p.records = append(p.records, records[:len(records)-len(rest)]...)
		p.places = append(p.places, n)
		records = rest
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // the one that processors have an instruction for

// Share is the partition, of n, that a key's events go to.
func Share(key []byte, n int) int { return int(crc32.Checksum(key, castagnoli) % uint32(n)) }

// cut takes what was changed since the last cut, by all partitions, as the writes of
// one commit.
func (ps partitions) cut() (*window, error) {
	if err := ps.checkShared(); err != nil {
		return nil, err
	}
	w := &window{}
	for _, p := range ps {
		p.overlay.cut(w)
	}
	if len(ps) > 1 {
		inOrder(w.emits)
	}
	return w, nil
}

// checkShared finds keys that one partition wrote since the last cut and another one
// has read or written, as far as it remembers.
func (ps partitions) checkShared() error {
	if len(ps) == 1 {
		return nil
	}
	for i, p := range ps {
		for _, it := range p.overlay.dirty {
			for j, other := range ps {
				if _, used := other.overlay.items[it.key]; used && j != i {
					return &SharedStateError{Key: it.key, Writer: i, Other: j}
				}
			}
		}
	}
	return nil
}

// committed takes a window back after its commit, which base shows.
func (ps partitions) committed(w *window, base state.View) {
	w.landed()
	ps[0].overlay.base.Close()
	for _, p := range ps {
		p.overlay.rebase(base)
	}
}

// fill is how full the next commit is, as the fullest partition sees it.
func (ps partitions) fill() (fill float64) {
	for _, p := range ps {
		fill = max(fill, p.overlay.fill())
	}
	return fill
}

func (ps partitions) isEmpty() bool {
	return !slices.ContainsFunc(ps, func(p *partition) bool { return !p.overlay.isEmpty() })
}

// dirtyBytes is what the next commit writes.
func (ps partitions) dirtyBytes() (n int) {
	for _, p := range ps {
		n += p.overlay.bytes
	}
	return n
}

// fuel is what the last calls used.
func (ps partitions) fuel() (n uint64) {
	for _, p := range ps {
		if len(ps) == 1 || len(p.records) > 0 {
			n += p.instance.Fuel()
		}
	}
	return n
}

// memoryBytes is the size of all linear memories.
func (ps partitions) memoryBytes() (n uint64) {
	for _, p := range ps {
		n += p.instance.MemoryBytes()
	}
	return n
}
