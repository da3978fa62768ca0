package query_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
)

// lookedAt is an engine that counts how often the status of all is read.
type lookedAt struct {
	query.Engine
	looks  atomic.Int64
	always []engine.Status // nil: as the engine has it
}

func (e *lookedAt) Projections() []engine.Status {
	e.looks.Add(1)
	if e.always != nil {
		return e.always
	}
	return e.Engine.Projections()
}

// status reads events up to the next status, and what it is of each projection.
func (s *stream) status() map[string]engine.Status {
	s.t.Helper()
	for {
		block := s.block()
		data, ok := strings.CutPrefix(block, "event: status\ndata: ")
		if !ok {
			continue
		}
		var all wire.Projections
		var one engine.Status
		if err := errors.Join(json.Unmarshal([]byte(data), &all), json.Unmarshal([]byte(data), &one)); err != nil {
			s.t.Fatalf("%q: %v", block, err)
		}
		if one.Projection != "" {
			all.Projections = []engine.Status{one}
		}
		by := map[string]engine.Status{}
		for _, st := range all.Projections {
			by[st.Projection] = st
		}
		return by
	}
}

// Who asks for the status as server-sent events is told it at once, and when it changes.
func TestStatusesFollow(t *testing.T) {
	r := newRig(t, "a-token-that-is-a-secret", "a", "1").start()
	r.query.LookEvery(10 * time.Millisecond)
	for _, path := range []string{"/v1/projections", "/v1/projections/p"} {
		before := r.nats.Append("S", "a", []byte("2"))
		testutil.Until(t, func() bool { s, _ := r.engine.Status("p"); return s.Position == before })
		s := r.open(path, "Accept", "text/event-stream")
		if kind := s.res.Header.Get("Content-Type"); kind != "text/event-stream" {
			t.Fatalf("%s: %s, %s", path, s.res.Status, kind)
		}
		if got := s.status()["p"]; got.Position != before || got.State != engine.Live {
			t.Errorf("%s: told first of %+v", path, got)
		}
		after := r.nats.Append("S", "a", []byte("3"))
		for s.status()["p"].Position != after {
		}
		s.stop()
	}
	if a := r.ask("GET", "/v1/projections", ""); a.Header.Get("Content-Type") != "application/json" || !slices.Contains(a.Header.Values("Vary"), "Accept") {
		t.Errorf("without asking for events: %s", a)
	}
	if a := r.ask("GET", "/v1/projections/q", "", "Accept", "text/event-stream"); a.problem(t).Code != wire.CodeNoProjection {
		t.Errorf("of none: %s", a)
	}
}

