package main

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/mirror"
)

// bucketOf is what a bucket holds, as any client of NATS reads it; nil: it cannot be read at
// present.
func bucketOf(ctx context.Context, js jetstream.JetStream, bucket string) map[string]string {
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return nil
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil
	}
	defer func() { _ = w.Stop() }()
	rows := map[string]string{}
	for entry := range w.Updates() {
		if entry == nil {
			return rows
		}
		if key, err := mirror.DecodeKey(entry.Key()); err == nil {
			rows[cli.Readable(key)] = cli.Readable(entry.Value())
		}
	}
	return nil
}

// A bucket that mirrors a state is exact again whenever the engine was killed, with its
// server or while events come; it comes and goes with the configuration.
func TestKilledWhileMirroring(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	h := newHome(t, "log.>", projection("count", "count.wasm", "[projection.kv]", `bucket = "COUNTS"`))
	h.configure("", "[nats.embedded]\nlisten = \""+address+"\"")
	p := h.serve()
	conn, err := natsgo.Connect("nats://"+address, natsgo.MaxReconnects(-1), natsgo.ReconnectWait(20*time.Millisecond), natsgo.RetryOnFailedConnect(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	inStep := func(at uint64) {
		t.Helper()
		p.await("count", "the bucket is in step", func(s engine.Status) bool {
			return s.State == engine.Live && s.Position == at && s.Mirror != nil && s.Mirror.Sequence == at && s.Mirror.Error == ""
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if got, want := bucketOf(ctx, js, "COUNTS"), p.readable("count"); !maps.Equal(got, want) || len(want) == 0 {
			t.Fatalf("the bucket has %v, the state is %v", got, want)
		}
	}
	p.publish(0, 100)
	inStep(100)
	rounds, sent := 4, 100
	for range rounds {
		stored := make(chan struct{})
		go func() {
			defer close(stored)
			for {
				if _, err := p.client.Import(context.Background(), "LOG", eventLines(sent, 20)); err != nil {
					return
				}
				sent += 20
				stored <- struct{}{}
			}
		}()
		for range 1 + rand.N(10) { // the kill comes amid the next one
			<-stored
		}
		p.signal(syscall.SIGKILL)
		for range stored {
		}
		if _, err := p.wait(); !killedBy(err, syscall.SIGKILL) {
			t.Fatal(err)
		}
		p = h.serve()
		p.publish(sent, 20) // those that were stored are there once
		sent += 20
		inStep(uint64(sent))
	}
	h.replace(`bucket = "COUNTS"`, `bucket = ""`)
	if _, err := p.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := p.await("count", "it is live", func(s engine.Status) bool { return s.State == engine.Live }); s.Mirror != nil {
		t.Errorf("it is mirrored still: %+v", s.Mirror)
	}
}
