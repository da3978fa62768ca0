package ingest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/ingest"
	"gnomon/internal/testutil/natstest"
)

// While the leader of a stream with three replicas is made to step down again and
// again, and one of the servers is restarted, a projection applies every event once, in
// order.
func TestLeaderChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take a while: make faults runs it")
	}
	const events, changes = 3000, 12
	c := natstest.StartCluster(t)
	c.Create(jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	js := c.JetStream()
	r := &rig{t: t, js: js, source: ingest.New(js, func(err error) error { return err })}
	p := r.project(nil)
	done := make(chan error, 1)
	go func() { done <- publishAll(t.Context(), c.JetStream(), events) }()
	for n := range changes {
		at := uint64(n+1) * events / (changes + 2)
		p.await(fmt.Sprint("event ", at), func(s engine.Status) bool { return s.Position >= at })
		if n == changes/2 {
			c.RestartOther("S")
			continue
		}
		c.StepDown("S")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.awaitLive(events)
	if got, want := p.ledger(), numbers(1, events); got != want {
		t.Errorf("the ledger has %d events and %d bytes, want %d", strings.Count(got, " "), len(got), len(want))
	}
}

// publishAll stores numbers, in order, each once: one whose storing is in doubt is
// published again under the same id.
func publishAll(ctx context.Context, js jetstream.JetStream, events int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for n := 1; n <= events && ctx.Err() == nil; {
		if publishOnce(ctx, js, n) == nil {
			n++
		}
	}
	return ctx.Err()
}

// publishOnce gives up early: a leader that stepped down may never answer.
func publishOnce(ctx context.Context, js jetstream.JetStream, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience/100)
	defer cancel()
	_, err := js.Publish(ctx, "s.n", fmt.Append(nil, n), jetstream.WithMsgID(fmt.Sprint(n)), jetstream.WithRetryAttempts(0))
	return err
}