// The client is told the same, and is not told what stayed as it was.
func TestStatusesOfClient(t *testing.T) {
	r := newRig(t, "a-token-that-is-a-secret", "a", "1").start()
	r.query.LookEvery(time.Millisecond)
	var last string
	seen := 0
	done := errors.New("done")
	err := r.client().Statuses(t.Context(), func(all []engine.Status) error {
		b, err := json.Marshal(all)
		if err != nil || len(all) != 1 || string(b) == last {
			t.Errorf("told %s, %v, after %s", b, err, last)
		}
		last = string(b)
		if seen++; all[0].Position == 3 {
			return done
		}
		if seen == 1 {
			r.nats.Append("S", "a", []byte("2"))
			r.nats.Append("S", "a", []byte("3"))
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
}

// However many follow, the status is read once for all of them, and not while nobody does.
func TestStatusesAreReadOnce(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	counted := &lookedAt{Engine: r.engine}
	server := query.New(query.Options{Engine: counted, Log: r.log.Logger()})
	server.LookEvery(5 * time.Millisecond)
	r.server.Config.Handler = server
	var all []*stream
	for range 5 {
		s := r.open("/v1/projections", "Accept", "text/event-stream")
		s.status()
		all = append(all, s)
	}
	if n := server.Followers(); n != 5 {
		t.Errorf("%d follow", n)
	}
	before := counted.looks.Load()
	began := time.Now()
	testutil.Until(t, func() bool { return counted.looks.Load() >= before+20 })
	if most := int64(time.Since(began)/(5*time.Millisecond)) + 2; counted.looks.Load()-before > most {
		t.Errorf("5 who follow made %d looks, %d are one for all", counted.looks.Load()-before, most)
	}
	for _, s := range all {
		s.stop()
	}
	testutil.Until(t, func() bool { return server.Followers() == 0 && server.Watches() == 0 })
	idle := counted.looks.Load()
	for range 5 { // an ordinary request looks by itself
		r.ask("GET", "/v1/projections", "")
	}
	if n := counted.looks.Load() - idle; n > 6 { // one may have been under way
		t.Errorf("%d looks while nobody follows", n-5)
	}
}

// What stays as it is, is told once.
func TestStatusesThatStay(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	still := &lookedAt{Engine: r.engine, always: []engine.Status{{Projection: "p", State: engine.Live}}}
	server := query.New(query.Options{Engine: still, Log: r.log.Logger()})
	server.LookEvery(time.Millisecond)
	server.Beat(20 * time.Millisecond)
	r.server.Config.Handler = server
	s := r.open("/v1/projections", "Accept", "text/event-stream")
	s.status()
	for looks := still.looks.Load(); still.looks.Load() < looks+20; {
		s.want(":\n")
	}
}

// What follows counts as a watch, hears beats, has an end when the token is taken back, and
// shows only what may be read.
func TestStatusesBounds(t *testing.T) {
	const all, other, appends = "token-that-may-do-all", "token-that-reads-another", "token-that-appends"
	revoked := &revocable{Access: tokens(t, map[string]access.Grant{all: {Role: access.Admin}, other: {Role: access.Read, Projections: []string{"q"}}, appends: {Role: access.Append}})}
	r := newRigWith(t, query.Options{Access: revoked, Watches: 1}, "a", "1").start()
	r.query.LookEvery(10 * time.Millisecond)
	r.query.Beat(10 * time.Millisecond)
	for _, token := range []string{other, appends} {
		r.token = token
		s := r.open("/v1/projections", "Accept", "text/event-stream")
		if got := s.status(); len(got) != 0 {
			t.Errorf("%s reads %q", token, slices.Collect(maps.Keys(got)))
		}
		s.stop()
		testutil.Until(t, func() bool { return r.query.Watches() == 0 })
		if a := r.ask("GET", "/v1/projections/p", "", "Accept", "text/event-stream"); a.problem(t).Code != wire.CodeForbidden {
			t.Errorf("%s: %s", token, a)
		}
	}
	r.token = all
	s := r.open("/v1/projections/p", "Accept", "text/event-stream")
	s.status()
	for s.block() != ":\n" {
	}
	if a := r.ask("GET", "/v1/projections", "", "Accept", "text/event-stream"); a.StatusCode != http.StatusServiceUnavailable || a.problem(t).Code != wire.CodeTooManyWatches {
		t.Errorf("one more than there may be: %s", a)
	}
	revoked.gone.Store(true)
	for {
		if block := s.block(); strings.HasPrefix(block, "event: end\n") {
			if !strings.Contains(block, "token") {
				t.Errorf("it ends with %q", block)
			}
			break
		}
	}
	testutil.Until(t, func() bool { return r.query.Watches() == 0 && r.query.Followers() == 0 })
}

// A server that closes ends what follows, and says so.
func TestStatusesEnd(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	told := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- r.client().Statuses(t.Context(), func([]engine.Status) error {
			select {
			case <-told:
			default:
				close(told)
			}
			return nil
		})
	}()
	<-told
	if err := r.query.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, client.ErrWatchBroken) || !strings.Contains(err.Error(), "the engine stops") {
		t.Error(err)
	}
}
