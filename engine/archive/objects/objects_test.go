package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/archive"
	"gnomon/engine/archive/objects"
	"gnomon/engine/enginetest"
	"gnomon/engine/state"
	"gnomon/internal/testutil/natstest"
)

func open(t *testing.T) *objects.Bucket {
	t.Helper()
	b, err := objects.Open(t.Context(), natstest.Start(t).JetStream(t), "snapshots", true)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b *objects.Bucket, name string, content []byte) objects.Info {
	t.Helper()
	info, err := b.Put(t.Context(), name, func(w io.Writer) error { _, err := w.Write(content); return err })
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t *testing.T, b *objects.Bucket, name string) []byte {
	t.Helper()
	r, err := b.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// What is put is what is got, whatever its size and however it is written; it can be
// replaced, listed and removed.
func TestObjects(t *testing.T) {
	b := open(t)
	if list, err := b.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("an empty bucket has %v, %v", list, err)
	}
	large := bytes.Repeat([]byte("0123456789"), 100_000)
	_, err := b.Put(t.Context(), "large", func(w io.Writer) error {
		for at := 0; at < len(large); at += 7777 {
			if _, err := w.Write(large[at:min(at+7777, len(large))]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "empty", nil)
	put(t, b, "replaced", []byte("old"))
	if info := put(t, b, "replaced", []byte("newer")); info.Size != 5 || info.Name != "replaced" {
		t.Errorf("info %+v", info)
	}
	for name, want := range map[string][]byte{"large": large, "empty": {}, "replaced": []byte("newer")} {
		if got := get(t, b, name); !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, want %d", name, len(got), len(want))
		}
	}
	if err := b.Remove(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "empty" || list[1].Name != "replaced" || list[1].Size != 5 || list[1].Modified.IsZero() {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := b.Get(t.Context(), "large"); !errors.Is(err, objects.ErrAbsent) {
		t.Errorf("get: %v", err)
	}
	if err := b.Remove(t.Context(), "never"); !errors.Is(err, objects.ErrAbsent) {
		t.Errorf("remove: %v", err)
	}
}

// A put that fails half way leaves what had the name before, and fails as its writer did.
func TestPutThatFails(t *testing.T) {
	b := open(t)
	put(t, b, "name", []byte("before"))
	broken := errors.New("broken")
	_, err := b.Put(t.Context(), "name", func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if got := get(t, b, "name"); string(got) != "before" {
		t.Errorf("%q", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	_, err = b.Put(ctx, "name", func(w io.Writer) error {
		stop()
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := get(t, b, "name"); string(got) != "before" {
		t.Errorf("%q", got)
	}
}

// A reader may take longer over an object than the client would wait for an answer, and
// ends when its caller does.
func TestSlowReader(t *testing.T) {
	const answer = 200 * time.Millisecond
	js, err := jetstream.New(natstest.Start(t).Connect(t), jetstream.WithDefaultTimeout(answer))
	if err != nil {
		t.Fatal(err)
	}
	b, err := objects.Open(t.Context(), js, "snapshots", true)
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("0123456789"), 200_000)
	put(t, b, "large", large)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := b.Get(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, len(large)-1)
	if _, err := io.ReadFull(r, got[:100]); err != nil {
		t.Fatal(err)
	}
	<-time.After(3 * answer)
	if _, err := io.ReadFull(r, got[100:]); err != nil || !bytes.Equal(got, large[:len(got)]) {
		t.Fatalf("%v", err)
	}
	stop()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A bucket that is absent is made only when it is asked for.
func TestAbsentBucket(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	if _, err := objects.Open(t.Context(), js, "snapshots", false); !errors.Is(err, objects.ErrAbsent) {
		t.Errorf("%v", err)
	}
	for _, create := range []bool{true, true, false} {
		if _, err := objects.Open(t.Context(), js, "snapshots", create); err != nil {
			t.Errorf("create %v: %v", create, err)
		}
	}
}

// An archive goes from one keyspace into another through a bucket.
func TestArchiveByWayOfABucket(t *testing.T) {
	b := open(t)
	ks := enginetest.NewKeyspace()
	ks.Max = state.TxLimit{Writes: 1 << 20, Bytes: 1 << 30}
	c := state.Commit{Checkpoint: state.Checkpoint{Version: state.VersionAt(7), Position: state.Position{Stream: "S", Sequence: 7}}}
	for i := range 20_000 {
		key, value := fmt.Append(nil, "key/", i), fmt.Append(nil, i*i)
		c.Checkpoint.Keys, c.Checkpoint.Bytes = c.Checkpoint.Keys+1, c.Checkpoint.Bytes+int64(len(key)+len(value))
		c.Checkpoint.Digest.Add(state.Term(key, value))
		c.Writes = append(c.Writes, state.Write{Key: string(key), Value: value})
	}
	if _, err := ks.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	info, err := b.Put(t.Context(), "p.gnar", func(w io.Writer) error {
		_, err := archive.Write(t.Context(), w, archive.Export{Source: ks, Version: c.Checkpoint.Version, About: archive.About{Projection: "p"}})
		return err
	})
	if err != nil || info.Size == 0 {
		t.Fatalf("%+v, %v", info, err)
	}
	file, err := b.Get(t.Context(), "p.gnar")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := archive.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := r.Import(t.Context(), new(enginetest.Store), "p", "g")
	if err != nil || ck.Digest != c.Checkpoint.Digest || ck.Keys != 20_000 {
		t.Errorf("%+v, %v", ck, err)
	}
}
