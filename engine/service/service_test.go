package service_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
)

// What HTTP answers is answered over NATS: status, keys of any bytes, pages and queries, each
// with the headers that say what it reflects.
func TestReads(t *testing.T) {
	r := newRig(t, letters(), "a", `{"n":1}`, "b/../c", "two", "\xff", "three")
	r.wantBody(r.ask("gnomon.v1.list", ""), `{"projections":[{"projection":"p","state":"live"`)
	r.wantBody(r.ask("gnomon.v1.status.p", "{}"), `"projection":"p","state":"live"`)
	for body, want := range map[string]string{
		`{"key":"a"}`:         `"key":"a","value":{"n":1}`,
		`{"key":"b/../c"}`:    `"value_b64":"dHdv"`,
		`{"key_b64":"/w=="}`:  `"key_b64":"/w==","value_b64":"dGhyZWU="`,
		"\n{\"key\" : \"a\"}": `"as_of_seq":3`,
	} {
		m := r.ask("gnomon.v1.get.p", body)
		r.wantBody(m, want)
		for name, want := range map[string]string{"Gnomon-As-Of-Seq": "3", "Gnomon-State": "live", "Content-Type": "application/json"} {
			if got := m.Header.Get(name); got != want {
				t.Errorf("header %s of %s is %q, want %q", name, body, got, want)
			}
		}
	}
	r.wantBody(r.ask("gnomon.v1.scan.p", `{"limit":1}`), `"items":[{"key":"a","value":{"n":1}}],"next":"a"`)
	r.wantBody(r.ask("gnomon.v1.scan.p", `{"prefix":"b","limit":"5"}`), `"items":[{"key":"b/../c"`)
	m := r.ask("gnomon.v1.query.p", "what")
	if string(m.Data) != `what:{"n":1}` || m.Header.Get("Content-Type") != "application/octet-stream" || m.Header.Get("Gnomon-As-Of-Seq") != "3" {
		t.Errorf("answer %q, headers %v", m.Data, m.Header)
	}
}

// Errors have the codes of HTTP, in the headers of a NATS service's error and in the body.
func TestProblems(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	for _, c := range []struct{ subject, body, code, text string }{
		{"status.q", "", wire.CodeNoProjection, `projection not found: "q"`},
		{"status.p@candidate", "", wire.CodeNoGeneration, "has no candidate"},
		{"get.p", `{"key":"z"}`, wire.CodeNoKey, `has no key "z" as of 1`},
		{"get.p", ``, wire.CodeBadRequest, `either "key" or "key_b64"`},
		{"get.p", `{"key":"a","key_b64":"YQ=="}`, wire.CodeBadRequest, `either "key" or "key_b64"`},
		{"get.p", `{"key":null}`, wire.CodeBadRequest, `"key" must be a string`},
		{"get.p", `{"key":7}`, wire.CodeBadRequest, `"key" must be a string`},
		{"get.p", `{"key_b64":"?"}`, wire.CodeBadRequest, `"key_b64" must be`},
		{"get.p", `{"key":"a","color":"red"}`, wire.CodeBadRequest, `parameter "color" is not known`},
		{"scan.p", `{"limit":0}`, wire.CodeBadRequest, `limit is "0"`},
		{"scan.p", `{"limit":[1]}`, wire.CodeBadRequest, `"limit": it must be a string or a number`},
		{"scan.p", `{"limit":1,"limit":2}`, wire.CodeBadRequest, `"limit" is given twice`},
		{"scan.p", `[]`, wire.CodeBadRequest, "must be a JSON object"},
		{"scan.p", `{} {}`, wire.CodeBadRequest, "more after"},
		{"scan.p", `{"limit":`, wire.CodeBadRequest, "no JSON"},
		{"query.p", "no", wire.CodeQueryRefused, "I will not have that"},
		{"query.q", "", wire.CodeNoProjection, `"q"`},
		{"query.p", strings.Repeat("x", 1<<20), wire.CodeTooLarge, "the reply has"},
	} {
		r.wantProblem(r.ask("gnomon.v1."+c.subject, c.body), c.code, c.text)
	}
	r.wantProblem(r.ask("gnomon.v1.query.p", "", "Gnomon-Color", "red"), wire.CodeBadRequest, `parameter "color" is not known`)
	r.wantProblem(r.ask("gnomon.v1.query.p", "", "Gnomon-Min-Seq", "1", "gnomon-min-seq", "2"), wire.CodeBadRequest, "is given")
}

