package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/internal/testutil/natstest"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// clientTroubles are those of who reads what an engine has: of a bucket that lacks keys, of a
// module that traps when it is asked, of answers that do not come; and of an engine that may not
// publish what it is to.
func clientTroubles(t *testing.T) []alertCase {
	s := natstest.Start(t, natstest.User("admin", "secret", nil),
		natstest.User("engine", "secret", &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"out.>"}}}))
	js := s.JetStream(t)
	for _, name := range []string{"LOG", "OUT"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{strings.ToLower(name) + ".>"}}); err != nil {
			t.Fatal(err)
		}
	}
	large := "log." + strings.Repeat("a", 2100) // the name of a key that no bucket takes
	if _, err := js.Publish(t.Context(), large, nil); err != nil {
		t.Fatal(err)
	}
	modules := t.TempDir()
	counts, err := os.ReadFile(filepath.Join(exampleModules(t), "count.wasm"))
	for name, module := range map[string][]byte{"count": counts, "emits": emitting(), "traps": trapsWhenAsked()} {
		err = errors.Join(err, os.WriteFile(filepath.Join(modules, name+".wasm"), module, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	h := newHome(t, "log.>", projection("mirrored", "count.wasm", "[projection.kv]", `bucket = "COPY"`)+
		projection("asked", "traps.wasm")+
		projection("emits", "emits.wasm", "[projection.emit]", `subjects = ["out.>"]`, "history = true"))
	h.undeclareStream()
	h.useModules(modules)
	h.configure("", fmt.Sprintf("[nats]\nurl = %q\nuser = \"engine\"\npassword = \"secret\"", s.URL()))
	p := h.serve()
	p.awaitLive("mirrored", 1)
	p.awaitLive("asked", 1)
	ask := func(times int) {
		for range times {
			_, _ = p.client.Query(t.Context(), "asked", nil)                       // it traps
			_ = p.page("/v1/projections/mirrored/state/none?min_seq=1000&wait=0s") // which does not come
		}
	}
	ask(1)
	const refusals = `gnomon_nats_refusals_total{instance="here",job="gnomon"}`
	before := p.scrapeUntil(refusals, above(0))
	ask(20)
	p.scrapeUntil(`gnomon_projection_mirror_left_out_keys{instance="here",job="gnomon",projection="mirrored",stream="LOG"}`, above(0))
	after := p.scrapeUntil(refusals, above(before[refusals]))
	return []alertCase{{"clients in trouble", []scraped{before, after}, []string{
		"GnomonMirrorLeavesOut mirrored", "GnomonQueriesFail asked", "GnomonRequestsFail", "GnomonPermissionMissing", "GnomonOutboxBlocked emits",
	}}}
}

// trapsWhenAsked is a module whose query traps.
func trapsWhenAsked() []byte {
	const unreachable = 0
	return module(nothing, wasmgen.Func{Export: abi.ExportQuery, Results: []abi.ValueType{abi.I32}, Code: [][]byte{{unreachable}}}).Bytes()
}
