package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"gnomon/cmd/engine/cli"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
)

// TestMain makes the test binary act as the command when it is run as "engine", as
// scripts and crash tests do, and as a NATS server when it is run as "natsserver".
func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	testscript.Main(m, map[string]func(){"engine": main, "natsserver": natstest.Main})
}

// examples builds the example modules, once, and returns their folder.
var examples = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../../examples/wasm-projections")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "gnomon-plugins-")
	if err != nil {
		return "", err
	}
	count, err := os.ReadFile(filepath.Join(root, "count", "count.wasm"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "count.wasm"), count, 0o600); err != nil {
		return "", err
	}
	for _, name := range []string{"repo-files", "process-map", "sessions", "low-stock-alerts", "unique-usernames", "order-status"} {
		c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, name+".wasm"), ".")
		c.Dir = filepath.Join(root, name)
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build example %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

// ledgers builds testdata/ledger, once, as it is and mended, and returns the folder.
var ledgers = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gnomon-ledgers-")
	if err != nil {
		return "", err
	}
	for file, flags := range map[string]string{"ledger.wasm": "-s -w", "mended.wasm": "-s -w -X main.overdraft=1000000"} {
		c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags="+flags, "-o", filepath.Join(dir, file), "./testdata/ledger")
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", file, err, out)
		}
	}
	return dir, nil
})

func exampleModules(t *testing.T) string {
	t.Helper()
	dir, err := examples()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// logFile returns the path of an event log. Some are not shipped: tests that want
// them are skipped, and say so, where they are missing.
func logFile(t *testing.T, name string) string {
	t.Helper()
	shipped := filepath.Join("../../examples/wasm-projections/data", name+".jsonl.gz")
	if _, err := os.Stat(shipped); err == nil {
		return shipped
	}
	path := filepath.Join(sharedData(), "events", name+".jsonl.gz")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("log %s is not shipped and not in %s (set GNOMON_SHARED_DATA)", name, sharedData())
	}
	return path
}

// sharedData is the folder of logs and expected results beside the repository.
func sharedData() string {
	if dir := os.Getenv("GNOMON_SHARED_DATA"); dir != "" {
		return dir
	}
	return "../../../shared/data"
}

// home is a folder with a configuration, in which commands are run.
type home struct {
	t      *testing.T
	dir    string
	config string
}

// newHome writes a configuration with one stream and the given projections.
func newHome(t *testing.T, subjects, projections string) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir()}
	h.config = filepath.Join(h.dir, "config.toml")
	text := fmt.Sprintf("[http]\nlisten = \"127.0.0.1:0\"\n[plugins]\ndir = %q\n[[stream]]\nname = \"LOG\"\nsubjects = [%q]\n%s", exampleModules(t), subjects, projections)
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.shareCache()
	return h
}

// shareCache lets all homes use one cache of compiled modules: compiling takes
// seconds, and with the race detector ten times that.
func (h *home) shareCache() {
	h.t.Helper()
	if err := os.Mkdir(h.data(), 0o700); err != nil {
		h.t.Fatal(err)
	}
	h.linkCache()
}

// linkCache puts the shared cache into a data directory that is there.
func (h *home) linkCache() {
	h.t.Helper()
	if err := os.Symlink(compiled(h.t), filepath.Join(h.data(), "cache")); err != nil {
		h.t.Fatal(err)
	}
}

// compiled is the folder of compiled modules that all tests share.
func compiled(t *testing.T) string {
	t.Helper()
	dir := testutil.Compiled(filepath.Join(exampleModules(t), "cache"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// projection declares a projection over the stream of newHome.
func projection(name, module string, more ...string) string {
	return fmt.Sprintf("[[projection]]\nname = %q\nmodule = %q\nstream = \"LOG\"\n%s\n", name, module, strings.Join(more, "\n"))
}

func (h *home) data() string { return filepath.Join(h.dir, "data") }

// engine runs a command in this process and returns what it prints. The command
// must succeed.
func (h *home) engine(args ...string) string {
	h.t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr); code != cli.ExitDone {
		h.t.Fatalf("engine %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

func (h *home) importLog(file string) {
	h.t.Helper()
	h.engine("import", "--config", h.config, "--stream", "LOG", file)
}

func (h *home) runOnce() { h.t.Helper(); h.engine("run", "--config", h.config, "--once") }
