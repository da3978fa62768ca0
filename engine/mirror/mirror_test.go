package mirror_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/mirror"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
	"gnomon/sdk/abi"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// rig is an engine with one projection, p, that stores each event's data under the event's
// subject, or deletes that when there is none, and the server with its mirror.
type rig struct {
	t      *testing.T
	events *enginetest.Server
	engine *engine.Engine
	nats   *natstest.Server
	js     jetstream.JetStream
	spec   engine.Spec
}

// module writes its name into every value.
func module(name string) *enginetest.Module {
	return enginetest.FuncModule("m"+name, func(e abi.Record, st guest.State) error {
		if len(e.Data) == 0 {
			return st.Delete(e.Subject)
		}
		return st.Put(e.Subject, append([]byte(name), e.Data...))
	})
}

func newRig(t *testing.T, o ...natstest.Option) *rig {
	t.Helper()
	r := &rig{t: t, events: new(enginetest.Server), nats: natstest.Start(t, o...)}
	r.events.Create("S")
	r.engine = engine.New(engine.Options{Source: r.events, Store: new(enginetest.Store), Catalog: new(enginetest.Catalog), Log: quiet})
	r.spec = engine.Spec{Name: "p", Module: module(""), Stream: "S", Batch: streams.ReadLimit{Events: 100, Bytes: 8 << 20}, Window: time.Second, Cache: 1 << 20, AutoPromote: engine.PromoteItself}
	r.declare()
	r.engine.Start(t.Context())
	t.Cleanup(func() {
		if err := r.engine.Close(); err != nil {
			t.Errorf("close engine: %v", err)
		}
	})
	r.js = r.nats.JetStream(t)
	return r
}

func (r *rig) declare() {
	r.t.Helper()
	if _, err := r.engine.Declare(r.t.Context(), r.spec); err != nil {
		r.t.Fatal(err)
	}
}

// mirror mirrors into a bucket until it is stopped, or the test ends.
func (r *rig) mirror(bucket string) (stop func()) {
	m := &mirror.Mirror{Engine: r.engine, JetStream: r.js, Projection: "p", Bucket: bucket, Log: quiet}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	stop = func() { cancel(); <-done }
	r.t.Cleanup(stop)
	return stop
}

// put has events come: subject and data in turns.
func (r *rig) put(events ...string) {
	for i := 0; i < len(events); i += 2 {
		r.events.Append("S", events[i], []byte(events[i+1]))
	}
}

