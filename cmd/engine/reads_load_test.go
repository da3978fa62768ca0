package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// Whoever appends an event and then reads with its sequence reads its effects: 2,000 times,
// from many clients, by key and by prefix, over projections that take the event, that pass
// over it and that keep state in memory, while others append and read as fast as they can.
// A sequence that does not come is refused with the position there is.
func TestReadYourWritesUnderLoad(t *testing.T) {
	long(t)
	const writers, pairs = 8, 250
	h := newHome(t, "log.>", projection("count", "count.wasm")+
		projection("others", "count.wasm", `subjects = ["log.noise.>"]`)+
		projection("few", "count.wasm", `subjects = ["log.w.*"]`, "[projection.checkpoint]", `window = "10s"`)+
		projection("sessions", "sessions.wasm", "[projection.settings]", `field = "account"`, `gap = "1s"`))
	p := h.serve()
	p.awaitLive("count", 0)
	ctx, cancel := context.WithCancel(t.Context())
	var beside, all sync.WaitGroup
	var noise atomic.Int64
	beside.Go(func() {
		for n := 0; ctx.Err() == nil; n += 50 {
			if done, err := p.client.Import(ctx, "LOG", noiseLines(n, 50)); err == nil {
				noise.Add(int64(done.Imported))
			} else if ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	beside.Go(func() {
		for ctx.Err() == nil {
			if err := p.client.Scan(ctx, "count", nil, 0, func(wire.Row) error { return nil }); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	var mu sync.Mutex
	var took []time.Duration
	for w := range writers {
		all.Go(func() {
			for n := range pairs {
				d, err := appendAndRead(ctx, p.client, w, uint64(n+1))
				if err != nil {
					t.Errorf("writer %d, pair %d: %v", w, n, err)
					return
				}
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	cancel()
	beside.Wait()
	if len(took) < writers*pairs || noise.Load() == 0 {
		t.Fatalf("%d pairs beside %d other events", len(took), noise.Load())
	}
	slices.Sort(took)
	t.Logf("%d pairs beside %d other events: the read answered after %s (median), %s (99 %%), %s (longest)", len(took), noise.Load(), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// appendAndRead appends the nth event of a writer and reads it, with a projection and in a
// way that differ from pair to pair. It returns how long the read took.
func appendAndRead(ctx context.Context, c *client.Client, writer int, n uint64) (time.Duration, error) {
	subject := fmt.Sprint("log.w.", writer)
	at, err := c.Publish(ctx, "LOG", wire.NewEvent{Subject: subject, Data: []byte(`{"account":"a"}`)})
	if err != nil {
		return 0, err
	}
	projection := []string{"count", "few", "others", "sessions"}[n%4]
	if err := neverReached(ctx, c, projection, at.Sequence); err != nil {
		return 0, err
	}
	var reflects wire.AsOf
	reads := c.At(client.Moment{MinSeq: at.Sequence, Wait: 30 * time.Second, Reflects: func(a wire.AsOf) { reflects = a }})
	var value []byte
	began := time.Now()
	if projection == "others" || projection == "sessions" || n%3 == 0 {
		err = reads.Scan(ctx, projection, []byte(subject), 0, func(r wire.Row) error { value = r.Value; return nil })
	} else {
		var got wire.Get
		got, err = reads.Get(ctx, projection, []byte(subject))
		value = got.Value
	}
	took := time.Since(began)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s at %d: %w", projection, at.Sequence, err)
	case reflects.Sequence < at.Sequence:
		return 0, fmt.Errorf("%s answers as of %d, before %d", projection, reflects.Sequence, at.Sequence)
	case projection == "others" || projection == "sessions": // which keep nothing of it under its subject
	case len(value) != 8 || binary.LittleEndian.Uint64(value) != n:
		return 0, fmt.Errorf("%s as of %d has counted %v, want %d", projection, reflects.Sequence, value, n)
	}
	return took, nil
}

// neverReached asks for a sequence that does not come, which is refused with the position.
func neverReached(ctx context.Context, c *client.Client, projection string, sequence uint64) error {
	if sequence%16 != 0 {
		return nil
	}
	_, err := c.At(client.Moment{MinSeq: 1 << 40, Wait: time.Millisecond}).Get(ctx, projection, []byte("x"))
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeNotReached || p.Reflected == nil || p.Standing == nil || !strings.Contains(p.Detail, fmt.Sprintf("reflects %d, %d is not reached", p.AsOfSeq, 1<<40)) {
		return fmt.Errorf("%s at 1<<40: %w", projection, err)
	}
	return nil
}

// noiseLines are events that nobody waits for.
func noiseLines(first, n int) *strings.Reader {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":"noise-%d","type":"noise","time":"2026-01-31T12:00:00Z","subject":"log.noise.%d","data":{"account":"b"}}`+"\n", first+i, (first+i)%17)
	}
	return strings.NewReader(b.String())
}
