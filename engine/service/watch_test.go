package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
	"gnomon/engine/service"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
	"gnomon/sdk/abi"
)

// erasable is a module that stores events' data under their subjects, and deletes the key
// when there is none.
func erasable() *enginetest.Module {
	return enginetest.FuncModule("erasable", func(e abi.Record, st guest.State) error {
		if len(e.Data) == 0 {
			return st.Delete(e.Subject)
		}
		return st.Put(e.Subject, e.Data)
	})
}

// watcher is a client that answers only when it is told to.
type watcher struct {
	t       *testing.T
	sub     *nats.Subscription
	n       int
	pending *nats.Msg // to be answered
}

func (r *rig) watch(request string) *watcher {
	r.t.Helper()
	inbox := r.conn.NewInbox()
	sub, err := r.conn.SubscribeSync(inbox)
	if err == nil {
		err = r.conn.PublishRequest("gnomon.v1.watch.p", inbox, []byte(request))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return &watcher{t: r.t, sub: sub}
}

// next reads an event, whose message must be the next one.
func (w *watcher) next() wire.Watched {
	w.t.Helper()
	m, err := w.sub.NextMsg(30 * time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	w.n++
	var e wire.Watched
	if err := json.Unmarshal(m.Data, &e); err != nil || m.Header.Get("Gnomon-Message") != strconv.Itoa(w.n) {
		w.t.Fatalf("message %s %v, %v; want event %d", m.Data, m.Header, err, w.n)
	}
	if m.Reply != "" {
		w.pending = m
	}
	return e
}

// answer answers the last message that asked for it.
func (w *watcher) answer(text string) {
	w.t.Helper()
	if err := w.pending.Respond([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// until reads and answers events until one is of a kind.
func (w *watcher) until(kind engine.WatchKind) wire.Watched {
	w.t.Helper()
	for {
		e := w.next()
		switch e.Kind {
		case kind:
			return e
		case engine.WatchEnd:
			w.t.Fatalf("the watch ended, no %s came: %s", kind, e.Reason)
		}
		if w.pending != nil {
			w.answer("")
		}
	}
}

// state is what the engine serves, as a copy has it, as of a sequence.
func (r *rig) state() (all map[string]json.RawMessage, seq uint64) {
	r.t.Helper()
	reading, err := r.engine.Read("p")
	if err != nil {
		r.t.Fatal(err)
	}
	defer reading.Close()
	all = map[string]json.RawMessage{}
	if err := reading.Scan(nil, nil, func(key, value []byte) bool {
		all[string(key)] = json.RawMessage(string(value))
		return true
	}); err != nil {
		r.t.Fatal(err)
	}
	return all, reading.Checkpoint.Position.Sequence
}

func same(a, b map[string]json.RawMessage) bool {
	return maps.EqualFunc(a, b, func(a, b json.RawMessage) bool { return string(a) == string(b) })
}

// What a watch tells, applied to a map, is the state at each position that it tells; and
// after the service, and the engine, were stopped the client of the docs goes on from where
// it was, without a snapshot.
func TestWatchKeepsACopy(t *testing.T) {
	var rows []string
	for i := range 1000 { // more than are sent without an answer
		rows = append(rows, fmt.Sprint("k", i), fmt.Sprint(i))
	}
	r := newRig(t, erasable(), rows...)
	held, from := map[string]json.RawMessage{}, ""
	changes := 0
	follow := func(until uint64) error {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var err error
		from, err = keepCopy(ctx, r.conn, "p", from, time.Minute, held, func(seq uint64) {
			if got, at := r.state(); until > 0 && seq == at && !same(held, got) {
				t.Errorf("at %d the copy has %d keys, the engine %d", seq, len(held), len(got))
			}
			if seq >= until {
				stop()
				return
			}
			changes++
			r.events.Append("S", fmt.Sprint("k", seq%7), fmt.Append(nil, seq))
			r.events.Append("S", fmt.Sprint("k", seq-900), nil)
			r.awaitEnd()
		})
		return err
	}
	if err := follow(1200); !errors.Is(err, context.Canceled) || changes == 0 || len(held) > 1000-changes/2 {
		t.Fatalf("%v, %d changes, %d keys", err, changes, len(held))
	}
	r.service.Close()
	if err := r.engine.Close(); err != nil {
		t.Fatal(err)
	}
	r.events.Append("S", "k1", []byte(`"while nobody was there"`))
	if err := follow(0); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("without an engine: %v", err)
	}
	r.run()
	r.service = r.serve(r.reads(query.Options{}), r.nats.Connect(t))
	delete(held, "k900") // only a snapshot would bring it back
	if err := follow(0); !errors.Is(err, context.Canceled) || string(held["k1"]) != `"while nobody was there"` || held["k900"] != nil {
		t.Errorf("after a restart: %v, %s, %s", err, held["k1"], held["k900"])
	}
}

// A watch is of the keys with a prefix, of any bytes, and begins after a sequence if asked
// to; the events are those of HTTP.
func TestWatchPrefix(t *testing.T) {
	r := newRig(t, letters(), "a/1", "1", "b", "2", "\xff/1", "\xfe")
	w := r.watch(`{"prefix":"a/"}`)
	if e := w.next(); e.Kind != engine.WatchReset || e.Reason != "the watch begins" {
		t.Errorf("first %+v", e)
	}
	if e := w.next(); e.Kind != engine.WatchSnapshot || string(e.Key) != "a/1" || string(e.Value) != "1" || e.Sequence != 3 {
		t.Errorf("key %+v", e)
	}
	at := w.until(engine.WatchPosition)
	if at.Sequence != 3 || at.Bookmark.Digest == "" {
		t.Errorf("position %+v", at)
	}
	r.events.Append("S", "b", []byte("3"))
	r.events.Append("S", "a/2", []byte("4"))
	if e := w.until(engine.WatchChange); string(e.Key) != "a/2" || e.Sequence != 5 {
		t.Errorf("change %+v", e)
	}
	if e := r.watch(`{"prefix_b64":"/w=="}`).until(engine.WatchSnapshot); string(e.Key) != "\xff/1" || string(e.Value) != "\xfe" {
		t.Errorf("key %+v", e)
	}
	for _, from := range []string{strconv.Quote(at.Bookmark.String()), "3"} {
		w := r.watch(`{"prefix":"a/","from":` + from + `}`)
		if e := w.next(); e.Kind != engine.WatchState || e.State != engine.Live {
			t.Errorf("from %s: %+v", from, e)
		}
		if e := w.next(); e.Kind != engine.WatchChange || string(e.Key) != "a/2" {
			t.Errorf("from %s: %+v", from, e)
		}
	}
}

// A client that does not answer is sent no more than a bounded number of messages, however
// much changes, and then the difference to the newest state, which says how much it missed.
func TestWatchOfASlowClient(t *testing.T) {
	r := newRig(t, letters(), "a", "0")
	w := r.watch("")
	for w.next().Kind != engine.WatchState {
	}
	w.answer("")
	const commits = 1000
	for i := range commits {
		r.events.Append("S", "a", fmt.Append(nil, i))
		r.awaitEnd()
		testutil.Until(r.t, func() bool { n, _, err := w.sub.Pending(); return err != nil || n >= min(2*i, service.Ahead) }) // it is told of each, at first
	}
	told, missed := 0, uint64(0)
	for at := uint64(0); at < commits+1; {
		if e := w.next(); e.Kind == engine.WatchPosition {
			at = e.Sequence
			missed += e.Missed
		}
		if told++; told == service.Ahead/2 || w.n >= service.Ahead {
			w.answer("")
		}
	}
	if told > service.Ahead+20 || missed < commits/2 {
		t.Errorf("in %d messages it was told of %d commits that it missed, of %d", told, missed, commits)
	}
}

// A client hears now and then that the engine is there, and says that it is by answering;
// who does not answer is given up, and told so.
func TestWatchBeats(t *testing.T) {
	r := newRig(t, letters(), "a", "0")
	const beat, silence = 5 * time.Millisecond, time.Second // the machine may be busy
	r.service.Hurry(beat, silence)
	w := r.watch("")
	for began := time.Now(); time.Since(began) < silence+silence/4; {
		w.until(engine.WatchIdle)
		w.answer("")
	}
	for e := w.next(); ; e = w.next() {
		if e.Kind == engine.WatchEnd {
			if !strings.HasPrefix(e.Reason, "there was no answer for 1s") {
				t.Errorf("end %+v", e)
			}
			break
		}
		if e.Kind != engine.WatchIdle {
			t.Errorf("%+v", e)
		}
	}
}

// A client ends its watch with an answer, or by not listening any more, and another one may
// watch in its place: the bound is one for all, those over HTTP included. Tokens of HTTP
// count for nothing.
func TestWatchEnds(t *testing.T) {
	r := newRig(t, letters(), "a", "0")
	r.service.Close()
	q := query.New(query.Options{Engine: r.engine, Version: "test", Log: quiet, Access: nobody{}, Watches: 1})
	r.service = r.serve(q.Reads(), r.nats.Connect(t))
	r.service.Hurry(5*time.Millisecond, time.Minute)
	again := func() (w *watcher) { // once the one before has ended
		t.Helper()
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
			w := r.watch("")
			m, err := w.sub.NextMsg(30 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if m.Header.Get("Nats-Service-Error-Code") == "" {
				w.n, w.pending = 1, m
				return w
			}
			r.wantProblem(m, wire.CodeTooManyWatches, "there are 1 watches")
		}
		t.Fatal("the watch before does not end")
		return nil
	}
	w := again()
	w.until(engine.WatchPosition)
	r.wantProblem(r.ask("gnomon.v1.watch.p", ""), wire.CodeTooManyWatches, "there are 1 watches")
	if rec := httptest.NewRecorder(); true {
		q.Reads().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/projections/p/watch", nil))
		if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "http.max_watches") {
			t.Errorf("over HTTP: %d %s", rec.Code, rec.Body)
		}
	}
	w.answer("end")
	if e := w.until(engine.WatchEnd); e.Reason != "the client ended it" {
		t.Errorf("end %+v", e)
	}
	w = again()
	if err := w.sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	w = again()
	w.answer("+ACK")
	if e := w.until(engine.WatchEnd); e.Reason != `the answer "+ACK" is not known: send an empty one to go on, or "end"` {
		t.Errorf("end %+v", e)
	}
	again()
	r.service.Close()
}

// nobody has a token.
type nobody struct{}

func (nobody) Rights(string) (access.Rights, bool) { return access.Rights{}, false }

// The whole conversation is with the node that took the request; when it stops it says so,
// and the client goes on with another one.
func TestWatchOfManyNodes(t *testing.T) {
	r := newRig(t, letters(), "a", "0")
	r.service.Close()
	took := make(chan int, 1)
	var nodes []*service.Service
	for i := range 2 {
		reads := r.reads(query.Options{})
		nodes = append(nodes, r.serve(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			took <- i
			reads.ServeHTTP(w, q)
		}), r.nats.Connect(t)))
	}
	w := r.watch("")
	at := w.until(engine.WatchPosition)
	w.until(engine.WatchState)
	w.answer("")
	node := <-took
	nodes[1-node].Close()
	r.events.Append("S", "a", []byte("1"))
	w.until(engine.WatchPosition)
	nodes[node].Close()
	if e := w.until(engine.WatchEnd); e.Reason != "the engine stops" {
		t.Errorf("end %+v", e)
	}
	r.service = r.serve(r.reads(query.Options{}), r.nats.Connect(t))
	w = r.watch(`{"from":"` + at.Bookmark.String() + `"}`)
	if e := w.until(engine.WatchChange); string(e.Value) != "1" {
		t.Errorf("change %+v", e)
	}
}

// What cannot be watched is refused with a problem.
func TestWatchRefused(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	for _, c := range []struct{ subject, body, code, text string }{
		{"q", "", wire.CodeNoProjection, `projection not found: "q"`},
		{"p@candidate", "{}", wire.CodeNoGeneration, "has no candidate"},
		{"p", `{"from":"x"}`, wire.CodeBadRequest, `from: "x" is no position of a watch`},
		{"p", `{"bookmark":"1"}`, wire.CodeBadRequest, `parameter "bookmark" is not known`},
		{"p", `{"prefix":"a","prefix_b64":"YQ=="}`, wire.CodeBadRequest, "both given"},
		{"p", `{"prefix_b64":"?"}`, wire.CodeBadRequest, "prefix_b64"},
		{"p", `{"prefix":["a"]}`, wire.CodeBadRequest, `"prefix": it must be a string`},
		{"p", `[]`, wire.CodeBadRequest, "must be a JSON object"},
	} {
		r.wantProblem(r.ask("gnomon.v1.watch."+c.subject, c.body), c.code, c.text)
	}
}

// An event that no message can hold ends the watch, and the end says what it is about.
func TestWatchOfLargeValues(t *testing.T) {
	small := natstest.Start(t, natstest.With(func(o *server.Options) { o.MaxPayload = 16 << 10 }))
	r := newRigOn(t, small, letters(), "a", strings.Repeat("v", 8<<10), "large", strings.Repeat("v", 20<<10))
	w := r.watch("")
	if e := w.until(engine.WatchSnapshot); string(e.Key) != "a" || len(e.Value) != 8<<10 {
		t.Errorf("%+v", e)
	}
	if e := w.until(engine.WatchEnd); !strings.Contains(e.Reason, "at most 16384 (max_payload)") {
		t.Errorf("end %+v", e)
	}
}

// A watch that panics tells its client that it ended.
func TestWatchThatPanics(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	r.service.Close()
	r.service = r.serve(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.RawQuery != "" {
			fmt.Fprintln(w, `{"event":"reset"}`)
		}
		panic("impossible")
	}), r.nats.Connect(t))
	r.wantProblem(r.ask("gnomon.v1.watch.p", ""), wire.CodeInternal, "the engine failed")
	if e := r.watch(`{"from":1}`).until(engine.WatchEnd); !strings.Contains(e.Reason, "the engine failed") {
		t.Errorf("end %+v", e)
	}
}

