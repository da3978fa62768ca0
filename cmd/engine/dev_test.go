package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
	"gnomon/internal/testutil"
)

// developing is a real engine dev.
type developing struct {
	*process
	shown testutil.Log
}

// develop starts engine dev in a home, and ends it at the end of the test.
func (h *home) develop(args ...string) *developing {
	h.t.Helper()
	return h.developOn(h.dir, args...)
}

// developOn is likewise for a file or folder.
func (h *home) developOn(what string, args ...string) *developing {
	h.t.Helper()
	d := &developing{process: &process{t: h.t, home: h, cmd: exec.Command("engine", append([]string{"dev", what}, args...)...), ended: make(chan error, 1)}}
	d.cmd.Stdout, d.cmd.Stderr = &d.shown, &d.shown
	d.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if err := d.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	h.t.Cleanup(func() {
		d.signal(syscall.SIGTERM) // of its children a kill would leave some
		d.wait()
		if h.t.Failed() {
			h.t.Logf("engine dev printed\n%s", d.shown.String())
		}
	})
	return d
}

// untilShown waits until it has printed a text so often.
func (d *developing) untilShown(text string, times int) {
	d.t.Helper()
	d.until(fmt.Sprintf("it prints %q %d times", text, times), func() bool { return strings.Count(d.shown.String(), text) >= times })
}

// ask finds the engine that works on the data of the home.
func (d *developing) ask() {
	d.t.Helper()
	holder, _ := store.Running(d.home.data())
	var err error
	if d.client, err = client.New("http://"+holder.HTTP, ""); err != nil {
		d.t.Fatal(err)
	}
}

// interrupt ends it as Ctrl-C does; it must end well.
func (d *developing) interrupt() {
	d.t.Helper()
	d.signal(os.Interrupt)
	if _, err := d.wait(); err != nil {
		d.t.Errorf("interrupted, it ended with %v", err)
	}
}

func (h *home) write(file, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, file), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// rewrite replaces a text in a file.
func (h *home) rewrite(file, old, text string) {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, file))
	if err != nil || !bytes.Contains(b, []byte(old)) {
		h.t.Fatalf("%s has no %q: %v", file, old, err)
	}
	h.write(file, strings.Replace(string(b), old, text, 1))
}

