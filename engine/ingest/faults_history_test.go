package ingest_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
	"gnomon/sdk/abi"
)

// An older copy of a server's files that is restored under an engine, and grows again
// past what was read, is told from the stream that was read, although its name and the
// time of its creation are the same: it holds another event at the position, or ends
// before it.
func TestOlderCopyRestored(t *testing.T) {
	for name, c := range map[string]struct {
		more   int // events that the copy stores after it was restored
		reason string
	}{
		"shorter": {0, "stream S ends at sequence 15, but events up to 20 were applied"},
		"longer":  {15, "stream S holds another event at sequence 20 than was applied"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRig(t, natstest.Dir(dir))
			r.fill(1, 15)
			r.stopServer()
			older := t.TempDir()
			if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			r.startServer()
			r.fill(16, 20)
			p := r.project(nil)
			p.awaitLive(20)
			p.stop()

			r.stopServer()
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(dir, os.DirFS(older)); err != nil {
				t.Fatal(err)
			}
			r.startServer()
			if c.more > 0 {
				r.fill(101, 100+c.more)
			}
			p.start()
			p.wantDiverged(c.reason, numbers(1, 20))
		})
	}
}

// stopServer stops the server, and waits until its client has noticed.
func (r *rig) stopServer() {
	r.t.Helper()
	r.server.Stop()
	testutil.Until(r.t, func() bool { return !r.js.Conn().IsConnected() })
}

// startServer starts it again, and waits until S answers.
func (r *rig) startServer() {
	r.t.Helper()
	r.server.Restart()
	testutil.Until(r.t, func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		_, err := r.js.Stream(ctx, "S")
		return err == nil
	})
}

// A stream that is deleted and made again while it is read is another one, whether it
// ends before the position or after it.
func TestRecreatedWhileReading(t *testing.T) {
	for name, events := range map[string]int{"shorter": 5, "longer": 60} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fill(1, 20)
			p := r.project(nil)
			p.awaitLive(20)
			if err := r.js.DeleteStream(t.Context(), "S"); err != nil {
				t.Fatal(err)
			}
			r.create(jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Storage: jetstream.MemoryStorage})
			r.fill(1, events)
			p.wantDiverged("stream S was created at", numbers(1, 20))
		})
	}
}

// Limits of a stream that overtake a slow reader are noticed where the events are
// missing: what the server had sent before is applied, and nothing behind the gap is.
func TestRetentionOvertakesReader(t *testing.T) {
	r := newRig(t)
	stream := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxMsgs: 50}
	if _, err := r.js.UpdateStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	r.fill(1, 20)
	reached, goOn := make(chan struct{}), make(chan struct{})
	p := r.project(func(e abi.Record) {
		if e.Sequence == 10 {
			close(reached)
			<-goOn
		}
	})
	<-reached
	r.deleteConsumers() // or the server would send what it still has
	r.fill(21, 220)
	close(goOn)
	p.wantDiverged("stream S begins at sequence 171, but 21 is the next to apply: 150 sequences were removed", numbers(1, 20))
}
