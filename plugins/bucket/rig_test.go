package bucket

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/internal/testutil/natstest"
)

const (
	patience = 30 * time.Second
	modules  = "GNOMON_MODULES"
)

// rig is a server and a mirror of its bucket.
type rig struct {
	t      *testing.T
	server *natstest.Server
	js     jetstream.JetStream
	folder string
	poll   time.Duration
	log    *log
	mirror *Mirror // that runs
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s := natstest.Start(t)
	return &rig{t: t, server: s, js: s.JetStream(t), folder: filepath.Join(t.TempDir(), "modules.d"), poll: 100 * time.Millisecond, log: new(log)}
}

// open opens the mirror.
func (r *rig) open() *Mirror {
	r.t.Helper()
	m, err := Open(MirrorOptions{Bucket: modules, Folder: r.folder, Poll: r.poll, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	must(r.t, err)
	return m
}

// run opens the mirror, and has it run until stop, or until the test ends.
func (r *rig) run() (stop func()) {
	r.t.Helper()
	r.mirror = r.open()
	ctx, cancel := context.WithCancel(r.t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.mirror.Sync(ctx, r.js) })
	stop = func() { cancel(); running.Wait() }
	r.t.Cleanup(stop)
	return stop
}

// deploy puts a module with files besides.
func (r *rig) deploy(name, module string, besides ...string) Stored {
	r.t.Helper()
	done, err := Deploy(r.t.Context(), r.js, modules, deployment(name, module, besides...))
	must(r.t, err)
	return done
}

// deployment has a module, and if they are given its configuration and its signature.
func deployment(name, module string, besides ...string) Deployment {
	d := Deployment{Name: name, Files: map[string][]byte{name + ".wasm": []byte(module)}}
	for i, text := range besides {
		d.Files[filesOf(name)[i+1]] = []byte(text)
	}
	return d
}

// holds waits until the folder has these files, and no others.
func (r *rig) holds(want map[string]string) {
	r.t.Helper()
	for deadline := time.After(patience); ; {
		have := files(r.t, r.folder)
		if reflect.DeepEqual(have, want) {
			return
		}
		select {
		case <-r.mirror.Changes():
		case <-deadline:
			r.t.Fatalf("the folder has %v, want %v\n%s", have, want, r.log)
		}
	}
}

// eventually waits until something holds.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); {
		if <-tick.C; time.Now().After(deadline) {
			r.t.Fatalf("waited for %s in vain\n%s", what, r.log)
		}
	}
}

// files reads a folder as it is at one moment; a file that begins with a dot is none of
// the modules.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	root, err := os.OpenRoot(folder)
	must(t, err)
	defer root.Close()
	all := map[string]string{}
	must(t, fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || path[0] == '.' {
			return err
		}
		b, err := fs.ReadFile(root.FS(), path)
		all[path] = string(b)
		return err
	}))
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// log keeps what was logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