// A script alone is tested on the events beside it, loaded and shown, again at every change of either; events that are
// none are waited for; a script that is no JavaScript changes nothing; and nothing is left at the end.
func TestDevScript(t *testing.T) {
	cache, temp := compiled(t), t.TempDir()
	t.Setenv("GNOMON_CACHE", cache)
	t.Setenv("TMPDIR", temp)
	h := &home{t: t, dir: t.TempDir()}
	visit := func(id, page string) string {
		return fmt.Sprintf(`{"subject":"shop.page.%s","id":%q,"type":"visited","time":"2026-01-31T12:00:00Z","data":{}}`+"\n", page, id)
	}
	if err := os.Mkdir(filepath.Join(h.dir, "testdata"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.write("testdata/events.jsonl", `{"subject":"shop.page.home"}`+"\n")
	h.write("Visits.js", "export function onEvent(event, state) {\n  state.fold(event.token(3), 0, (n) => n + 1);\n}\n")
	d := h.developOn(filepath.Join(h.dir, "Visits.js"))
	d.untilShown("waiting for a change in ", 1)
	h.write("testdata/events.jsonl", visit("1", "home")+visit("2", "home"))
	d.untilShown("Ctrl-C stops; the data of this engine is then removed.", 1)
	d.untilShown("loaded: visits is live at 2, 1 keys", 1)
	d.untilShown("2\t~\thome\t2\n", 1)
	d.untilShown("engine publish shop.page.home '{}' --type visited --config ", 1)

	h.write("testdata/events.jsonl", visit("1", "home")+visit("2", "home")+visit("3", "help"))
	d.untilShown("\nchanged: testdata/events.jsonl\n", 1)
	d.untilShown("3\t~\thelp\t1\n", 1)
	h.rewrite("Visits.js", "n + 1", "n + 2")
	d.untilShown("3\t~\thome\t4\n", 1)
	h.rewrite("Visits.js", "(event, state)", "(event, state")
	d.untilShown("waiting for a change in "+filepath.Join(h.dir, "Visits.js"), 2)
	if !strings.Contains(d.shown.String(), "SyntaxError") {
		t.Error("it does not say why no module is made of the script")
	}
	d.interrupt()
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left is %v, %v", left, err)
	}
}

// A new project is built and loaded into an engine of its own; events show in its state, and
// so does a change of its source, at once. A source that does not build changes nothing.
func TestDev(t *testing.T) {
	long(t)
	p := newProject(t, "go")
	h := &home{t: t, dir: p.dir}
	h.shareCache()
	h.rewrite("config.toml", "data_dir", "http.listen = \"127.0.0.1:0\"\ndata_dir")
	d := h.develop("--no-test")
	d.untilShown("loaded: x is live at 293", 1)
	d.ask()
	published, err := d.client.Publish(t.Context(), "BANK", wire.NewEvent{
		Subject: "bank.accounts", Type: "account.opened", Data: []byte(`{"account":"mine","owner":"Me"}`),
	})
	if err != nil || published.Sequence != 294 {
		t.Fatal(published, err)
	}
	d.untilShown("294\t~\t\"account\\tmine\"\t{\"owner\":\"Me\",\"balance\":0,\"events\":1,", 1)

	counts := func(state string) bool {
		got, err := d.client.Get(t.Context(), "x", []byte("account\tshort"))
		return err == nil && strings.Contains(string(got.Value), state)
	}
	if !counts(`"events":8,`) {
		t.Error("the state is not the one of testdata")
	}
	h.rewrite("main.go", "a.events++", "a.events += 2")
	d.untilShown("loaded: x is live at 294", 1)
	d.untilShown("294\t~\t\"account\\tshort\"\t{\"owner\":\"Mallory\",\"balance\":-501,\"events\":15,", 1)
	if !counts(`"events":15,`) {
		t.Error("the changed source does not show")
	}
	h.rewrite("main.go", "a.events += 2", "a.events +=")
	d.untilShown("engine: the module is not built: ", 1)
	if !counts(`"events":15,`) {
		t.Error("a source that does not build shows")
	}
	h.rewrite("main.go", "a.events +=", "a.events++ //")
	d.untilShown("loaded: x is live at 294", 2)
	if !counts(`"events":8,`) {
		t.Error("the mended source does not show")
	}
	d.interrupt()
	if _, running := store.Running(h.data()); running {
		t.Error("the engine did not end with it")
	}
}

// copied is a project whose module is a file of it.
const copied = `OUT ?= build/x.wasm
$(OUT): x.wasm
	cp x.wasm $(OUT)
test: $(OUT)
	test ! -e failing
`

// newCopied makes such a project over the events of a file.
func newCopied(t *testing.T) *home {
	t.Helper()
	h := newHome(t, "log.>", projection("x", "x.wasm"))
	h.useModules(filepath.Join(h.dir, "build"))
	h.rewrite("config.toml", "subjects = ", "seed = \"events.jsonl\"\nsubjects = ")
	h.write("Makefile", copied)
	var lines bytes.Buffer
	if _, err := lines.ReadFrom(eventLines(0, 7)); err != nil {
		t.Fatal(err)
	}
	h.write("events.jsonl", lines.String())
	count, err := os.ReadFile(filepath.Join(exampleModules(t), "count.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("x.wasm", string(count))
	return h
}

// A module that fails its test is not loaded, at the start as later; one that the engine
// refuses leaves the one that ran. Events that are added to the seed are imported.
func TestDevRefuses(t *testing.T) {
	h := newCopied(t)
	h.write("failing", "")
	d := h.develop()
	d.untilShown("engine: the module is not loaded: make test: exit status 2\nhint: ", 1)
	if _, running := store.Running(h.data()); running {
		t.Error("an engine was started for a module that fails its test")
	}
	d.interrupt()
	d = h.develop("--fresh") // of nothing but compiled modules
	d.untilShown("engine: the module is not loaded: ", 1)
	if err := os.Remove(filepath.Join(h.dir, "failing")); err != nil {
		t.Fatal(err)
	}
	d.untilShown("loaded: x is live at 7, 7 keys", 1)
	h.rewrite("events.jsonl", "", `{"subject":"log.new","id":"new","type":"t","time":"2026-01-31T12:00:00Z","data":1}`+"\n")
	d.untilShown("\nLOG: 1 events imported, 7 were there already, the last one is 8\n", 1)
	d.untilShown("8\t~\tlog.new\t", 1)
	h.write("x.wasm", "no module")
	d.untilShown("engine: the engine refuses the module: ", 1)
	d.ask()
	if s := d.awaitLive("x", 8); s.Keys != 8 {
		t.Errorf("the state is %+v", s)
	}
	d.interrupt()
}

// Where an engine runs on the configuration, that one takes the module, and goes on.
func TestDevWithRunningEngine(t *testing.T) {
	h := newCopied(t)
	if err := os.Mkdir(filepath.Join(h.dir, "build"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.rewrite("config.toml", projection("x", "x.wasm"), "")
	p := h.serve()
	p.until("the seed is imported", func() bool {
		facts, err := p.client.Stream(t.Context(), "LOG")
		return err == nil && facts.Last == 7
	})
	h.configure("", projection("x", "x.wasm"))
	d := h.develop("--config", h.config)
	d.untilShown("loaded: x is live at 7, 7 keys", 1)
	d.interrupt()
	p.await("x", "it goes on", func(s engine.Status) bool { return s.State == engine.Live && s.Position == 7 })
}

// An engine elsewhere takes the module from the bucket, with what the project declares it as.
func TestDevElsewhere(t *testing.T) {
	engines := newHome(t, "log.>", "")
	engines.rewrite("config.toml", "[plugins]\n", "[plugins]\nbucket = \"MODULES\"\n")
	p := engines.serve()
	h := newCopied(t)
	h.write("x.toml", "[projection]\nstream = \"LOG\"\n")
	d := h.develop("--server", p.url())
	d.untilShown("names no bucket, by which an engine elsewhere takes modules\nhint: set plugins.bucket", 1)
	h.rewrite("config.toml", "[plugins]\n", "[plugins]\nbucket = \"MODULES\"\n")
	d.untilShown("x.wasm is in MODULES: the engine takes it for a projection that its configuration declares, or x.toml here", 1)
	d.untilShown("loaded: x is live at 0, 0 keys", 1)
	p.publish(0, 7)
	d.untilShown("7\t~\tlog.6\t", 1)
	d.interrupt()
	p.awaitLive("x", 7)
}

// Interrupted amid a build it ends at once, with what the build started. A configuration that
// is wrong for a while is one thing more to mend.
func TestDevInterrupted(t *testing.T) {
	h := newCopied(t)
	d := h.develop()
	d.untilShown("loaded: x is live at 7, 7 keys", 1)
	h.rewrite("config.toml", "[plugins]", "[plugin]")
	d.untilShown("unknown key \"plugin\"", 1)
	h.rewrite("config.toml", "[plugin]", "[plugins]")
	d.untilShown("loaded: x is live at 7, 7 keys", 2)
	h.rewrite("Makefile", "cp x.wasm $(OUT)", "sleep 1000 & echo $$! >pid.new; mv pid.new pid; wait")
	h.rewrite("x.wasm", "", "another") // which is what is copied
	var pid int
	d.until("it builds", func() bool {
		b, err := os.ReadFile(filepath.Join(h.dir, "pid"))
		_, serr := fmt.Sscan(string(b), &pid)
		return err == nil && serr == nil
	})
	d.interrupt()
	testutil.Until(t, func() bool { return syscall.Kill(pid, 0) != nil })
}

// What is no project, and data that may be somebody's, are refused with a way out.
func TestDevErrors(t *testing.T) {
	h := newCopied(t)
	outside := newCopied(t)
	outside.configure(fmt.Sprintf("data_dir = %q", t.TempDir()), "")
	foreign := newCopied(t)
	foreign.configure(`data_dir = "photos"`, "")
	if err := os.MkdirAll(filepath.Join(foreign.dir, "photos", "2026"), 0o700); err != nil {
		t.Fatal(err)
	}
	two := newCopied(t)
	two.configure("", projection("y", "y.wasm"))
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{t.TempDir()}, cli.ExitFailed, "Makefile: no such file or directory\nhint: name the folder of a project"},
		{[]string{h.dir, "--config", h.config, "--fresh"}, cli.ExitUsage, "--fresh and --config are both given"},
		{[]string{outside.dir, "--fresh"}, cli.ExitFailed, "is not in " + outside.dir + "\nhint: set data_dir"},
		{[]string{foreign.dir, "--fresh"}, cli.ExitFailed, "photos holds no data of an engine\nhint: look at it"},
		{[]string{two.dir}, cli.ExitFailed, "declares several projections: x, y\nhint: say with --projection"},
		{[]string{filepath.Join(h.dir, "none.js")}, cli.ExitFailed, "none.js: no such file or directory\nhint: write one, such as: export function onEvent"},
		{[]string{filepath.Join(h.dir, "x.js"), "--fresh"}, cli.ExitUsage, "--fresh does not go with "},
		{[]string{h.dir, "--subject", "a.>"}, cli.ExitUsage, "--subject does not go with " + h.dir + ": a project's config.toml says that"},
		{[]string{two.dir, "--projection", "z"}, cli.ExitFailed, "declares no projection z\nhint: it has x, y"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"dev"}, tt.args...), strings.NewReader(""), &out, &errs)
		if code != tt.code || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%v: exit %d: %s", tt.args, code, errs.String())
		}
	}
}
