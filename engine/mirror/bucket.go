package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
)

const (
	sequenceHeader = "Gnomon-Sequence"
	headerBytes    = 256 // more than headers take

	// ownerKey of the bucket's metadata names the projection that it mirrors.
	ownerKey = "gnomon.projection"

	window      = 256     // messages that are not yet acknowledged, at most
	windowBytes = 4 << 20 // and so many bytes
	patience    = 15 * time.Second
)

// Marker says what a bucket reflects.
type Marker struct {
	Projection string    `json:"projection"`
	Generation string    `json:"generation"`
	AsOfSeq    uint64    `json:"as_of_seq"`
	AsOfTime   time.Time `json:"as_of_time,omitzero"`
	LeftOut    int       `json:"left_out,omitempty"` // keys that the bucket does not take
}

// bucket is a key-value bucket that is written to.
type bucket struct {
	js       jetstream.JetStream
	kv       jetstream.KeyValue
	name     string
	maxValue int
	marked   uint64 // revision of the marker
	last     uint64 // revision up to which everything is known: it was read, or written here

	pending []jetstream.PubAckFuture
	bytes   int // of them
}

// openBucket opens the bucket of a projection, and creates it when there is none. One that
// is somebody else's, with their keys, is refused: they would be deleted.
func openBucket(ctx context.Context, js jetstream.JetStream, name, projection string) (*bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: name, History: 1, Description: "the state of projection " + projection, Metadata: map[string]string{ownerKey: projection},
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	if owner := status.Metadata()[ownerKey]; owner != projection && (owner != "" || status.Values() > 0) {
		return nil, fmt.Errorf("bucket %s %w: it has %d values, and %s = %q in its metadata; choose another one, or remove it", name, errForeign, status.Values(), ownerKey, owner)
	}
	b := &bucket{js: js, kv: kv, name: name, maxValue: int(js.Conn().MaxPayload()) - headerBytes}
	if most := status.Config().MaxValueSize; most > 0 {
		b.maxValue = min(b.maxValue, int(most)-headerBytes)
	}
	switch entry, err := kv.Get(ctx, MarkerKey); {
	case err == nil:
		b.marked = entry.Revision()
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, fmt.Errorf("read bucket %s: %w", name, err)
	}
	return b, nil
}

// contents are the keys that the bucket holds, with sums of their values.
func (b *bucket) contents(ctx context.Context) (map[string]sum, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%w within %s", context.DeadlineExceeded, patience)) })
	defer silent.Stop()
	last, err := b.lastRevision(ctx)
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", b.name, err)
	}
	b.last = last
	w, err := b.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", b.name, err)
	}
	defer func() { _ = w.Stop() }() // ctx ends it, too
	have := map[string]sum{}
	for {
		select {
		case entry, ok := <-w.Updates():
			if !ok {
				return nil, fmt.Errorf("read bucket %s: it broke off", b.name)
			}
			if entry == nil {
				return have, nil
			}
			silent.Reset(patience)
			if entry.Key() != MarkerKey {
				have[entry.Key()] = sumOf(entry.Value())
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("read bucket %s: it does not answer: %w", b.name, context.Cause(ctx))
		}
	}
}

// lastRevision is that of the last message of the bucket, be it one that deletes.
func (b *bucket) lastRevision(ctx context.Context) (uint64, error) {
	s, err := b.js.Stream(ctx, "KV_"+b.name)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

// refuses says why the bucket does not take a key with a value; empty: it does.
func (b *bucket) refuses(key string, value []byte) string {
	switch {
	case len(key) > maxKey:
		return fmt.Sprintf("the key takes %d bytes as one of a bucket, at most %d do", len(key), maxKey)
	case len(value) > b.maxValue:
		return fmt.Sprintf("the value has %d bytes, the bucket takes %d", len(value), b.maxValue)
	}
	return ""
}

func (b *bucket) put(ctx context.Context, key string, e engine.WatchEvent) error {
	m := b.message(key)
	m.Data = append(m.Data, e.Value...)
	m.Header.Set(sequenceHeader, strconv.FormatUint(e.Sequence, 10))
	return b.send(ctx, m)
}

func (b *bucket) remove(ctx context.Context, key string) error {
	m := b.message(key)
	m.Header.Set("KV-Operation", "DEL")
	return b.send(ctx, m)
}

func (b *bucket) message(key string) *nats.Msg { return nats.NewMsg("$KV." + b.name + "." + key) }

// send sends a message. There are at most so many under way, each of another key: their
// order does not matter.
func (b *bucket) send(ctx context.Context, m *nats.Msg) error {
	if len(b.pending) == window || b.bytes > windowBytes {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	f, err := b.js.PublishMsgAsync(m)
	if err != nil {
		return fmt.Errorf("write to bucket %s: %w", b.name, err)
	}
	b.pending, b.bytes = append(b.pending, f), b.bytes+len(m.Data)
	return nil
}

// settle waits until everything that was sent is stored.
func (b *bucket) settle(ctx context.Context) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	newest := b.last
	for _, f := range b.pending {
		select {
		case ack := <-f.Ok():
			newest = max(newest, ack.Sequence)
		case err := <-f.Err():
			return fmt.Errorf("write to bucket %s: %w", b.name, err)
		case <-late.C:
			return fmt.Errorf("write to bucket %s: it was not acknowledged within %s", b.name, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if newest != b.last+uint64(len(b.pending)) {
		return b.strange(newest)
	}
	b.pending, b.bytes, b.last = b.pending[:0], 0, newest
	return nil
}

// strange is the error for messages that are not of this bucket's own: of somebody else, or
// what an attempt before this one had sent, and was given up. What is in the bucket has to be
// looked at anew then.
func (b *bucket) strange(newest uint64) error {
	return fmt.Errorf("write to bucket %s: between revisions %d and %d is something that was not written by this mirror; the bucket is compared again", b.name, b.last, newest)
}

// mark has the bucket say what it reflects. It fails when somebody else did meanwhile.
func (b *bucket) mark(ctx context.Context, m Marker) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if b.marked, err = b.kv.Update(ctx, MarkerKey, text, b.marked); err != nil {
		return fmt.Errorf("mark bucket %s at %d: %w", b.name, m.AsOfSeq, err)
	}
	if b.marked != b.last+1 {
		return b.strange(b.marked)
	}
	b.last = b.marked
	return nil
}