// Whatever is lost while the server goes down and comes up again, on either side, the client
// notices, and its copy is the state in the end.
func TestWatchOverServerRestarts(t *testing.T) {
	r := newRig(t, erasable(), "a", "0")
	r.service.Hurry(20*time.Millisecond, time.Minute)
	held, from := map[string]json.RawMessage{}, ""
	var at atomic.Uint64
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan []error)
	go func() {
		var why []error
		for ctx.Err() == nil {
			var err error
			from, err = keepCopy(ctx, r.conn, "p", from, 200*time.Millisecond, held, func(seq uint64) { at.Store(seq) })
			why = append(why, err)
		}
		ended <- why
	}()
	for round := range 5 {
		for i := range 50 {
			r.events.Append("S", fmt.Sprint("k", i), fmt.Append(nil, round))
			r.events.Append("S", fmt.Sprint("k", i*7%50), nil)
			r.awaitEnd()
			if i == 25 {
				r.nats.Stop()
			}
		}
		r.nats.Restart()
		want := 1 + uint64(round+1)*100
		testutil.Until(r.t, func() bool { return at.Load() == want })
	}
	stop()
	why := <-ended
	if got, _ := r.state(); !same(held, got) || len(got) < 2 {
		t.Errorf("the copy is %s, the state %s", held, got)
	}
	t.Log(errors.Join(why...))
}

