package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/nats-io/nats.go/jetstream"
)

// processMap is examples/wasm-projections/process-map as a program by hand, with care:
// everything that was read stays in memory, as structs; what changed is encoded once for
// each transaction of 4,096 events, not once for each event.
type processMap struct {
	db     *badger.DB
	counts map[string]*count
	cases  map[string]*caseRow
	dirty  []row // each once
	key    []byte
	journal
}

// row is a key that encodes its value when it is committed.
type row interface {
	encode() (key, value []byte, err error)
}

// count is a row with one number.
type count struct {
	key   string
	field string // its name in the value
	n     int64
	dirty bool
}

func (c *count) encode() (key, value []byte, err error) {
	c.dirty = false
	return []byte(c.key), fmt.Appendf(nil, `{"%s":%d}`, c.field, c.n), nil
}

// caseRow is where a case stands. The order of its fields is that of the guest's values.
type caseRow struct {
	Events   int64  `json:"events"`
	First    int64  `json:"first_ms"`
	Last     int64  `json:"last_ms"`
	Activity string `json:"activity"`

	id    string
	dirty bool
}

func (c *caseRow) encode() (key, value []byte, err error) {
	c.dirty = false
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(c)
	return []byte("case\t" + c.id), bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// journal commits what a program by hand has collected, with its position, and syncs
// every half second, as the engine does.
type journal struct {
	position uint64
	pending  int
	synced   time.Time
}

// realEvent is what the projection reads of an event's data.
type realEvent struct {
	Case     string `json:"case"`
	Activity string `json:"activity"`
	Resource string `json:"resource"`
}

func (p *processMap) apply(data []byte, at string, sequence uint64) error {
	var e realEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return err
	}
	if err := p.add("events", "activity", e.Activity); err != nil {
		return err
	}
	if e.Resource != "" {
		if err := p.add("events", "resource", e.Resource); err != nil {
			return err
		}
	}
	if err := p.follow(e.Case, e.Activity, t.UnixMilli()); err != nil {
		return err
	}
	p.position = sequence
	if p.pending++; p.pending == perTransaction {
		return p.commit()
	}
	return nil
}

// add adds one to a number.
func (p *processMap) add(field, kind string, names ...string) error {
	p.key = append(p.key[:0], kind...)
	for _, n := range names {
		p.key = append(append(p.key, '\t'), n...)
	}
	c := p.counts[string(p.key)]
	if c == nil {
		var stored struct{ Events, Cases int64 }
		if _, err := p.load(p.key, &stored); err != nil {
			return err
		}
		c = &count{key: string(p.key), field: field, n: stored.Events + stored.Cases}
		p.counts[c.key] = c
	}
	if c.n++; !c.dirty {
		c.dirty = true
		p.dirty = append(p.dirty, c)
	}
	return nil
}

// follow moves a case on.
func (p *processMap) follow(id, activity string, ms int64) error {
	c := p.cases[id]
	if c == nil {
		c = &caseRow{id: id}
		present, err := p.load([]byte("case\t"+id), c)
		if err != nil {
			return err
		}
		if !present {
			c.First = ms
			if err := p.add("cases", "start", activity); err != nil {
				return err
			}
		}
		p.cases[id] = c
	}
	if c.Events > 0 {
		if err := p.add("events", "follows", c.Activity, activity); err != nil {
			return err
		}
	}
	c.Events, c.Last, c.Activity = c.Events+1, ms, activity
	if !c.dirty {
		c.dirty = true
		p.dirty = append(p.dirty, c)
	}
	return nil
}

// load decodes a row that was not read yet.
func (p *processMap) load(key []byte, into any) (present bool, err error) {
	err = p.db.View(func(tx *badger.Txn) error {
		item, err := tx.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		present = true
		return item.Value(func(v []byte) error { return json.Unmarshal(v, into) })
	})
	return present, err
}

func (p *processMap) commit() error {
	tx := p.db.NewTransaction(true)
	defer tx.Discard()
	for _, r := range p.dirty {
		key, value, err := r.encode()
		if err != nil {
			return err
		}
		if err := tx.Set(key, value); err != nil {
			return err
		}
	}
	if err := tx.Set(positionKey, binary.LittleEndian.AppendUint64(nil, p.position)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	clear(p.dirty)
	p.dirty, p.pending = p.dirty[:0], 0
	if time.Since(p.synced) > 500*time.Millisecond {
		p.synced = time.Now()
		return p.db.Sync()
	}
	return nil
}

// realNative runs the process map by hand.
func realNative(ctx context.Context, t task) (o outcome, err error) {
	began := time.Now()
	db, err := openStore(t.dir)
	if err != nil {
		return o, err
	}
	p := &processMap{db: db, counts: map[string]*count{}, cases: map[string]*caseRow{}, journal: journal{synced: began}}
	sequence := uint64(0)
	err = consume(ctx, t, func(m jetstream.Msg) error {
		sequence++ // the stream has lost none
		return p.apply(m.Data(), m.Headers().Get("ce-time"), sequence)
	})
	if err == nil {
		err = p.commit()
	}
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		return o, err
	}
	o = outcome{Events: t.events, Took: time.Since(began)}
	all, err := nativeRows(t.dir)
	if err != nil {
		return o, err
	}
	o.Keys, o.Digest = all.keys, all.digest()
	return o, nil
}

// nativeRows reads what a program by hand has left on disk, without its position.
func nativeRows(dir string) (all *rows, err error) {
	db, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	all = newRows()
	err = db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := it.Item().Key()
			if bytes.Equal(key, positionKey) {
				continue
			}
			if err := it.Item().Value(func(v []byte) error { all.add(key, v); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}
