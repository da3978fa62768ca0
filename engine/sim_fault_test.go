package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/enginetest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// weather is how likely calls fail, and how long they take.
type weather struct {
	source, reader, commit, sync, memory, read float64
	instance, guest, outlet                    float64
	slow                                       time.Duration // for a tenth of the calls
}

// life is one run of the engine's process. When it is over nothing that the engine
// still does has any effect: it only has to come to an end.
type life struct {
	engine *engine.Engine
	dice   *dice
	sky    *atomic.Pointer[weather]
	seen   *trace
	over   chan struct{}
	views  atomic.Int64

	mu    sync.Mutex
	dead  bool
	fuse  int  // store calls until it ends; 0: none
	after bool // the last of them has its effect
}

var errCrashed = errors.New("the process is gone")

// light makes the life end at a later call of the store.
func (l *life) light(calls int, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fuse, l.after = calls, after
}

func (l *life) end(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(why)
}

func (l *life) endLocked(why string) {
	if !l.dead {
		l.dead = true
		close(l.over)
		l.seen.saw("the process ends: %s", why)
	}
}

func (l *life) isOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// do makes a call of the store, before, during or after which the life may end. Then
// the caller never learns what came of it.
func (l *life) do(what string, call func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock() // so that nothing is done by a process that is gone
	if l.dead {
		return errCrashed
	}
	last := false
	if l.fuse > 0 {
		l.fuse--
		last = l.fuse == 0
	}
	if last && !l.after {
		l.endLocked("before " + what)
		return errCrashed
	}
	err := call()
	if last {
		l.endLocked("after " + what)
		return errCrashed
	}
	return err
}

func (l *life) dawdle(kind string) {
	if d := l.sky.Load().slow; d > 0 && l.dice.hit("slow "+kind, 0.1) {
		time.Sleep(time.Duration(l.dice.roll("how slow "+kind) * float64(d))) // of the bubble
	}
}

// simStore is the store as one life sees it.
type simStore struct {
	*life
	world *simWorld
}

// Open implements state.Store.
func (s simStore) Open(ctx context.Context, name, generation string, create bool) (ks state.Keyspace, err error) {
	err = s.do("open of "+name, func() error {
		opened, err := s.world.store.Open(ctx, name, generation, create)
		if err == nil {
			ks = &simKeyspace{Keyspace: opened.(*enginetest.Keyspace), life: s.life, name: name}
			s.world.opened(name, generation, opened.(*enginetest.Keyspace))
		}
		return err
	})
	return ks, err
}

// Remove implements state.Store.
func (s simStore) Remove(name, generation string) error {
	return s.do("removal of "+name, func() error {
		s.world.removed(name, generation)
		return s.world.store.Remove(name, generation)
	})
}

// simKeyspace is a keyspace as one life sees it.
type simKeyspace struct {
	*enginetest.Keyspace
	life *life
	name string
}

var errDisk = errors.New("input/output error")

// Commit implements state.Keyspace. One that fails leaves nothing.
func (k *simKeyspace) Commit(ctx context.Context, c state.Commit) (ck state.Checkpoint, err error) {
	k.life.dawdle("commit " + k.name)
	if k.life.dice.hit("commit "+k.name, k.life.sky.Load().commit) {
		k.life.seen.saw("%s: commit at %d fails", k.name, c.Checkpoint.Position.Sequence)
		return ck, errDisk
	}
	err = k.life.do(fmt.Sprintf("commit of %s at %d", k.name, c.Checkpoint.Position.Sequence), func() error {
		if err := k.sizes(c); err != nil {
			return err
		}
		ck, err = k.Keyspace.Commit(ctx, c)
		return err
	})
	return ck, err
}

// sizes holds what a commit says of the rows that it replaces against them.
func (k *simKeyspace) sizes(c state.Commit) error {
	at := c.Since
	if last, err := k.Keyspace.Latest(); at == 0 && err == nil {
		at = last.Version
	}
	v, err := k.Keyspace.View(at)
	if err != nil {
		return err
	}
	defer v.Close()
	for _, w := range c.Writes {
		if old, _, _ := v.Get([]byte(w.Key)); len(old) != w.OldSize {
			k.life.seen.saw("BUG %s: commit at %d says that it replaces %d bytes of %q, which are %d", k.name, c.Checkpoint.Position.Sequence, w.OldSize, w.Key, len(old))
			return fmt.Errorf("size of %q: %w", w.Key, state.ErrCorrupt)
		}
	}
	return nil
}

