package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// streamName is the stream of the suite.
const streamName = "BENCH"

// accounts of a stream, where nothing else is said.
const accounts = 10_000

// movements is a stream: event n moves a pseudo-random amount of an account. Bodies
// have about 200 bytes.
type movements struct {
	stream string
	events int
	keys   int // accounts
	// walk visits every account once before it visits one again, in an order without
	// locality; otherwise accounts are pseudo-random.
	walk bool
}

// movement is one event of a stream.
type movement struct {
	n, account int
	amount     int64
}

// stride is a prime, and so visits every account whatever their number is, unless that
// is a multiple of it.
const stride = 2_654_435_761

// each calls fn for every event in order.
func (s movements) each(fn func(m movement) error) error {
	rnd := uint64(1)
	for n := 1; n <= s.events; n++ {
		rnd = rnd*6364136223846793005 + 1442695040888963407
		m := movement{n: n, account: int(rnd>>33) % s.keys, amount: int64(rnd>>40)%20_000 - 10_000}
		if s.walk {
			m.account = n * stride % s.keys
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// sum is that of all amounts.
func (s movements) sum() (sum int64) {
	_ = s.each(func(m movement) error { sum += m.amount; return nil })
	return sum
}

// key is the account as the projections name it.
func (m movement) key() string { return accountKey(m.account) }

func accountKey(account int) string { return fmt.Sprintf("acct-%05d", account) }

func (m movement) subject(stream string) string {
	return fmt.Sprintf("%s.moved.%d", stream, m.account%100)
}

func (m movement) body() []byte {
	return fmt.Appendf(nil, `{"id":"tx-%012d","kind":"transfer","account":"%s","amount":%d,"currency":"EUR","booked":"2026-03-01T10:00:%02d.%03dZ","text":"invoice %d of a customer who pays in time"}`,
		m.n, m.key(), m.amount, m.n/1000%60, m.n%1000, m.n)
}

// seed fills a stream, unless the server has it already.
func (s movements) seed(ctx context.Context, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	st, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: s.stream, Subjects: []string{s.stream + ".>"}})
	if err != nil {
		return err
	}
	switch n := st.CachedInfo().State.LastSeq; n {
	case uint64(s.events):
		return nil
	case 0:
	default:
		return fmt.Errorf("stream %s has %d events, not %d: give another folder with -work", s.stream, n, s.events)
	}
	err = s.each(func(m movement) error {
		if err := nc.Publish(m.subject(s.stream), m.body()); err != nil {
			return err
		}
		if m.n%2000 == 0 {
			return settle(ctx, st, uint64(m.n))
		}
		return nil
	})
	return errors.Join(err, settle(ctx, st, uint64(s.events)))
}

// settle waits until the stream holds n events.
func settle(ctx context.Context, st jetstream.Stream, n uint64) error {
	for {
		info, err := st.Info(ctx)
		if err != nil {
			return err
		}
		if info.State.Msgs == n {
			return nil
		}
	}
}
