package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
)

// What an engine lacks in NATS is named wherever somebody may look: in the status, on the page, in
// the log, in metrics; for what is read, what is emitted, and a bucket with the state.
func TestMissingPermissionsShow(t *testing.T) {
	denied := []string{"out.>", "$JS.API.STREAM.INFO.SECRET", "$JS.API.CONSUMER.CREATE.MUTE.>", "$KV.COPY.>"}
	s := natstest.Start(t, natstest.User("admin", "secret", nil),
		natstest.User("engine", "secret", &server.Permissions{Publish: &server.SubjectPermission{Deny: denied}}))
	js := s.JetStream(t)
	for _, name := range []string{"LOG", "OUT", "SECRET", "MUTE"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{strings.ToLower(name) + ".>"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{"log.a", "secret.a", "mute.a"} {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	modules := t.TempDir()
	for name, module := range map[string][]byte{"calm": sound, "emits": emitting()} {
		if err := os.WriteFile(filepath.Join(modules, name+".wasm"), module, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := newHome(t, "log.>", projection("emits", "emits.wasm", "[projection.emit]", `subjects = ["out.>"]`, "history = true")+
		projection("mirrored", "calm.wasm", "[projection.kv]", `bucket = "COPY"`)+
		strings.Replace(projection("secret", "calm.wasm"), "LOG", "SECRET", 1)+
		strings.Replace(projection("mute", "calm.wasm"), "LOG", "MUTE", 1))
	h.undeclareStream()
	h.useModules(modules)
	h.configure("", fmt.Sprintf("[nats]\nurl = %q\nuser = \"engine\"\npassword = \"secret\"", s.URL()))
	p := h.serve()

	add := func(subject string) string {
		return fmt.Sprintf("add %q to the subjects that the user may publish", subject)
	}
	for _, tt := range []struct {
		projection, missing string
		said                func(engine.Status) (reason, hint string)
	}{
		{"emits", "out.x", func(s engine.Status) (string, string) {
			if s.Emits == nil || s.Emits.Code != engine.OutletForbidden {
				return "", ""
			}
			return s.Emits.Trouble, s.Emits.Hint
		}},
		{"secret", "$JS.API.STREAM.INFO.SECRET", func(s engine.Status) (string, string) { return s.Reason, s.Hint }},
		{"mute", "$JS.API.CONSUMER.CREATE.MUTE.>", func(s engine.Status) (string, string) { return s.Reason, s.Hint }},
		{"mirrored", "$KV.COPY.>", func(s engine.Status) (string, string) {
			if s.Mirror == nil {
				return "", ""
			}
			return s.Mirror.Error, "that permission"
		}},
	} {
		var reason, hint string
		p.await(tt.projection, "the permission that is missing", func(s engine.Status) bool {
			reason, hint = tt.said(s)
			return strings.Contains(reason, add(tt.missing))
		})
		if strings.Contains(reason, streams.ErrSourceDown.Error()) || !strings.Contains(hint, "that permission") {
			t.Errorf("%s: %q, %q", tt.projection, reason, hint)
		}
		if page := strings.NewReplacer("&#34;", `"`, "&gt;", ">").Replace(p.page("/ui/projections/" + tt.projection)); !strings.Contains(page, add(tt.missing)) {
			t.Errorf("the page of %s does not name %s", tt.projection, tt.missing)
		}
	}
	series := p.scrape()
	for name, want := range map[string]float64{
		`gnomon_projection_outbox_trouble{instance="here",job="gnomon",code="no-permission",projection="emits",stream="LOG"}`: 1,
		`gnomon_projection_outbox_trouble{instance="here",job="gnomon",code="unreachable",projection="emits",stream="LOG"}`:   0,
		`gnomon_projection_outbox_blocked{instance="here",job="gnomon",projection="emits",stream="LOG"}`:                      1,
	} {
		if got, ok := series[name]; !ok || got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if n := series[`gnomon_nats_refusals_total{instance="here",job="gnomon"}`]; n < float64(len(denied)) {
		t.Errorf("%v refusals are counted", n)
	}
	p.end()
	log, _ := p.wait()
	for _, missing := range []string{"out.x", "$JS.API.STREAM.INFO.SECRET", "$JS.API.CONSUMER.CREATE.MUTE.>", "$KV.COPY.>"} {
		if !strings.Contains(strings.ReplaceAll(log, `\"`, `"`), add(missing)) {
			t.Errorf("the log does not name %s", missing)
		}
	}
}

// page is one of the dashboard.
func (p *process) page(path string) string {
	p.t.Helper()
	res, err := http.Get(p.url() + path)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}