// Sync implements state.Keyspace. It does not take time: a rebuild waits for it with a
// lock, and the bubble's clock would stand still.
func (k *simKeyspace) Sync(ctx context.Context) (v state.Version, err error) {
	if k.life.dice.hit("sync "+k.name, k.life.sky.Load().sync) {
		return k.Keyspace.Durable(), errDisk
	}
	err = k.life.do("sync of "+k.name, func() error {
		v, err = k.Keyspace.Sync(ctx)
		return err
	})
	return v, err
}

// Checkpoint implements state.Keyspace.
func (k *simKeyspace) Checkpoint(v state.Version) (state.Checkpoint, error) {
	if err := k.readFails(); err != nil {
		return state.Checkpoint{}, err
	}
	return k.Keyspace.Checkpoint(v)
}

// Memory implements state.Keyspace. The newest of several may be damaged.
func (k *simKeyspace) Memory(m state.Memory) ([][]byte, error) {
	if err := k.readFails(); err != nil {
		return nil, err
	}
	if ck, err := k.Keyspace.Latest(); err == nil && len(ck.Memories) > 1 && ck.Memories[0].Version == m.Version &&
		k.life.dice.hit("memory "+k.name, k.life.sky.Load().memory) {
		k.life.seen.saw("%s: memory at %d is damaged", k.name, m.Version.Sequence())
		return nil, state.ErrCorrupt
	}
	return k.Keyspace.Memory(m)
}

// View implements state.Keyspace. What is no longer kept must not be asked for.
func (k *simKeyspace) View(v state.Version) (state.View, error) {
	if err := k.readFails(); err != nil {
		return nil, err
	}
	view, err := k.Keyspace.View(v)
	if err != nil {
		k.life.seen.saw("BUG %s: view: %v", k.name, err)
		return nil, fmt.Errorf("%w: %w", state.ErrCorrupt, err)
	}
	k.life.views.Add(1)
	return &simView{View: view, keyspace: k, close: sync.OnceFunc(func() { k.life.views.Add(-1) })}, nil
}

// readFails is the error of a read that fails.
func (k *simKeyspace) readFails() error {
	if k.life.dice.hit("read "+k.name, k.life.sky.Load().read) {
		k.life.seen.saw("%s: a read fails", k.name)
		return errDisk
	}
	return nil
}

type simView struct {
	state.View
	keyspace *simKeyspace
	close    func()
}

func (v *simView) Close() { v.View.Close(); v.close() }

func (v *simView) Letters() state.Rows { return simRows{v.View.Letters(), v.keyspace} }

func (v *simView) Outbox() state.Rows { return simRows{v.View.Outbox(), v.keyspace} }

func (v *simView) Get(key []byte) ([]byte, bool, error) {
	return simRows{v.View, v.keyspace}.Get(key)
}

func (v *simView) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	return simRows{v.View, v.keyspace}.Scan(prefix, after, fn)
}

// simRows are rows that cannot always be read, or not to the end.
type simRows struct {
	state.Rows
	keyspace *simKeyspace
}

func (r simRows) Get(key []byte) ([]byte, bool, error) {
	if err := r.keyspace.readFails(); err != nil {
		return nil, false, err
	}
	return r.Rows.Get(key)
}

func (r simRows) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	fails, n := r.keyspace.readFails(), 0
	err := r.Rows.Scan(prefix, after, func(key, value []byte) bool {
		n++
		return (fails == nil || n < 3) && fn(key, value)
	})
	return errors.Join(fails, err)
}

// Pin implements state.Keyspace.
func (k *simKeyspace) Pin(v state.Version) {
	k.life.do("pin", func() error { k.Keyspace.Pin(v); return nil })
}

// Unpin implements state.Keyspace.
func (k *simKeyspace) Unpin(v state.Version) {
	k.life.do("unpin", func() error { k.Keyspace.Unpin(v); return nil })
}

