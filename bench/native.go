package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connect opens the stream of a task.
func connect(ctx context.Context, t task) (*nats.Conn, jetstream.Stream, error) {
	nc, err := nats.Connect(t.url)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, err
	}
	st, err := js.Stream(ctx, t.stream)
	return nc, st, err
}

// consume calls fn for the first n events, with the fastest consumer that the client
// has: no acknowledgements, pulls of 5,000.
func consume(ctx context.Context, t task, fn func(m jetstream.Msg) error) error {
	nc, st, err := connect(ctx, t)
	if err != nil {
		return err
	}
	defer nc.Close()
	c, err := st.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	seen := uint64(0)
	cc, err := c.Consume(func(m jetstream.Msg) {
		if seen == t.events {
			return
		}
		if seen++; seen == t.events {
			done <- fn(m)
		} else if err := fn(m); err != nil {
			seen = t.events
			done <- err
		}
	}, jetstream.PullMaxMessages(5000))
	if err != nil {
		return err
	}
	defer cc.Stop()
	return <-done
}

// readOnly is the bound of all others.
func readOnly(ctx context.Context, t task) (outcome, error) {
	began := time.Now()
	err := consume(ctx, t, func(jetstream.Msg) error { return nil })
	return outcome{Events: t.events, Took: time.Since(began), NoState: true}, err
}

// readRaw reads as the engine does: two requests of its own ahead.
func readRaw(ctx context.Context, t task) (outcome, error) {
	nc, st, err := connect(ctx, t)
	if err != nil {
		return outcome{}, err
	}
	defer nc.Close()
	began := time.Now()
	c, err := st.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		return outcome{}, err
	}
	const batch = 4096
	info := c.CachedInfo()
	subject, inbox := "$JS.API.CONSUMER.MSG.NEXT."+info.Stream+"."+info.Name, nc.NewInbox()
	request := fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, batch, 5*time.Minute)
	done, seen := make(chan error, 2), uint64(0)
	sub, err := nc.Subscribe(inbox, func(m *nats.Msg) {
		if seen++; seen == t.events {
			done <- nil
		} else if seen%batch == 0 {
			if err := nc.PublishRequest(subject, inbox, request); err != nil {
				done <- err
			}
		}
	})
	if err != nil {
		return outcome{}, err
	}
	err = errors.Join(sub.SetPendingLimits(-1, -1), nc.PublishRequest(subject, inbox, request), nc.PublishRequest(subject, inbox, request))
	if err == nil {
		err = <-done
	}
	return outcome{Events: t.events, Took: time.Since(began), NoState: true}, err
}

// openStore opens Badger with settings as good as the engine's own.
func openStore(dir string) (*badger.DB, error) {
	return badger.Open(badger.DefaultOptions(dir).WithLogger(nil).
		WithMemTableSize(8 << 20).WithNumMemtables(3).WithBlockCacheSize(8 << 20).WithIndexCacheSize(0).
		WithCompression(options.None).WithDetectConflicts(false).WithSyncWrites(false).WithMetricsEnabled(false))
}

var positionKey = []byte("\x00position")

// book is the state of a program written by hand: balances in memory over Badger,
// and a transaction with the position for each so many events.
type book struct {
	db       *badger.DB
	balances map[string]int64
	dirty    map[string]struct{}
	position uint64
	pending  int
	synced   time.Time
}

const perTransaction = 4096

func (b *book) move(account []byte, amount int64, sequence uint64) error {
	balance, ok := b.balances[string(account)]
	if !ok {
		var err error
		if balance, err = b.read(account); err != nil {
			return err
		}
	}
	key := string(account)
	b.balances[key] = balance + amount
	b.dirty[key] = struct{}{}
	b.position = sequence
	if b.pending++; b.pending == perTransaction {
		return b.commit()
	}
	return nil
}

func (b *book) read(account []byte) (balance int64, err error) {
	err = b.db.View(func(tx *badger.Txn) error {
		item, err := tx.Get(account)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error { balance = balanceOf(v); return nil })
	})
	return balance, err
}

// commit writes what changed with the position, and syncs every half second, as the
// engine does.
func (b *book) commit() error {
	tx := b.db.NewTransaction(true)
	defer tx.Discard()
	for key := range b.dirty {
		if err := tx.Set([]byte(key), balanceBytes(b.balances[key])); err != nil {
			return err
		}
	}
	if err := tx.Set(positionKey, binary.LittleEndian.AppendUint64(nil, b.position)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	clear(b.dirty)
	b.pending = 0
	if time.Since(b.synced) > 500*time.Millisecond {
		b.synced = time.Now()
		return b.db.Sync()
	}
	return nil
}

func (b *book) sum() (sum int64) {
	for _, n := range b.balances {
		sum += n
	}
	return sum
}

func nativeScanned(ctx context.Context, t task) (outcome, error) { return native(ctx, t, scan) }
func nativeDecoded(ctx context.Context, t task) (outcome, error) { return native(ctx, t, decode) }

func native(ctx context.Context, t task, fields func([]byte) ([]byte, int64, error)) (o outcome, err error) {
	began := time.Now()
	db, err := openStore(t.dir)
	if err != nil {
		return o, err
	}
	b := &book{db: db, balances: map[string]int64{}, dirty: map[string]struct{}{}, synced: time.Now()}
	sequence := uint64(0)
	err = consume(ctx, t, func(m jetstream.Msg) error {
		sequence++ // the consumer's own numbers are contiguous, and those of this stream are, too
		account, amount, err := fields(m.Data())
		if err != nil {
			return err
		}
		return b.move(account, amount, sequence)
	})
	if err == nil {
		err = b.commit()
	}
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		return o, err
	}
	if b.position != t.events {
		return o, fmt.Errorf("stopped at %d", b.position)
	}
	return outcome{Events: t.events, Took: time.Since(began), Sum: b.sum()}, nil
}
