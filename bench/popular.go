package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/dgraph-io/badger/v4"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// each applies one event in a transaction of its own.
func each(db *badger.DB, data []byte, sequence uint64) error {
	account, amount, err := decode(data)
	if err != nil {
		return err
	}
	return db.Update(func(tx *badger.Txn) error {
		balance := int64(0)
		item, err := tx.Get(account)
		switch {
		case err == nil:
			err = item.Value(func(v []byte) error { balance = balanceOf(v); return nil })
		case errors.Is(err, badger.ErrKeyNotFound):
			err = nil
		}
		if err != nil {
			return err
		}
		if err := tx.Set(account, balanceBytes(balance+amount)); err != nil {
			return err
		}
		return tx.Set(positionKey, binary.LittleEndian.AppendUint64(nil, sequence))
	})
}

// total adds up all balances.
func total(db *badger.DB) (sum int64, err error) {
	err = db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if it.Item().Key()[0] == positionKey[0] {
				continue
			}
			if err := it.Item().Value(func(v []byte) error { sum += balanceOf(v); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	return sum, err
}

// ackEach is what most people write.
func ackEach(ctx context.Context, t task) (o outcome, err error) {
	db, err := openStore(t.dir)
	if err != nil {
		return o, err
	}
	nc, st, err := connect(ctx, t)
	if err != nil {
		return o, err
	}
	defer nc.Close()
	name := "ack-" + time.Now().Format("150405.000000")[7:]
	began := time.Now()
	c, err := st.CreateConsumer(ctx, natsjs.ConsumerConfig{Durable: name, AckPolicy: natsjs.AckExplicitPolicy})
	if err != nil {
		return o, err
	}
	done := make(chan error, 1)
	seen := uint64(0)
	cc, err := c.Consume(func(m natsjs.Msg) {
		if seen == t.events {
			return
		}
		seen++
		err := errors.Join(each(db, m.Data(), seen), m.Ack())
		if err != nil || seen == t.events {
			seen = t.events
			done <- err
		}
	})
	if err != nil {
		return o, err
	}
	err = errors.Join(<-done, db.Sync())
	took := time.Since(began)
	cc.Stop()
	sum, terr := total(db)
	return outcome{Events: t.events, Took: took, Sum: sum},
		errors.Join(err, terr, db.Close(), st.DeleteConsumer(context.WithoutCancel(ctx), name))
}

// watermillRouter is a handler in Watermill's router, with its NATS subscriber as it
// comes.
func watermillRouter(ctx context.Context, t task) (o outcome, err error) {
	db, err := openStore(t.dir)
	if err != nil {
		return o, err
	}
	nc, st, err := connect(ctx, t)
	if err != nil {
		return o, err
	}
	defer nc.Close()
	name := "watermill-" + time.Now().Format("150405.000000")[7:]
	sub, err := jetstream.NewSubscriber(jetstream.SubscriberConfig{
		Conn: nc, Logger: watermill.NopLogger{},
		ResourceInitializer: func(ctx context.Context, _ natsjs.JetStream, _ string) (natsjs.Consumer, func(context.Context, watermill.LoggerAdapter), error) {
			c, err := st.CreateConsumer(ctx, natsjs.ConsumerConfig{Durable: name, AckPolicy: natsjs.AckExplicitPolicy})
			return c, nil, err
		},
	})
	if err != nil {
		return o, err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return o, err
	}
	var once sync.Once
	done := make(chan error, 1)
	seen := uint64(0)
	router.AddConsumerHandler("balance", t.stream, sub, func(m *message.Message) error {
		if seen == t.events {
			return nil
		}
		seen++
		err := each(db, m.Payload, seen)
		if err != nil || seen == t.events {
			once.Do(func() { done <- err })
		}
		return err
	})
	began := time.Now()
	go func() {
		if err := router.Run(ctx); err != nil {
			once.Do(func() { done <- err })
		}
	}()
	err = errors.Join(<-done, db.Sync())
	took := time.Since(began)
	sum, terr := total(db)
	// The router is left to the end of the process: closing it closes a channel that its
	// subscriber, which has more messages, may be sending on.
	return outcome{Events: t.events, Took: took, Sum: sum},
		errors.Join(err, terr, db.Close(), st.DeleteConsumer(context.WithoutCancel(ctx), name))
}