// Close implements state.Keyspace.
func (k *simKeyspace) Close() error {
	return k.life.do("close of "+k.name, k.Keyspace.Close)
}

// simCatalog is the catalog as one life sees it.
type simCatalog struct {
	*enginetest.Catalog
	life  *life
	world *simWorld
}

// Update implements catalog.Catalog.
func (c simCatalog) Update(name string, fn func(*catalog.Record) error) error {
	return c.life.do("catalog of "+name, func() error {
		before := c.Catalog.Projection(name)
		err := c.Catalog.Update(name, fn)
		c.world.recorded(name, before, c.Catalog.Projection(name))
		return err
	})
}

// simSource is the server as one life sees it.
type simSource struct {
	*life
	server *enginetest.Server
}

func (s simSource) fails(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return fmt.Errorf("%w: %w", streams.ErrSourceDown, errCrashed)
	}
	if s.dice.hit("source "+what, s.sky.Load().source) {
		return fmt.Errorf("%w: %s timed out", streams.ErrSourceDown, what)
	}
	return nil
}

// Stream implements streams.Source.
func (s simSource) Stream(ctx context.Context, name string) (streams.Info, error) {
	s.dawdle("stream")
	if err := s.fails("stream"); err != nil {
		return streams.Info{}, err
	}
	return s.server.Stream(ctx, name)
}

// Event implements streams.Source.
func (s simSource) Event(ctx context.Context, stream string, sequence uint64) (abi.Record, error) {
	s.dawdle("event")
	if err := s.fails("event"); err != nil {
		return abi.Record{}, err
	}
	return s.server.Event(ctx, stream, sequence)
}

// SequenceAt implements streams.Source.
func (s simSource) SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	if err := s.fails("sequence"); err != nil {
		return 0, err
	}
	return s.server.SequenceAt(ctx, stream, t)
}

// Read implements streams.Source. Batches are shorter than they may be. It does not
// take time: the engine holds a lock meanwhile, and the bubble's clock would stand still.
func (s simSource) Read(ctx context.Context, stream string, from uint64, limit streams.ReadLimit) (streams.Reader, error) {
	if err := s.fails("read"); err != nil {
		return nil, err
	}
	limit.Events = 1 + int(s.dice.roll("batch")*float64(min(limit.Events, 60)))
	r, err := s.server.Read(ctx, stream, from, limit)
	if err != nil {
		return nil, err
	}
	return &simReader{Reader: r, source: s}, nil
}

// simReader is a reader that may be lost.
type simReader struct {
	streams.Reader
	source simSource
	lost   error
}

// Take implements streams.Reader.
func (r *simReader) Take() (*streams.Batch, error) {
	switch {
	case r.lost != nil:
	case r.source.isOver():
		r.lost = fmt.Errorf("%w: %w", streams.ErrReaderLost, errCrashed)
	case r.source.dice.hit("take", r.source.sky.Load().reader):
		r.lost = fmt.Errorf("%w: consumer deleted", streams.ErrReaderLost)
	default:
		return r.Reader.Take()
	}
	return nil, r.lost
}

// CaughtUp implements streams.Reader.
func (r *simReader) CaughtUp(ctx context.Context) (uint64, bool, error) {
	r.source.dawdle("caught up")
	if err := r.source.fails("caught up"); err != nil {
		return 0, false, err
	}
	return r.Reader.CaughtUp(ctx)
}

// drawWeather draws how the next while is: mostly fair.
func drawWeather(r *rand.Rand) *weather {
	some := func(p ...float64) float64 { return p[r.IntN(len(p))] }
	return &weather{
		source: some(0, 0, 0.05, 0.3), reader: some(0, 0, 0.02, 0.2),
		commit: some(0, 0, 0.05, 0.4), sync: some(0, 0, 0.5, 1), memory: 0.3, read: some(0, 0, 0, 0.001, 0.02),
		instance: some(0, 0, 0.1, 0.6), guest: some(0, 0, 0, 0.02, 0.1),
		slow:   time.Duration(some(0, 0, 0.005, 0.2, 3) * float64(time.Second)),
		outlet: some(0, 0, 0.02, 0.3, 1),
	}
}
