package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
	"gnomon/internal/testutil"
)

// built is a folder with the program and the modules, which tests share.
var built string

func TestMain(m *testing.M) {
	code := func() int {
		dir, err := os.MkdirTemp("", "gnomon-browser-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		built = dir
		return m.Run()
	}()
	os.Exit(code)
}

// build makes the program and the modules once.
var build = sync.OnceValue(func() error {
	for _, c := range []struct{ env, command string }{
		{"", "go build -o " + built + "/engine gnomon/cmd/engine"},
		{"GOOS=wasip1 GOARCH=wasm", "go build -trimpath -buildvcs=false -buildmode=c-shared -ldflags=-s -o " + built + "/repo-files.wasm gnomon/examples/wasm-projections/repo-files"},
		{"", "cp ../../examples/wasm-projections/count/count.wasm " + built},
		{"", built + "/engine attach testdata/balances.js -o " + built + "/balances.wasm"},
		{"", built + "/engine attach testdata/mended.js -o " + built + "/mended.wasm"},
	} {
		words := strings.Fields(c.command)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Env = append(os.Environ(), strings.Fields(c.env)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", c.command, err, out)
		}
	}
	return nil
})

// gitlog is the history of nats-server: 19,547 events.
const gitlog = "../../examples/wasm-projections/data/gitlog.jsonl.gz"

// server is an engine in a process of its own.
type server struct {
	t      testing.TB
	dir    string // with its configuration
	url    string
	client *client.Client
}

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// serve starts an engine with the modules in plugins, and ends it with the test. Token is what
// the rig's own requests send.
func serve(t testing.TB, config, token string) *server {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: t.TempDir()}
	s.install("count.wasm", "repo-files.wasm", "balances.wasm")
	s.configure(config)
	s.shareCache()
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(built, "engine"), "run", "--config", filepath.Join(s.dir, "config.toml"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("the engine says:\n%s", out.Bytes())
		}
	})
	testutil.Until(t, func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the engine ended: %v\n%s", err, out.Bytes())
		default:
		}
		holder, _ := store.Running(filepath.Join(s.dir, "data"))
		if holder.PID != cmd.Process.Pid || holder.HTTP == "" {
			return false
		}
		s.url = "http://" + holder.HTTP
		return true
	})
	var err error
	if s.client, err = client.New(s.url, token); err != nil {
		t.Fatal(err)
	}
	return s
}

// shareCache has the engine find modules that are compiled already: compiling one takes seconds.
func (s *server) shareCache() {
	s.t.Helper()
	cache, data := testutil.Compiled(filepath.Join(built, "cache")), filepath.Join(s.dir, "data")
	if err := errors.Join(os.MkdirAll(cache, 0o700), os.Mkdir(data, 0o700), os.Symlink(cache, filepath.Join(data, "cache"))); err != nil {
		s.t.Fatal(err)
	}
}

// install copies modules to where the engine takes them from.
func (s *server) install(modules ...string) {
	s.t.Helper()
	for _, m := range modules {
		b, err := os.ReadFile(filepath.Join(built, m))
		if err == nil {
			err = os.MkdirAll(filepath.Join(s.dir, "plugins"), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, "plugins", m), b, 0o600)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// configure writes the configuration, which a running engine takes by itself.
func (s *server) configure(text string) {
	s.t.Helper()
	text = "plugins.dir = \"plugins\"\nhttp.listen = \"127.0.0.1:0\"\ndisk_reserve = \"0B\"\n" + text
	if err := os.WriteFile(filepath.Join(s.dir, "config.toml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until the status of a projection is as wanted.
func (s *server) await(projection string, ok func(engine.Status) bool) (st engine.Status) {
	s.t.Helper()
	testutil.Until(s.t, func() bool {
		var err error
		st, err = s.client.Projection(context.Background(), projection)
		return err == nil && ok(st)
	})
	return st
}

// awaitLive waits until a projection has all of its stream, which is not empty.
func (s *server) awaitLive(projections ...string) {
	s.t.Helper()
	for _, p := range projections {
		s.await(p, func(st engine.Status) bool {
			return st.State == engine.Live && st.Behind == 0 && st.Position > 0
		})
	}
}

// publish appends an event and returns its sequence.
func (s *server) publish(stream string, e wire.NewEvent) uint64 {
	s.t.Helper()
	done, err := s.client.Publish(s.t.Context(), stream, e)
	if err != nil {
		s.t.Fatal(err)
	}
	return done.Sequence
}
