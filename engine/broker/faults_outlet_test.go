package broker_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
)

// relay publishes messages as the engine does: after a call that failed it asks what the
// stream holds before it goes on.
type relay struct {
	outlet *broker.Outlet
	stored atomic.Int64 // messages that are known to be
	failed int          // calls
}

// publish publishes messages, a part at a time, until all are stored.
func (r *relay) publish(ctx context.Context, messages []streams.Message, part int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	mark, all := uint64(0), len(messages)
	for len(messages) > 0 {
		n, last, err := r.outlet.Publish(ctx, "T", messages[:min(part, len(messages))])
		for messages, mark = messages[n:], max(mark, last); err != nil; {
			if r.failed++; ctx.Err() != nil {
				return err
			}
			found := map[string]uint64{}
			if err = r.outlet.Stored(ctx, "T", []string{"e.>"}, mark, func(id string, seq uint64) bool { found[id] = seq; return true }); err != nil {
				<-time.After(20 * time.Millisecond)
				continue
			}
			for ; len(messages) > 0 && found[messages[0].ID] > 0; messages = messages[1:] {
				mark = found[messages[0].ID]
			}
		}
		r.stored.Store(int64(all - len(messages)))
	}
	return nil
}

// While the leader of a target stream with three replicas is made to step down again and
// again, and one of the servers is restarted, each message is stored once, in order.
func TestOutletLeaderChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take a while: make faults runs it")
	}
	const changes = 4
	for _, allowed := range []bool{true, false} {
		t.Run(fmt.Sprint("atomic ", allowed), func(t *testing.T) {
			c := natstest.StartCluster(t)
			c.Create(jetstream.StreamConfig{Name: "T", Subjects: []string{"e.>"}, AllowAtomicPublish: allowed})
			b := open(t, broker.Config{URL: c.URL()})
			testutil.Until(t, func() bool { return works(t, b) == nil })
			m := emits(slices.Repeat([]int{1, 3, 2, 5}, 120)...)
			r, done := &relay{outlet: b.Outlet()}, make(chan error, 1)
			go func() { done <- r.publish(t.Context(), m, 20) }()
			for n := range changes {
				testutil.Until(t, func() bool { return r.stored.Load() >= int64(n*len(m)/(changes+2)) })
				if n == changes/2 {
					c.RestartOther("T")
				} else {
					c.StepDown("T")
				}
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			t.Logf("%d changes of %d messages, %d calls failed", changes, len(m), r.failed)
			var got []string
			err := r.outlet.Stored(t.Context(), "T", []string{">"}, 0, func(id string, _ uint64) bool { got = append(got, id); return true })
			if err != nil || !slices.Equal(got, ids(1, len(m))) {
				t.Errorf("stored are %d, want %d: %v", len(got), len(m), err)
			}
		})
	}
}
