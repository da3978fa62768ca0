package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
)

// batchOf are messages of s.N, each with its id and a number of bytes.
func batchOf(first, n, bytes int) (all []*nats.Msg) {
	for i := first; i < first+n; i++ {
		all = append(all, &nats.Msg{Subject: fmt.Sprint("s.", i), Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint(i)}}, Data: make([]byte, bytes)})
	}
	return all
}

// An atomic batch is stored whole and in order, however large it is.
func TestAtomicBatchIsStored(t *testing.T) {
	for name, size := range map[string]struct{ n, bytes int }{
		"one": {1, 10}, "a few": {3, 10}, "as many as a server takes": {1000, 10}, "large ones": {40, 500_000},
	} {
		t.Run(name, func(t *testing.T) {
			b := embedded(t)
			s := create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true})
			last, err := broker.PublishAtomic(b, t.Context(), batchOf(1, size.n, size.bytes))
			if err != nil || last != uint64(size.n) {
				t.Fatalf("stored up to %d, %v", last, err)
			}
			for _, i := range []int{1, (size.n + 1) / 2, size.n} {
				m, err := s.GetMsg(t.Context(), uint64(i))
				if err != nil || m.Subject != fmt.Sprint("s.", i) || m.Header.Get("Nats-Msg-Id") != fmt.Sprint(i) || len(m.Data) != size.bytes {
					t.Errorf("at %d is %+v, %v", i, m, err)
				}
			}
		})
	}
}

// Nothing of an atomic batch is stored when one of its messages cannot be, wherever that is,
// and the error says why.
func TestAtomicBatchIsRefused(t *testing.T) {
	config := func(change func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		c := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true}
		change(&c)
		return c
	}
	with := func(n int, change func(*nats.Msg)) []*nats.Msg {
		all := batchOf(1, 5, 10)
		change(all[n])
		return all
	}
	large := func(m *nats.Msg) { m.Data = make([]byte, 1000) }
	twice := func(m *nats.Msg) { m.Header.Set("Nats-Msg-Id", "1") }
	elsewhere := func(m *nats.Msg) { m.Header.Set("Nats-Expected-Stream", "T") }
	small := config(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 500 })
	for _, tt := range []struct {
		name   string
		stream jetstream.StreamConfig
		batch  []*nats.Msg
		code   jetstream.ErrorCode
	}{
		{"not allowed", config(func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }), batchOf(1, 5, 10), 10174},
		{"the first is too large", small, with(0, large), 10054},
		{"one amid is too large", small, with(2, large), 10054},
		{"the last is too large", small, with(4, large), 10054},
		{"an id that is there twice", config(func(*jetstream.StreamConfig) {}), with(3, twice), 10201},
		{"another stream is expected", config(func(*jetstream.StreamConfig) {}), with(3, elsewhere), 10060},
		{"the stream is full", config(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 3, jetstream.DiscardNew }), batchOf(1, 5, 10), 10077},
		{"more than a server takes", config(func(*jetstream.StreamConfig) {}), batchOf(1, 1001, 10), 10199},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := embedded(t)
			s := create(t, b.JetStream(), tt.stream)
			_, err := broker.PublishAtomic(b, t.Context(), tt.batch)
			var refused *jetstream.APIError
			if !errors.As(err, &refused) || refused.ErrorCode != tt.code {
				t.Errorf("refused with %v, want code %d", err, tt.code)
			}
			info, err := s.Info(t.Context())
			if err != nil || info.State.Msgs != 0 {
				t.Errorf("stored are %d, %v", info.State.Msgs, err)
			}
		})
	}
	t.Run("no stream", func(t *testing.T) {
		if _, err := broker.PublishAtomic(embedded(t), t.Context(), batchOf(1, 3, 10)); !errors.Is(err, jetstream.ErrNoStreamResponse) {
			t.Errorf("refused with %v", err)
		}
	})
	t.Run("nobody waits", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := broker.PublishAtomic(embedded(t), ctx, batchOf(1, 3, 10)); !errors.Is(err, context.Canceled) {
			t.Errorf("refused with %v", err)
		}
	})
}