// A page that is larger than a message may be comes in parts, each of which says how to go
// on; a value that is larger is an error that says so.
func TestPagesFitMessages(t *testing.T) {
	var rows []string
	for i := range 50 {
		rows = append(rows, fmt.Sprintf("k%02d", i), strings.Repeat("v", 1000*(i%5+1)))
	}
	small := natstest.Start(t, natstest.With(func(o *server.Options) { o.MaxPayload = 16 << 10 }))
	r := newRigOn(t, small, letters(), append(rows, "large", strings.Repeat("v", 20<<10))...)
	var keys []string
	for after := ""; ; {
		m := r.ask("gnomon.v1.scan.p", fmt.Sprintf(`{"prefix":"k","after":%q}`, after))
		var page wire.Page
		if err := json.Unmarshal(m.Data, &page); err != nil || m.Header.Get("Nats-Service-Error") != "" || len(m.Data) > 16<<10 {
			t.Fatalf("page of %d bytes: %v, %v", len(m.Data), err, m.Header)
		}
		for _, row := range page.Items {
			keys = append(keys, string(row.Key))
		}
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	if len(keys) != 50 || keys[0] != "k00" || keys[49] != "k49" {
		t.Errorf("%d keys came: %q", len(keys), keys)
	}
	r.wantProblem(r.ask("gnomon.v1.get.p", `{"key":"large"}`), wire.CodeTooLarge, "at most 16384 (max_payload)")
}

// The service is found, says what it offers and counts what it did, as every NATS service
// does: asked of all, by its name, and by its id.
func TestAnnounced(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	r.ask("gnomon.v1.get.p", `{"key":"a"}`)
	r.ask("gnomon.v1.get.p", `{"key":"b"}`)
	var ping micro.Ping
	into := func(subject string, v any) {
		t.Helper()
		if err := json.Unmarshal(r.ask(subject, "").Data, v); err != nil {
			t.Fatal(err)
		}
	}
	into("$SRV.PING", &ping)
	if ping.Name != "gnomon" || ping.Version != "1.2.3" || ping.Type != micro.PingResponseType || ping.ID == "" {
		t.Errorf("ping %+v", ping)
	}
	for _, of := range []string{"", ".gnomon", ".gnomon." + ping.ID} {
		var info micro.Info
		into("$SRV.INFO"+of, &info)
		subjects := ""
		for _, e := range info.Endpoints {
			subjects += e.Subject + " "
			if schema, ok := e.Metadata["schema"]; ok && !json.Valid([]byte(schema)) || e.QueueGroup != "q" || e.Metadata["description"] == "" {
				t.Errorf("endpoint %+v", e)
			}
		}
		if want := "gnomon.v1.list gnomon.v1.status.* gnomon.v1.get.* gnomon.v1.scan.* gnomon.v1.watch.* gnomon.v1.query.* "; info.ID != ping.ID || subjects != want || info.Type != micro.InfoResponseType {
			t.Errorf("info %+v", info)
		}
		var stats micro.Stats
		into("$SRV.STATS"+of, &stats)
		get := stats.Endpoints[2]
		if stats.Type != micro.StatsResponseType || get.NumRequests != 2 || get.NumErrors != 1 || !strings.HasPrefix(get.LastError, "no-such-key:") || get.ProcessingTime <= 0 || get.AverageProcessingTime <= 0 {
			t.Errorf("stats %+v", get)
		}
	}
}

// Requests go to one of several nodes each, and when one of them leaves, to the others: what
// it has begun it answers.
func TestManyNodes(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	const each = 200
	var other atomic.Int32
	leaves := make(chan struct{})
	second := r.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if other.Add(1) > each { // it is under way when the node leaves
			<-leaves
		}
		fmt.Fprint(w, "{}")
	}), r.nats.Connect(t))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range each {
				if _, err := r.conn.Request("gnomon.v1.status.p", nil, 30*time.Second); err != nil {
					t.Error(err)
				}
			}
		})
	}
	testutil.Until(t, func() bool { return other.Load() > each })
	left := make(chan struct{})
	go func() {
		defer close(left)
		second.Close()
	}()
	close(leaves)
	<-left
	before := other.Load()
	all.Wait()
	if got := other.Load(); got != before || before == 4*each {
		t.Errorf("the node that left answered %d requests, %d of them after it had left", got, got-before)
	}
	replies := 0
	inbox := nats.NewInbox()
	sub, err := r.conn.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.conn.PublishRequest("$SRV.PING.gnomon", inbox, nil); err != nil {
		t.Fatal(err)
	}
	for _, err := sub.NextMsg(10 * time.Second); err == nil; _, err = sub.NextMsg(100 * time.Millisecond) {
		replies++
	}
	if replies != 1 {
		t.Errorf("%d services are announced, want the one that is left", replies)
	}
}

