package engine

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// mapView is a View of a map.
type mapView map[string]string

func (v mapView) Version() state.Version { return 0 }
func (v mapView) Close()                 {}
func (v mapView) Letters() state.Rows    { return nil }
func (v mapView) Outbox() state.Rows     { return nil }

func (v mapView) Get(key []byte) ([]byte, bool, error) {
	value, ok := v[string(key)]
	if !ok {
		return nil, false, nil
	}
	return []byte(value), true, nil
}

func (v mapView) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if strings.HasPrefix(k, string(prefix)) && k > string(after) && !fn([]byte(k), []byte(v[k])) {
			break
		}
	}
	return nil
}

var roomy = state.TxLimit{Writes: 1 << 20, Bytes: 1 << 30}

// rig runs an overlay and a plain map side by side.
type rig struct {
	t        *testing.T
	rnd      *rand.Rand
	overlay  *overlay
	stored   mapView // what was committed
	want     map[string]string
	ck       state.Checkpoint
	inFlight *window
	after    mapView // what stored becomes when inFlight lands
}

func (r *rig) key() []byte { return fmt.Appendf(nil, "k%02d", r.rnd.IntN(40)) }

// batch applies random changes, and takes them back one time in four.
func (r *rig) batch() {
	r.overlay.begin()
	next := maps.Clone(r.want)
	for range r.rnd.IntN(12) {
		key := r.key()
		var err error
		switch r.rnd.IntN(4) {
		case 0:
			err = r.overlay.Delete(key)
			delete(next, string(key))
		case 1:
			r.get(key, next)
		default:
			value := fmt.Sprint(r.rnd.IntN(1_000_000))
			err = r.overlay.Put(key, []byte(value))
			next[string(key)] = value
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if r.rnd.IntN(4) == 0 {
		r.overlay.rollback()
	} else {
		r.want = next
	}
}

func (r *rig) get(key []byte, want map[string]string) {
	value, ok, err := r.overlay.Get(key)
	wantValue, wantOK := want[string(key)]
	if err != nil || ok != wantOK || string(value) != wantValue {
		r.t.Fatalf("Get(%s) = %q, %v, %v, want %q, %v", key, value, ok, err, wantValue, wantOK)
	}
}

func (r *rig) scan() {
	prefix, after := []byte("k"+fmt.Sprint(r.rnd.IntN(4))), r.key()
	got, want := map[string]string{}, map[string]string{}
	last := ""
	err := r.overlay.Scan(prefix, after, func(k, v []byte) bool {
		if string(k) <= last {
			r.t.Fatalf("Scan gave %s after %s", k, last)
		}
		last = string(k)
		got[last] = string(v)
		return true
	})
	_ = mapView(r.want).Scan(prefix, after, func(k, v []byte) bool { want[string(k)] = string(v); return true })
	if err != nil || !maps.Equal(got, want) {
		r.t.Fatalf("Scan(%s, %s) = %v, %v, want %v", prefix, after, got, err, want)
	}
}

func (r *rig) cut() {
	if r.inFlight != nil {
		return
	}
	r.inFlight, r.after = &window{}, maps.Clone(r.want)
	r.overlay.cut(r.inFlight)
}

// land commits the window as a committer would, and checks what it says.
func (r *rig) land() {
	if r.inFlight == nil {
		return
	}
	if err := r.inFlight.tally(&r.ck, r.stored); err != nil {
		r.t.Fatal(err)
	}
	written := maps.Clone(r.stored)
	for _, w := range r.inFlight.writes() {
		if old, ok := r.stored[w.Key]; ok && w.OldSize != len(old) {
			r.t.Fatalf("OldSize of %s = %d, want %d", w.Key, w.OldSize, len(old))
		}
		if w.Delete {
			delete(written, w.Key)
		} else {
			written[w.Key] = string(w.Value)
		}
	}
	if !maps.Equal(written, r.after) {
		r.t.Fatalf("commit writes %v, want %v", written, r.after)
	}
	var want state.Checkpoint
	for k, v := range written {
		want.Digest.Add(state.Term([]byte(k), []byte(v)))
		want.Keys++
		want.Bytes += int64(len(k) + len(v))
	}
	if r.ck.Digest != want.Digest || r.ck.Keys != want.Keys || r.ck.Bytes != want.Bytes {
		r.t.Fatalf("checkpoint = %d keys, %d bytes, %s, want %d, %d, %s", r.ck.Keys, r.ck.Bytes, r.ck.Digest, want.Keys, want.Bytes, want.Digest)
	}
	r.stored = written
	r.inFlight.landed()
	r.overlay.rebase(r.stored)
	r.inFlight = nil
}

// Whatever the order of batches, rollbacks, cuts and commits, and however small
// the cache, the overlay reads as a map would, and its commits leave the keyspace
// and its digest as that map.
func TestOverlayIsAMap(t *testing.T) {
	for _, cache := range []int{0, 2_000, 1 << 20} {
		for seed := range uint64(30) {
			t.Run(fmt.Sprintf("cache %d, seed %d", cache, seed), func(t *testing.T) {
				r := &rig{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), stored: mapView{}, want: map[string]string{}}
				r.overlay = newOverlay(r.stored, roomy, cache)
				for range 300 {
					[]func(){r.batch, r.batch, r.scan, func() { r.get(r.key(), r.want) }, r.cut, r.land}[r.rnd.IntN(6)]()
				}
				r.land()
				r.cut()
				r.land()
				if r.overlay.size < 0 || r.overlay.bytes != 0 {
					t.Errorf("overlay weighs %d bytes, %d of them dirty", r.overlay.size, r.overlay.bytes)
				}
			})
		}
	}
}

// A commit that would not fit a transaction is noticed when it is written to.
func TestOverlayIsBounded(t *testing.T) {
	o := newOverlay(mapView{}, state.TxLimit{Writes: 2, Bytes: 1 << 20}, 1<<20)
	o.begin()
	for i, want := range []error{nil, nil, nil, errWindowFull} {
		key := []byte{byte('a' + max(i-1, 0))} // a, a, b, c
		if err := o.Put(key, []byte("1")); !errors.Is(err, want) {
			t.Errorf("Put %s: %v, want %v", key, err, want)
		}
	}
	o.rollback()
	if !o.isEmpty() || o.fill() != 0 {
		t.Errorf("after rollback %d keys are dirty, fill = %v", len(o.dirty), o.fill())
	}
}

// Reading many keys does not grow the overlay past its bound.
func TestOverlayEvicts(t *testing.T) {
	stored := mapView{}
	for i := range 10_000 {
		stored[fmt.Sprint(i)] = "value"
	}
	const limit = 100 * (itemOverhead + 10)
	o := newOverlay(stored, roomy, limit)
	o.begin()
	for k := range stored {
		if _, _, err := o.Get([]byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	if o.size > limit+itemOverhead+10 {
		t.Errorf("overlay weighs %d bytes, the limit is %d", o.size, limit)
	}
}
