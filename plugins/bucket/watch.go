package bucket

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// watch has the server tell when objects are put and deleted. It is an ordered consumer,
// which comes back by itself when the server does; where it does not, looking finds the
// change, a little later.
type watch struct {
	js      jetstream.JetStream
	bucket  string
	kick    chan struct{} // something was told
	created time.Time     // of the stream that is watched
	on      jetstream.ConsumeContext
}

// ensure watches a bucket that was created at a time, unless that is watched already. It
// reports whether it began to.
func (w *watch) ensure(ctx context.Context, created time.Time) bool {
	if w.on != nil && created.Equal(w.created) {
		return false
	}
	w.created = created
	w.renew(ctx)
	return true
}

// renew begins to watch anew.
func (w *watch) renew(ctx context.Context) {
	w.stop()
	consumer, err := w.js.OrderedConsumer(ctx, streamOf(w.bucket), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{metaOf(w.bucket) + ">"}, DeliverPolicy: jetstream.DeliverNewPolicy, HeadersOnly: true,
	})
	if err != nil {
		return // there is looking
	}
	if w.on, err = consumer.Consume(func(jetstream.Msg) { w.tell() }); err != nil {
		w.on = nil
		return
	}
	w.tell() // something may have happened before
}

func (w *watch) tell() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

func (w *watch) stop() {
	if w.on != nil {
		w.on.Stop()
		w.on = nil
	}
}

// wait waits until something is told, for d at most, and reports whether it was.
func (w *watch) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.kick:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