// A request that takes long, to wait for a sequence or to replay the past, holds up none of the
// others of its endpoint, and one that nobody waits for is not answered.
func TestSlowRequests(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	hold := make(chan struct{})
	var waiting atomic.Int32
	r.service.Close()
	s := r.serve(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Query().Has("min_seq") || q.URL.Query().Has("at") {
			waiting.Add(1)
			<-hold
		}
		fmt.Fprint(w, "{}")
	}), r.nats.Connect(t))
	inbox := nats.NewInbox()
	late, err := r.conn.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	const many = 1024
	for n := range many {
		if err := r.conn.PublishRequest("gnomon.v1.get.p", inbox, fmt.Appendf(nil, `{"key":"a",%q:9}`, []string{"min_seq", "at"}[n%2])); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.conn.Publish("gnomon.v1.get.p", []byte(`{"key":"a","min_seq":9}`)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		r.wantBody(r.ask("gnomon.v1.get.p", `{"key":"a"}`), "{}")
	}
	testutil.Until(t, func() bool { return waiting.Load() >= many })
	for _, slow := range []string{"min_seq", "at"} {
		r.wantProblem(r.ask("gnomon.v1.get.p", `{"key":"a","`+slow+`":9}`), wire.CodeBusy, "1024 requests wait")
	}
	if n := waiting.Load(); n != many {
		t.Errorf("%d wait, want %d", n, many)
	}
	close(hold)
	for range many {
		if _, err := late.NextMsg(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
}

// Close ends requests that do not end by themselves, and what panics is an error of one
// request.
func TestClose(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	begun := make(chan struct{})
	r.service.Close()
	s := r.serve(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/p") {
			panic("impossible")
		}
		close(begun)
		<-q.Context().Done()
		w.WriteHeader(http.StatusServiceUnavailable)
	}), r.nats.Connect(t))
	r.wantProblem(r.ask("gnomon.v1.status.p", ""), wire.CodeInternal, "the engine failed")
	reply := make(chan *nats.Msg, 1)
	go func() { reply <- r.ask("gnomon.v1.list", "") }()
	<-begun
	s.Close()
	if m := <-reply; m.Header.Get("Nats-Service-Error") == "" {
		t.Errorf("the reply of a request that was ended: %v", m.Header)
	}
	if _, err := r.conn.Request("gnomon.v1.list", nil, time.Second); err == nil {
		t.Error("a service that is closed answers")
	}
}

// A service that was offered while the server was away is there when the server is, and
// again after each of its restarts.
func TestReconnects(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	for range 2 {
		r.nats.Stop()
		r.nats.Restart()
		end := time.Now().Add(30 * time.Second)
		for {
			m, err := r.conn.Request("gnomon.v1.get.p", []byte(`{"key":"a"}`), time.Second)
			if err == nil && strings.Contains(string(m.Data), `"value":1`) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("no answer after a restart: %v", err)
			}
		}
	}
}

// Requests that wait for a sequence when the engine stops get a reply each, which tells them to
// ask again.
func TestCloseGivesUpWaiting(t *testing.T) {
	r := newRig(t, letters(), "a", "1")
	inbox := nats.NewInbox()
	replies, err := r.conn.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	const many = 20
	for range many {
		if err := r.conn.PublishRequest("gnomon.v1.get.p", inbox, []byte(`{"key":"a","min_seq":99,"wait":"1m"}`)); err != nil {
			t.Fatal(err)
		}
	}
	r.wantBody(r.ask("gnomon.v1.get.p", `{"key":"a"}`), `"value":1`) // those before it have come in
	r.service.Close()
	for range many {
		m, err := replies.NextMsg(30 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if code := m.Header.Get("Nats-Service-Error-Code"); code != wire.CodeNotReady && code != wire.CodeNotReached {
			t.Errorf("reply %s %s", code, m.Data)
		}
	}
}
