package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/store"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/certtest"
	"gnomon/internal/testutil/natstest"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// Every alert fires when its trouble is there, caused in an engine that runs, and none of the
// others does; of an engine that is well none fires.
func TestAlerts(t *testing.T) {
	long(t)
	testutil.Tool(t, "promtool", "promtool")
	var cases []alertCase
	for _, c := range []struct {
		name  string
		cause func(*testing.T) []alertCase
	}{
		{"projections", projectionTroubles}, {"process", processTroubles}, {"disk", diskTroubles}, {"certificate", certificateTroubles}, {"clients", clientTroubles},
	} {
		done := t.Run(c.name, func(t *testing.T) { cases = append(cases, c.cause(t)...) })
		if !done {
			t.FailNow()
		}
	}
	wantAlerts(t, cases...)
	var caused []string
	for _, c := range cases {
		for _, w := range c.want {
			alert, _, _ := strings.Cut(w, " ")
			caused = append(caused, alert)
		}
	}
	for _, r := range readAlerts(t) {
		if !slices.Contains(caused, r.Alert) && !(strings.HasPrefix(r.Alert, "GnomonDisk") && os.Geteuid() != 0) {
			t.Errorf("nothing here causes the trouble of %s", r.Alert)
		}
	}
}

// The rules do over time what deploy/prometheus/alerts_test.yml says: they wait, and what passes or
// gets less is reported by none.
func TestAlertsOverTime(t *testing.T) {
	promtool := testutil.Tool(t, "promtool", "promtool")
	cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", "alerts_test.yml")
	cmd.Dir = filepath.Dir(alertRules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Every alert says what it is about and links to a heading of docs/OPERATIONS.md that says what to
// do, which the table there names, too.
func TestAlertsHaveRunbooks(t *testing.T) {
	root := os.DirFS("../..")
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := anchors(t, root, "docs/OPERATIONS.md")
	for _, r := range readAlerts(t) {
		page, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		if !strings.HasSuffix(page, "/docs/OPERATIONS.md") || !slices.Contains(headings, anchor) {
			t.Errorf("%s links to %s, and there is no such heading", r.Alert, r.Annotations["runbook_url"])
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s lacks a summary, a description or a severity", r.Alert)
		}
		if row := fmt.Sprintf("| [%s](#%s) |", r.Alert, anchor); !strings.Contains(string(text), row) {
			t.Errorf("docs/OPERATIONS.md has no row %s", row)
		}
	}
}

// projectionTroubles has one projection for each trouble that there is of them.
func projectionTroubles(t *testing.T) []alertCase {
	dir, server := t.TempDir(), natstest.Start(t)
	write := func(name string, module []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), module, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, module := range map[string][]byte{"calm": sound, "traps": scriptModules["apply-traps"](), "busy": busy(), "emits": emitting(), "changed": sound, "bad": sound} {
		write(name, module)
	}
	js := server.JetStream(t)
	create := func(name string) {
		t.Helper()
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{strings.ToLower(name) + ".>"}}); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(stream string, n int) {
		t.Helper()
		for range n {
			if _, err := js.Publish(t.Context(), strings.ToLower(stream)+".a", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, stream := range []string{"LOG", "GONE", "KV_TAKEN"} { // the last one is no bucket
		create(stream)
	}
	publish("LOG", 20)
	publish("GONE", 2)
	h := newHome(t, "log.>", projection("calm", "calm.wasm")+
		projection("halts", "traps.wasm")+
		projection("letters", "traps.wasm", `on_error = "dead-letter"`)+
		projection("passes", "traps.wasm", `on_error = "skip"`)+
		projection("slow", "busy.wasm", "[projection.limits]", "batch_events = 1", "fuel = 0")+
		projection("waits", "calm.wasm")+
		projection("emits", "emits.wasm", "[projection.emit]", `subjects = ["out.>"]`, "history = true")+
		projection("mirrored", "calm.wasm", "[projection.kv]", `bucket = "TAKEN"`)+
		projection("unsynced", "calm.wasm")+
		projection("changed", "changed.wasm")+
		projection("refused", "bad.wasm")+
		projection("withdrawn", "calm.wasm")+
		strings.Replace(projection("recreated", "calm.wasm"), "LOG", "GONE", 1))
	h.undeclareStream()
	h.useModules(dir)
	h.configure("", fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	p := h.serve()
	p.awaitLive("recreated", 2)
	for _, name := range []string{"unsynced", "letters", "passes", "waits", "withdrawn", "changed", "refused"} {
		p.awaitLive(name, 20)
	}

	before := scraped{}
	for name, v := range p.scrape() {
		if strings.HasPrefix(name, "gnomon_projection_skipped_events_total") {
			before[name] = v
		}
	}
	if _, err := p.client.Act(t.Context(), "waits", "pause"); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "GONE"); err != nil {
		t.Fatal(err)
	}
	create("GONE")
	publish("GONE", 3)
	s, err := p.client.Projection(t.Context(), "unsynced")
	if err == nil { // where a sync writes: then none is possible
		err = os.Mkdir(filepath.Join(h.data(), "projections", "unsynced", s.Generation, "keyspace.json.new"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	write("changed", scriptModules["apply-traps"]())
	write("bad", []byte("This is not a module."))
	h.replace(projection("withdrawn", "calm.wasm"), "")
	publish("LOG", 200)

	state := func(name, projection, stream, state string) string {
		return fmt.Sprintf(`gnomon_%s_state{instance="here",job="gnomon",projection=%q,state=%q,stream=%q}`, name, projection, state, stream)
	}
	of := func(name, projection string) string {
		return fmt.Sprintf(`gnomon_projection_%s{instance="here",job="gnomon",projection=%q,stream="LOG"}`, name, projection)
	}
	var there scraped
	for name, limit := range map[string]float64{
		state("projection", "halts", "LOG", "halted"): 0, state("projection", "recreated", "GONE", "diverged"): 0, state("projection", "waits", "LOG", "paused"): 0,
		state("projection", "withdrawn", "LOG", "stopped"): 0, state("candidate", "changed", "LOG", "halted"): 0,
		of("refused", "refused"): 0, of("dead_letters", "letters"): 219, of("skipped_events_total", "passes"): 219, of("outbox_blocked", "emits"): 0, of("mirror_failing", "mirrored"): 0, of("unsynced_seconds", "unsynced"): 5,
		state("projection", "calm", "LOG", "live"): 0, state("projection", "changed", "LOG", "live"): 0, state("projection", "refused", "LOG", "live"): 0, state("projection", "letters", "LOG", "live"): 0,
	} {
		there = p.scrapeUntil(name, above(limit))
	}
	if there[of("behind", "slow")] == 0 {
		t.Fatal("the slow one is not behind")
	}
	return []alertCase{{"projections in trouble", []scraped{before, there}, []string{
		"GnomonNotReady", "GnomonProjectionHalted halts", "GnomonProjectionDiverged recreated", "GnomonProjectionPaused waits", "GnomonProjectionStopped withdrawn",
		"GnomonProjectionBehind slow", "GnomonCandidateStuck changed", "GnomonDeclarationRefused refused", "GnomonDeadLetters letters", "GnomonEventsSkipped passes",
		"GnomonOutboxBlocked emits", "GnomonMirrorFailing mirrored", "GnomonNotSynced unsynced",
	}}}
}

// busy is a module that takes some 40 ms for each batch: it counts in memory.
func busy() []byte {
	at, load, store := wasmgen.I32Const(0), []byte{0x28, 2, 0}, []byte{0x36, 2, 0} // of i32
	isOther, branchIf := []byte{0x47}, []byte{0x0d, 0}
	return module(wasmgen.Apply(
		at, wasmgen.I32Const(0), store,
		wasmgen.Loop, at, at, load, wasmgen.I32Const(1), wasmgen.I32Add, store,
		at, load, wasmgen.I32Const(20_000_000), isOther, branchIf, wasmgen.End,
		wasmgen.I32Const(0),
	)).Bytes()
}

// emitting is a module that emits an event to out.x for each batch.
func emitting() []byte {
	zero := wasmgen.I32Const(0)
	m := module(wasmgen.Apply(zero, zero, wasmgen.I32Const(5), zero, zero, zero, zero, wasmgen.Call(0), wasmgen.Drop, zero))
	m.Imports, m.Data = []wasmgen.Import{wasmgen.Contract(abi.ImportEmit)}, []byte("out.x")
	return m.Bytes()
}

// processTroubles are those of an engine whose projections are well: with clients, with its
// server, and with itself.
func processTroubles(t *testing.T) []alertCase {
	h, server, publish := logServer(t)
	h.replace("[http]", "[http]\nmax_connections = 1")
	publish(3)
	const ready, refused = `gnomon_ready{instance="here",job="gnomon"}`, `gnomon_http_refused_total{instance="here",job="gnomon"}`
	const connected = `gnomon_nats_connected{instance="here",job="gnomon"}`
	p := h.serve()
	p.awaitLive("count", 3) // a scrape from before that would be of one that is behind
	well := p.scrapeUntil(ready, above(0))

	ctx, leave := context.WithCancel(t.Context())
	holder, _ := store.Running(h.data())
	base := cli.BaseOf(holder)
	hold := &http.Client{Transport: new(http.Transport)}
	if _, err := get(ctx, hold, base+"/v1/projections/count/watch"); err != nil {
		t.Fatal(err)
	}
	if code, err := get(ctx, &http.Client{Transport: new(http.Transport)}, base+"/v1/projections"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("a connection too many: %d, %v", code, err)
	}
	crowded := p.scrapeUntil(refused, above(0))
	leave()

	server.Stop()
	p.scrapeUntil(ready, func(v float64) bool { return v == 0 })
	p.scrapeUntil(connected, func(v float64) bool { return v == 0 })
	alone := p.scrapeUntil(`gnomon_stream_end_unknown_seconds{instance="here",job="gnomon",stream="LOG"}`, above(0))
	server.Restart()

	again := []scraped{well}
	for range 3 {
		p.signal(syscall.SIGKILL)
		_, _ = p.wait()
		p = h.serve()
		p.awaitLive("count", 3)
		again = append(again, p.scrapeUntil(ready, above(0)))
	}
	p.signal(syscall.SIGKILL)
	_, _ = p.wait()
	return []alertCase{
		{"all is well", []scraped{well}, nil},
		{"too many connections", []scraped{well, crowded}, []string{"GnomonConnectionsRefused"}},
		{"the server is away", []scraped{alone}, []string{"GnomonNATSDisconnected", "GnomonStreamEndUnknown", "GnomonNotReady"}},
		{"killed again and again", again, []string{"GnomonRestartsOften"}},
		{"killed", []scraped{scrape(t.Context(), http.DefaultClient, base)}, []string{"GnomonDown"}},
	}
}

// get asks for a page, whose body is open until ctx ends.
func get(ctx context.Context, c *http.Client, url string) (code int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	context.AfterFunc(ctx, func() { _ = res.Body.Close() })
	return res.StatusCode, nil
}

// diskTroubles are those of a disk that fills up.
func diskTroubles(t *testing.T) []alertCase {
	h, publish := onSmallDisk(t)
	publish(10)
	p := h.serve()
	p.awaitLive("count", 10)
	const free, ready = `gnomon_disk_free_bytes{instance="here",job="gnomon"}`, `gnomon_ready{instance="here",job="gnomon"}`
	ballast(t, h.data(), 100<<20)
	filling := p.scrapeUntil(free, func(v float64) bool { return v < 128<<20 })
	ballast(t, h.data(), 40<<20)
	p.scrapeUntil(ready, func(v float64) bool { return v == 0 })
	return []alertCase{
		{"the disk fills up", []scraped{filling}, []string{"GnomonDiskFilling"}},
		{"the disk is full", []scraped{p.scrape()}, []string{"GnomonDiskFilling", "GnomonDiskReserve", "GnomonProjectionStalled count", "GnomonNotReady"}},
	}
}

// certificateTroubles are those of a certificate that ends tomorrow.
func certificateTroubles(t *testing.T) []alertCase {
	ca := certtest.New()
	cert, key := ca.Files(t, "server", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(24 * time.Hour) })
	h, _, _ := logServer(t)
	h.configure("", fmt.Sprintf("[http.tls]\ncert = %q\nkey = %q", cert, key))
	p := h.start()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}}}
	var s scraped
	p.until("it is ready", func() bool {
		holder, _ := store.Running(h.data())
		s = scrape(t.Context(), c, cli.BaseOf(holder))
		return s[`gnomon_ready{instance="here",job="gnomon"}`] == 1
	})
	return []alertCase{{"a certificate that ends", []scraped{s}, []string{"GnomonCertificateExpires"}}}
}

// scrape reads the metrics of a process.
func (p *process) scrape() scraped {
	holder, _ := store.Running(p.home.data())
	return scrape(p.t.Context(), http.DefaultClient, cli.BaseOf(holder))
}

// scrapeUntil scrapes until a series is as wanted.
func (p *process) scrapeUntil(name string, holds func(value float64) bool) (s scraped) {
	p.t.Helper()
	p.until(name, func() bool {
		s = p.scrape()
		v, ok := s[name]
		return ok && holds(v)
	})
	return s
}

func above(limit float64) func(float64) bool { return func(v float64) bool { return v > limit } }
