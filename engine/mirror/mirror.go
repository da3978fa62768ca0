package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/streams"
)

const (
	firstWait = 500 * time.Millisecond
	lastWait  = 15 * time.Second
	// namedKeys is how many of the keys that are left out are named.
	namedKeys = 10
)

// Engine is what is mirrored. *engine.Engine implements it.
type Engine interface {
	Watch(ctx context.Context, projection string, o engine.WatchOptions, fn func(engine.WatchEvent) error) error
	NoteMirror(projection string, s *engine.MirrorStatus)
}

// Mirror has a bucket hold what a projection serves.
type Mirror struct {
	Engine     Engine
	JetStream  jetstream.JetStream
	Projection string
	Bucket     string // created when it is absent
	Log        *slog.Logger

	// Permitted makes a context for requests about some names that ends when the server refuses
	// one, and Explain tells of that: those of broker.Broker. Nil: nobody hears of refusals, and
	// the time for an answer has to pass.
	Permitted func(ctx context.Context, about ...string) (context.Context, context.CancelFunc)
	Explain   func(error) error

	left   map[[16]byte]string // keys that are not in the bucket, and why
	told   uint64              // sequence that the bucket reflects
	failed string              // why it is behind
}

// Run mirrors until ctx ends. What keeps it from that is noted at the projection, which
// does not wait for it, and is tried again.
func (m *Mirror) Run(ctx context.Context) {
	wait := firstWait
	for {
		began := m.told
		err := m.permitted(ctx)
		if ctx.Err() != nil {
			return
		}
		if m.told != began {
			wait = firstWait
		}
		if err.Error() != m.failed {
			m.failed = err.Error()
			level := slog.LevelWarn
			if errors.Is(err, engine.ErrNotReady) {
				level = slog.LevelInfo // as each projection at its start
			}
			m.Log.Log(ctx, level, "bucket is not in step with its projection, it is tried again", "projection", m.Projection, "bucket", m.Bucket, "error", err)
		}
		m.note()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, lastWait)
	}
}

// permitted is once, and names the permission that it fails for want of.
func (m *Mirror) permitted(ctx context.Context) error {
	if m.Permitted == nil || m.Explain == nil {
		return m.once(ctx)
	}
	ctx, done := m.Permitted(ctx, m.Bucket, "KV_"+m.Bucket)
	defer done()
	err := m.once(ctx)
	if why := m.Explain(err); errors.Is(why, streams.ErrForbidden) {
		return fmt.Errorf("bucket %s: %w", m.Bucket, why)
	}
	return err
}

// once compares the bucket with the state, and follows it until something fails.
func (m *Mirror) once(ctx context.Context) error {
	b, err := openBucket(ctx, m.JetStream, m.Bucket, m.Projection)
	if err != nil {
		return err
	}
	m.left = map[[16]byte]string{}
	s := &syncing{mirror: m, bucket: b}
	return m.Engine.Watch(ctx, m.Projection, engine.WatchOptions{}, func(e engine.WatchEvent) error { return s.take(ctx, e) })
}

// note tells how it stands.
func (m *Mirror) note() {
	m.Engine.NoteMirror(m.Projection, &engine.MirrorStatus{
		Bucket: m.Bucket, Sequence: m.told, Error: m.failed, LeftOut: len(m.left),
		LeftOutKeys: slices.Sorted(maps.Values(m.left))[:min(namedKeys, len(m.left))],
	})
}

// syncing brings a bucket from one state to the next.
type syncing struct {
	mirror *Mirror
	bucket *bucket
	have   map[string]sum // what the bucket holds, and the snapshot under way did not have yet; nil: there is none
}

type sum [16]byte

func sumOf(b []byte) sum {
	s := sha256.Sum256(b)
	return sum(s[:16])
}

func (s *syncing) take(ctx context.Context, e engine.WatchEvent) (err error) {
	switch e.Kind {
	case engine.WatchReset:
		clear(s.mirror.left)
		s.have, err = s.bucket.contents(ctx)
	case engine.WatchSnapshot, engine.WatchChange:
		err = s.row(ctx, e)
	case engine.WatchPosition:
		err = s.reached(ctx, e)
	}
	return err
}

// row brings one key to what it is now.
func (s *syncing) row(ctx context.Context, e engine.WatchEvent) error {
	key, id := EncodeKey(e.Key), sumOf(e.Key)
	delete(s.mirror.left, id)
	why := s.bucket.refuses(key, e.Value)
	switch {
	case e.Deleted && len(key) > maxKey:
		return nil // it never was there
	case e.Deleted:
		return s.bucket.remove(ctx, key)
	case why != "":
		s.mirror.left[id] = fmt.Sprintf("%.80q: %s", e.Key, why)
		if s.have != nil || len(key) > maxKey {
			return nil // what is left of have is removed
		}
		return s.bucket.remove(ctx, key)
	}
	old, ok := s.have[key]
	delete(s.have, key)
	if ok && old == sumOf(e.Value) {
		return nil
	}
	return s.bucket.put(ctx, key, e)
}

// reached ends a step: the bucket says so when all of it is stored.
func (s *syncing) reached(ctx context.Context, e engine.WatchEvent) error {
	for key := range s.have {
		if err := s.bucket.remove(ctx, key); err != nil {
			return err
		}
	}
	s.have = nil
	if err := s.bucket.settle(ctx); err != nil {
		return err
	}
	m := s.mirror
	if err := s.bucket.mark(ctx, Marker{Projection: m.Projection, Generation: e.Generation, AsOfSeq: e.Sequence, AsOfTime: e.Time, LeftOut: len(m.left)}); err != nil {
		return err
	}
	if m.failed != "" {
		m.Log.Info("bucket is in step with its projection", "projection", m.Projection, "bucket", m.Bucket, "sequence", e.Sequence)
	}
	m.told, m.failed = e.Sequence, ""
	m.note()
	return nil
}

// errForeign says that a bucket is not one of the projection's.
var errForeign = errors.New("is not the mirror of this projection")
