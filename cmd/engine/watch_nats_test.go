package main

import (
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// natsWatcher keeps a copy of a projection's state by watches over NATS.
type natsWatcher struct {
	conn *natsgo.Conn
	from string

	mu     sync.Mutex
	rows   map[string]string
	whole  bool
	resets int
}

// follow watches once, until the watch ends, a message is missing, or nothing comes.
func (w *natsWatcher) follow(projection string) error {
	inbox := w.conn.NewInbox()
	sub, err := w.conn.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	request, err := json.Marshal(map[string]string{"from": w.from})
	if err == nil {
		err = w.conn.PublishRequest("gnomon.v1.watch."+projection, inbox, request)
	}
	for n := 1; err == nil; n++ {
		var m *natsgo.Msg
		if m, err = sub.NextMsg(time.Second); err != nil {
			break
		}
		var e wire.Watched
		if err = json.Unmarshal(m.Data, &e); err != nil || m.Header.Get("Gnomon-Message") != strconv.Itoa(n) {
			return errors.Join(err, errors.New("this is not the next message: "+string(m.Data)))
		}
		w.apply(e)
		if m.Reply != "" {
			err = m.Respond(nil)
		}
	}
	return err
}

func (w *natsWatcher) apply(e wire.Watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Kind {
	case engine.WatchReset:
		w.rows, w.from, w.whole = map[string]string{}, "", false
		w.resets++
	case engine.WatchSnapshot, engine.WatchChange:
		w.whole = false
		w.rows[cli.Readable(e.Key)] = cli.Readable(e.Value)
		if e.Deleted {
			delete(w.rows, cli.Readable(e.Key))
		}
	case engine.WatchPosition:
		w.from, w.whole = e.Bookmark.String(), true
	}
}

// is reports whether the copy is whole, and has some rows.
func (w *natsWatcher) is(rows map[string]string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.whole && maps.Equal(w.rows, rows)
}

// A client that watches over NATS goes on from where it was when the engine is killed, or the
// server restarted: what it was told amounts to the state, and after the kill of an engine
// the state does not come anew.
func TestWatchOverNATSKilled(t *testing.T) {
	long(t)
	h, server, publish := logServer(t)
	publish(30)
	p := h.serve()
	w := &natsWatcher{conn: server.Connect(t)}
	stop, ended := make(chan struct{}), make(chan []error)
	go func() {
		var all []error
		for {
			select {
			case <-stop:
				ended <- all
				return
			default:
				all = append(all, w.follow("count"))
			}
		}
	}()
	seq := uint64(30)
	more := func() {
		publish(20)
		seq += 20
		p.awaitLive("count", seq)
		rows := p.readable("count")
		p.until("the copy is the state", func() bool { return w.is(rows) })
	}
	more()
	for range 3 {
		p.signal(syscall.SIGKILL)
		if _, err := p.wait(); !killedBy(err, syscall.SIGKILL) {
			t.Fatal(err)
		}
		p = h.serve()
		more()
		server.Restart()
		more()
	}
	close(stop)
	all := <-ended
	if w.resets != 1 {
		t.Errorf("the state came %d times", w.resets)
	}
	t.Log(len(all), "watches:", errors.Join(all...))
}