// state is what the projection serves once it has applied everything.
func (r *rig) state() (map[string]string, uint64) {
	r.t.Helper()
	if err := r.engine.AwaitEnd(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	reading, err := r.engine.Read("p")
	if err != nil {
		r.t.Fatal(err)
	}
	defer reading.Close()
	state := map[string]string{}
	err = reading.Scan(nil, nil, func(k, v []byte) bool { state[string(k)] = string(v); return true })
	if err != nil {
		r.t.Fatal(err)
	}
	return state, reading.Checkpoint.Position.Sequence
}

// contents are what a bucket holds, as any client reads it, but for the marker; each value
// must say which sequence it is from.
func (r *rig) contents(bucket string) map[string]string {
	r.t.Helper()
	kv, err := r.js.KeyValue(r.t.Context(), bucket)
	if err != nil {
		r.t.Fatal(err)
	}
	rows := map[string]string{}
	keys, err := kv.Keys(r.t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		r.t.Fatal(err)
	}
	stream, err := r.js.Stream(r.t.Context(), "KV_"+bucket)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, text := range keys {
		if text == mirror.MarkerKey {
			continue
		}
		key, err := mirror.DecodeKey(text)
		if err != nil {
			r.t.Errorf("key %s: %v", text, err)
		}
		m, err := stream.GetLastMsgForSubject(r.t.Context(), "$KV."+bucket+"."+text)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := strconv.ParseUint(m.Header.Get("Gnomon-Sequence"), 10, 64); err != nil {
			r.t.Errorf("key %s has headers %v", text, m.Header)
		}
		rows[string(key)] = string(m.Data)
	}
	return rows
}

// inStep waits until the status says that the bucket is at the sequence of the state, and
// then holds it against that.
func (r *rig) inStep(bucket string, without ...string) {
	r.t.Helper()
	state, sequence := r.state()
	r.await(fmt.Sprintf("bucket %s is at %d", bucket, sequence), func(m engine.MirrorStatus) bool {
		return m.Bucket == bucket && m.Sequence == sequence && m.Error == "" && m.LeftOut == len(without)
	})
	for _, key := range without {
		delete(state, key)
	}
	if got := r.contents(bucket); !maps.Equal(got, state) {
		r.t.Errorf("at %d the bucket has %.500v, the state is %.500v", sequence, got, state)
	}
	kv, err := r.js.KeyValue(r.t.Context(), bucket)
	if err != nil {
		r.t.Fatal(err)
	}
	entry, err := kv.Get(r.t.Context(), mirror.MarkerKey)
	if err != nil {
		r.t.Fatal(err)
	}
	var m mirror.Marker
	if err := json.Unmarshal(entry.Value(), &m); err != nil || m.AsOfSeq != sequence || m.Projection != "p" || m.Generation == "" || m.LeftOut != len(without) {
		r.t.Errorf("the marker is %s, %v", entry.Value(), err)
	}
}

func (r *rig) await(what string, ok func(engine.MirrorStatus) bool) {
	r.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(patience); ; {
		s, err := r.engine.Status("p")
		if err != nil {
			r.t.Fatal(err)
		}
		if s.Mirror != nil && ok(*s.Mirror) {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			r.t.Fatalf("waited until %s; the mirror is %+v", what, s.Mirror)
		}
	}
}

// A bucket has what the projection serves: at first, and as it changes; keys of any bytes
// can be found, and what is deleted is.
func TestMirror(t *testing.T) {
	r := newRig(t)
	r.put("a", "1", "b", "2", "odd key\t\xff", "3", "..", "4")
	r.mirror("STATE")
	r.inStep("STATE")
	r.put("a", "", "b", "5", "c", "6")
	r.inStep("STATE")
	kv, err := r.js.KeyValue(t.Context(), "STATE")
	if err != nil {
		t.Fatal(err)
	}
	w, err := kv.Watch(t.Context(), "b", jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	r.put("b", "7")
	if entry := <-w.Updates(); string(entry.Value()) != "7" {
		t.Errorf("a client that watches got %v", entry)
	}
	var many []string
	for i := range 3000 { // more than one window
		many = append(many, fmt.Sprint("many.", i), fmt.Sprint(i))
	}
	r.put(many...)
	r.inStep("STATE")
	if s, err := kv.Status(t.Context()); err != nil || s.Metadata()["gnomon.projection"] != "p" {
		t.Errorf("the bucket says of itself %v, %v", s, err)
	}
}

// Whatever happened to the bucket and to the projection while nobody mirrored, the bucket is
// brought back in step; what is right is not written again.
func TestMirrorBeginsAnew(t *testing.T) {
	r := newRig(t)
	r.put("same", "1", "changed", "2", "deleted", "3", "spoilt", "4", "lost", "5")
	stop := r.mirror("STATE")
	r.inStep("STATE")
	stop()
	kv, err := r.js.KeyValue(t.Context(), "STATE")
	if err != nil {
		t.Fatal(err)
	}
	before, err := kv.Get(t.Context(), "same")
	if err != nil {
		t.Fatal(err)
	}
	_, err = kv.PutString(t.Context(), "spoilt", "x")
	err = errors.Join(err, kv.Delete(t.Context(), "lost"), second(kv.PutString(t.Context(), "more", "y")))
	if err != nil {
		t.Fatal(err)
	}
	r.put("changed", "6", "deleted", "", "fresh", "7")
	r.mirror("STATE")
	r.inStep("STATE")
	if after, err := kv.Get(t.Context(), "same"); err != nil || after.Revision() != before.Revision() {
		t.Errorf("what is right was written again: %v, %v", after, err)
	}
}

// What others write into the bucket while it is mirrored is corrected with the next change, and
// so is what comes late of a mirror that was stopped: the revisions tell that it is there.
func TestMirrorFindsOthersWriting(t *testing.T) {
	r := newRig(t)
	r.put("a", "1", "b", "2")
	r.mirror("STATE")
	r.inStep("STATE")
	kv, err := r.js.KeyValue(t.Context(), "STATE")
	if err != nil {
		t.Fatal(err)
	}
	for n, spoil := range []func() error{
		func() error { return second(kv.PutString(t.Context(), "a", "x")) },
		func() error { return kv.Delete(t.Context(), "b") },
		func() error { return second(kv.PutString(t.Context(), "more", "y")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		r.put("c", fmt.Sprint(n))
		r.inStep("STATE")
	}
}

func second[T any](_ T, err error) error { return err }

// A promotion brings the bucket to the other state.
func TestMirrorPromotion(t *testing.T) {
	r := newRig(t)
	r.put("a", "1", "b", "2")
	r.mirror("STATE")
	r.inStep("STATE")
	r.spec.Module = module("other ")
	r.declare()
	r.put("c", "3")
	r.await("it is promoted", func(engine.MirrorStatus) bool {
		s, _ := r.engine.Status("p")
		return s.Module == r.spec.Module.Digest()
	})
	r.inStep("STATE")
	if got := r.contents("STATE"); got["a"] != "other 1" {
		t.Errorf("the bucket has %v", got)
	}
}

// What a bucket does not take is left out, named, and not there with an old value; it comes
// when it can.
func TestMirrorLeavesOut(t *testing.T) {
	r := newRig(t, natstest.With(func(o *server.Options) { o.MaxPayload = 64 << 10 }))
	long := strings.Repeat("k", 3000)
	r.put("large", "1", "a", "2", long, "3")
	r.mirror("STATE")
	r.inStep("STATE", long)
	r.events.Append("S", "large", []byte(strings.Repeat("x", 100<<10)))
	r.inStep("STATE", long, "large")
	r.await("the key is named", func(m engine.MirrorStatus) bool {
		return len(m.LeftOutKeys) == 2 && strings.Contains(m.LeftOutKeys[0], "the key takes 3000 bytes") && strings.HasPrefix(m.LeftOutKeys[1], `"large": the value has 102400 bytes`)
	})
	r.put("large", "4", long, "")
	r.inStep("STATE")
}

// A bucket of somebody else is left alone, and the projection is none the worse.
func TestMirrorForeignBucket(t *testing.T) {
	r := newRig(t)
	kv, err := r.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "THEIRS"})
	if err == nil {
		_, err = kv.PutString(t.Context(), "key", "value")
	}
	if err != nil {
		t.Fatal(err)
	}
	r.put("a", "1")
	r.mirror("THEIRS")
	r.await("it is refused", func(m engine.MirrorStatus) bool {
		return strings.Contains(m.Error, "bucket THEIRS is not the mirror of this projection: it has 1 values") && m.Sequence == 0
	})
	if entry, err := kv.Get(t.Context(), "key"); err != nil || string(entry.Value()) != "value" {
		t.Errorf("%v, %v", entry, err)
	}
	if state, _ := r.state(); state["a"] != "1" {
		t.Errorf("the state is %v", state)
	}
}

// While the server is away the projection goes on, and the bucket follows when it is back.
func TestMirrorWithoutServer(t *testing.T) {
	r := newRig(t)
	r.put("a", "1")
	r.mirror("STATE")
	r.inStep("STATE")
	r.nats.Stop()
	r.put("a", "2", "b", "3")
	if state, _ := r.state(); state["b"] != "3" {
		t.Errorf("the state is %v", state)
	}
	r.nats.Restart()
	r.put("b", "")
	r.inStep("STATE")
}

// The permissions that docs/OPERATIONS.md lists are enough.
func TestMirrorPermissions(t *testing.T) {
	least := &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"$JS.API.INFO", "$JS.API.STREAM.INFO.KV_STATE", "$JS.API.STREAM.CREATE.KV_STATE", "$JS.API.DIRECT.GET.KV_STATE.>",
			"$JS.API.CONSUMER.CREATE.KV_STATE.>", "$JS.API.CONSUMER.DELETE.KV_STATE.>", "$JS.FC.KV_STATE.>", "$KV.STATE.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
	r := newRig(t, natstest.User("mirror", "secret", least))
	r.put("a", "1")
	stop := r.mirror("STATE")
	r.await("it is in step", func(m engine.MirrorStatus) bool { return m.Sequence == 1 && m.Error == "" })
	stop()
	r.put("b", "2")
	r.mirror("STATE")
	r.await("it is in step again", func(m engine.MirrorStatus) bool { return m.Sequence == 2 && m.Error == "" })
}
