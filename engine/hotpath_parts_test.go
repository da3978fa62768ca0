package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// The batches of a stream, handed on to projections that share their reader: what it
// costs to begin, and for each of 16 batches and each member.
func BenchmarkFeed(b *testing.B) {
	source := NewLaidOut()
	for _, members := range []int{1, 8} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h := streams.NewHub(source, streams.FeedLimit)
				for range members {
					h.Expect("S", 1)
				}
				var reading sync.WaitGroup
				for range members {
					reading.Go(func() { readAll(b, h) })
				}
				reading.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members*len(source.batches)), "ns/batch")
		})
	}
}

func readAll(b *testing.B, h *streams.Hub) {
	r, err := h.Read(b.Context(), "S", 1, streams.FeedLimit)
	if err != nil {
		b.Error(err)
		return
	}
	defer r.Close()
	for through := uint64(0); through < hotEvents; {
		<-r.Ready()
		batch, err := r.Take()
		if err != nil {
			b.Error(err)
			return
		}
		if batch != nil {
			through = batch.Through
			r.Release(batch)
		}
	}
}

// hotView is a committed state of 10,000 keys, k000000 to k009999, in memory.
func hotView() mapView {
	v := mapView{}
	for i := range hotKeys {
		v[fmt.Sprintf("k%06d", i)] = "12345678"
	}
	return v
}

// hotKeysAtRandom are keys of hotView, in an order that repeats every 4,096.
func hotKeysAtRandom() [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	keys := make([][]byte, 4096)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "k%06d", rnd.IntN(hotKeys))
	}
	return keys
}

// The state as a guest sees it: keys that the overlay has, keys that it has to look up
// below, and the usual pair of a get and a put of one key.
func BenchmarkOverlay(b *testing.B) {
	keys, value := hotKeysAtRandom(), []byte("87654321")
	read := func(b *testing.B, o *overlay, i int) {
		if _, _, err := o.Get(keys[i%len(keys)]); err != nil {
			b.Fatal(err)
		}
	}
	write := func(b *testing.B, o *overlay, i int) {
		if err := o.Put(keys[i%len(keys)], value); err != nil {
			b.Fatal(err)
		}
	}
	for _, bb := range []struct {
		name  string
		cache int
		do    func(b *testing.B, o *overlay, i int)
	}{
		{"get=cached", 64 << 20, read},
		{"get=below", 0, read},
		{"put", 64 << 20, write},
		{"get+put", 64 << 20, func(b *testing.B, o *overlay, i int) { read(b, o, i); write(b, o, i) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			o := newOverlay(hotView(), roomy, bb.cache)
			o.begin()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if bb.do(b, o, i); i%hotBatch == 0 {
					o.begin()
				}
				i++
			}
		})
	}
}

// A scan of 100 keys, half of which the overlay has changed; and the same between
// writes, which the order of the changed keys has to follow.
func BenchmarkOverlayScan(b *testing.B) {
	for _, writes := range []bool{false, true} {
		b.Run(fmt.Sprintf("writes=%v", writes), func(b *testing.B) {
			base := sortedView{mapView: mapView{}}
			for i := range 100 {
				base.keys = append(base.keys, fmt.Sprintf("k0000%02d", i))
			}
			o := newOverlay(base, roomy, 64<<20)
			o.begin()
			for i := 0; i < 100; i += 2 {
				put(b, o, base.keys[i])
			}
			b.ReportAllocs()
			i, rows := 0, 0
			for b.Loop() {
				if i++; writes {
					put(b, o, fmt.Sprintf("x%06d", i%hotKeys))
				}
				if err := o.Scan([]byte("k0000"), nil, func(_, _ []byte) bool { rows++; return true }); err != nil {
					b.Fatal(err)
				}
			}
			if rows != 100*i {
				b.Fatalf("%d rows in %d scans of 100 keys", rows, i)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/key")
		})
	}
}

func put(b *testing.B, o *overlay, key string) {
	if err := o.Put([]byte(key), []byte("87654321")); err != nil {
		b.Fatal(err)
	}
}

// sortedView is an empty state but for scans, to which it has keys in order at no cost.
type sortedView struct {
	mapView
	keys []string
}

func (v sortedView) Scan(prefix, _ []byte, fn func(key, value []byte) bool) error {
	for _, k := range v.keys {
		if !fn([]byte(k), []byte("12345678")) {
			break
		}
	}
	return nil
}

// The engine's part of a commit: what the overlay gathered becomes a window, its digest
// is computed, and the overlay goes on above it.
func BenchmarkWindow(b *testing.B) {
	for _, keys := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			base := hotView()
			o := newOverlay(base, roomy, 64<<20)
			b.ReportAllocs()
			var ck state.Checkpoint
			var committing time.Duration
			turns := 0
			for b.Loop() {
				turns++
				o.begin()
				for i := range keys {
					put(b, o, fmt.Sprintf("k%06d", i))
				}
				began := time.Now()
				w := &window{}
				o.cut(w)
				if err := w.tally(&ck, base); err != nil {
					b.Fatal(err)
				}
				w.landed()
				o.rebase(base)
				committing += time.Since(began)
			}
			b.ReportMetric(float64(committing.Nanoseconds())/float64(turns*keys), "ns/key")
		})
	}
}