// An engine and a client with no more permissions than docs/OPERATIONS.md lists have a whole
// watch.
func TestWatchPermissions(t *testing.T) {
	allow := func(publish, subscribe []string) *server.Permissions {
		return &server.Permissions{Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe}}
	}
	s := natstest.Start(t,
		natstest.User("engine", "secret", allow([]string{"_INBOX.>"}, []string{"gnomon.v1.>", "$SRV.>", "_INBOX.>"})),
		natstest.User("reader", "secret", allow([]string{"gnomon.v1.*.p", "gnomon.v1.watch.p.>"}, []string{"_INBOX.>"})))
	var rows []string
	for i := range 2 * service.Ahead {
		rows = append(rows, fmt.Sprint("k", i), "1")
	}
	r := newRigOn(t, s, letters(), rows...)
	r.conn = s.Connect(t, nats.UserInfo("reader", "secret"))
	w := r.watch("")
	w.until(engine.WatchPosition)
	w.answer("end")
	w.until(engine.WatchEnd)
}

// Engine and client may be at different servers of a cluster: answers find their way, and
// that a client has left is known.
func TestWatchAcrossACluster(t *testing.T) {
	cluster := natstest.StartCluster(t)
	var rows []string
	for i := range 3 * service.Ahead {
		rows = append(rows, fmt.Sprint("k", i), "1")
	}
	r := newRig(t, letters(), rows...)
	r.service.Close()
	at := cluster.Connect()
	for r.conn = cluster.Connect(); r.conn.ConnectedServerName() == at.ConnectedServerName(); r.conn = cluster.Connect() {
	}
	r.service = r.serve(r.reads(query.Options{Watches: 1}), at)
	r.service.Hurry(20*time.Millisecond, time.Minute)
	var w *watcher
	begun := func() bool {
		w = r.watch("")
		m, err := w.sub.NextMsg(30 * time.Second)
		w.n, w.pending = 1, m
		return err == nil && m.Header.Get("Nats-Service-Error-Code") == ""
	}
	testutil.Until(r.t, begun) // once the servers know the service
	w.until(engine.WatchPosition)
	if err := w.sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	testutil.Until(r.t, begun)
	w.until(engine.WatchPosition)
}

// The client that docs/OPERATIONS.md shows is the one that is tested here.
func TestDocumentedClient(t *testing.T) {
	source, err := os.ReadFile("copy_test.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, client, ok := strings.Cut(string(source), "// keepCopy")
	if !ok || !strings.Contains(string(doc), "```go\n// keepCopy"+client+"```\n") {
		t.Error("docs/OPERATIONS.md does not have the client of copy_test.go as it is")
	}
}
