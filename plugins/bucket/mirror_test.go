package bucket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What is deployed, deployed again and removed is soon in the folder of everyone who
// mirrors the bucket, which need not be there at first.
func TestMirror(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	other := *r
	other.folder = filepath.Join(t.TempDir(), "other")
	other.run()
	everywhere := func(want map[string]string) {
		t.Helper()
		r.holds(want)
		other.holds(want)
	}
	everywhere(map[string]string{})
	if done := r.deploy("count", "v1"); !done.Created || done.Same || done.SHA256 != digest([]byte("v1")) || done.Bucket != modules {
		t.Errorf("the first one: %+v", done)
	}
	everywhere(map[string]string{"count.wasm": "v1"})
	r.deploy("other", "x", "toml", "sig")
	everywhere(map[string]string{"count.wasm": "v1", "other.wasm": "x", "other.toml": "toml", "other.wasm.minisig": "sig"})
	if done := r.deploy("count", "v2", "toml 2"); done.Created || done.Same || !reflect.DeepEqual(done.Files, []string{"count.toml", "count.wasm"}) {
		t.Errorf("another version: %+v", done)
	}
	everywhere(map[string]string{"count.wasm": "v2", "count.toml": "toml 2", "other.wasm": "x", "other.toml": "toml", "other.wasm.minisig": "sig"})
	if done := r.deploy("count", "v2", "toml 2"); !done.Same {
		t.Errorf("the same again: %+v", done)
	}
	must(t, Remove(t.Context(), r.js, modules, "other"))
	everywhere(map[string]string{"count.wasm": "v2", "count.toml": "toml 2"})
	r.deploy("count", "v3")
	everywhere(map[string]string{"count.wasm": "v3"})
	want := Status{Bucket: modules, Deployed: map[string]string{"count": digest([]byte("v3"))}, Refused: map[string]string{}}
	r.eventually("the status", func() bool { return reflect.DeepEqual(r.mirror.Status(), want) })
}

// What is removed or asked for but was never deployed is named, with what there is.
func TestRemoveWhatIsNotThere(t *testing.T) {
	r := newRig(t)
	err := Remove(t.Context(), r.js, modules, "count")
	if !errors.Is(err, ErrNotDeployed) || err.Error() != "module count is not deployed: there is no bucket GNOMON_MODULES" {
		t.Errorf("no bucket: %v", err)
	}
	r.deploy("a", "1")
	r.deploy("b", "1")
	r.deploy("c", "1")
	must(t, Remove(t.Context(), r.js, modules, "c"))
	for _, name := range []string{"count", "c"} {
		err = Remove(t.Context(), r.js, modules, name)
		if !errors.Is(err, ErrNotDeployed) || err.Error() != "module "+name+" is not deployed: bucket GNOMON_MODULES holds a, b" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Remove(t.Context(), r.js, modules, "../a"); !errors.Is(err, ErrBad) {
		t.Errorf("no name: %v", err)
	}
}

// Who reads the folder sees deployments as a whole: the files of one version, all of
// them, however often they are replaced meanwhile.
func TestDeploymentsAreAtomic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.deploy("count", "0", "0", "0")
	r.run()
	r.holds(map[string]string{"count.wasm": "0", "count.toml": "0", "count.wasm.minisig": "0"})
	ctx, stop := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	defer reader.Wait()
	defer stop()
	reader.Go(func() {
		for ctx.Err() == nil {
			root, err := os.OpenRoot(r.folder)
			if err != nil {
				t.Error(err)
				return
			}
			var parts []string
			for _, file := range filesOf("count") {
				b, err := root.ReadFile(file)
				if err != nil {
					b = []byte(err.Error())
				}
				parts = append(parts, string(b))
			}
			_ = root.Close()
			if parts[0] != parts[1] || parts[0] != parts[2] {
				t.Errorf("parts of several versions are there: %q", parts)
				return
			}
		}
	})
	for i := range 20 {
		version := fmt.Sprint(i + 1)
		r.deploy("count", version, version, version)
		r.holds(map[string]string{"count.wasm": version, "count.toml": version, "count.wasm.minisig": version})
	}
}

// While the server is away there is what there was, also after a new start; when it is
// back, so are its changes.
func TestServerAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.deploy("count", "v1", "toml")
	stop := r.run()
	was := map[string]string{"count.wasm": "v1", "count.toml": "toml"}
	r.holds(was)
	r.server.Stop()
	stop()
	stop = r.run()
	if r.holds(was); !errors.Is(r.mirror.Status().Err, ErrNotLooked) {
		t.Errorf("the status is %+v", r.mirror.Status())
	}
	r.server.Restart()
	r.eventually("the server", func() bool { return r.mirror.Status().Err == nil })
	r.server.Stop()
	r.eventually("an error", func() bool { return r.mirror.Status().Err != nil })
	r.server.Restart()
	r.eventually("the server", func() bool { return r.js.Conn().IsConnected() })
	r.deploy("count", "v2")
	r.holds(map[string]string{"count.wasm": "v2"})
	stop()
	r.deploy("count", "v3")
	r.deploy("new", "1")
	r.run()
	r.holds(map[string]string{"count.wasm": "v3", "new.wasm": "1"})
}

// Changes are told by the server, also after it was away for a while: nobody has to look
// for them.
func TestWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.poll = time.Hour
	r.deploy("count", "v1")
	r.run()
	r.holds(map[string]string{"count.wasm": "v1"})
	r.deploy("count", "v2")
	r.holds(map[string]string{"count.wasm": "v2"})
	must(t, Remove(t.Context(), r.js, modules, "count"))
	r.holds(map[string]string{})
	r.server.Restart()
	r.eventually("the server", func() bool { return r.js.Conn().IsConnected() })
	consumers := func() (n int) {
		if s, err := r.js.Stream(t.Context(), streamOf(modules)); err == nil {
			n = s.CachedInfo().State.Consumers
		}
		return n
	}
	r.eventually("the watch", func() bool { return consumers() > 0 })
	r.deploy("count", "v3")
	r.holds(map[string]string{"count.wasm": "v3"})
}

// When the server does not tell of changes any more, they are found by looking.
func TestWatchIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.deploy("count", "v1")
	r.run()
	r.holds(map[string]string{"count.wasm": "v1"})
	stream, err := r.js.Stream(t.Context(), streamOf(modules))
	must(t, err)
	for i := range 3 {
		for name := range stream.ConsumerNames(t.Context()).Name() {
			if err := stream.DeleteConsumer(t.Context(), name); !errors.Is(err, jetstream.ErrConsumerNotFound) { // some end by themselves
				must(t, err)
			}
		}
		version := fmt.Sprint("v", i+2)
		r.deploy("count", version)
		r.holds(map[string]string{"count.wasm": version})
	}
}

// Without its bucket a folder stays as it is, and the log tells once; a bucket that is
// there again, with whatever is in it, is mirrored.
func TestBucketIsDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	absent := func() bool { return errors.Is(r.mirror.Status().Err, jetstream.ErrStreamNotFound) }
	r.eventually("no bucket", absent)
	r.deploy("count", "v1")
	r.deploy("other", "v1")
	r.holds(map[string]string{"count.wasm": "v1", "other.wasm": "v1"})
	must(t, r.js.DeleteObjectStore(t.Context(), modules))
	r.eventually("no bucket", absent)
	r.holds(map[string]string{"count.wasm": "v1", "other.wasm": "v1"})
	r.deploy("new", "v1")
	r.holds(map[string]string{"new.wasm": "v1"})
	if text := r.log.String(); strings.Count(text, "does not exist") != 2 {
		t.Errorf("the log does not tell twice that there is no bucket:\n%s", text)
	}
}

// Once mirrors a bucket for who waits for it.
func TestOnce(t *testing.T) {
	r := newRig(t)
	r.mirror = r.open()
	if err := r.mirror.Once(t.Context(), r.js); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("no bucket: %v", err)
	}
	r.deploy("count", "v1")
	must(t, r.mirror.Once(t.Context(), r.js))
	if have := files(t, r.folder); have["count.wasm"] != "v1" {
		t.Errorf("the folder has %v", have)
	}
	select {
	case <-r.mirror.Changes():
	default:
		t.Error("no change is reported")
	}
	must(t, r.mirror.Once(t.Context(), r.js))
	select {
	case <-r.mirror.Changes():
		t.Error("a change is reported, and there was none")
	default:
	}
}

// An object whose bytes are lost is refused and tried again, while what was there before
// stays; deploying the same once more mends it.
func TestObjectIsBroken(t *testing.T) {
	chunkTime = 200 * time.Millisecond
	t.Cleanup(func() { chunkTime = 10 * time.Second })
	r := newRig(t)
	r.deploy("count", "v1")
	stop := r.run()
	r.holds(map[string]string{"count.wasm": "v1"})
	stop()
	large := strings.Repeat("v2", 200_000) // several chunks
	r.deploy("count", large)
	objects, err := r.js.ObjectStore(t.Context(), modules)
	must(t, err)
	o, err := objects.GetInfo(t.Context(), "count")
	must(t, err)
	stream, err := r.js.Stream(t.Context(), streamOf(modules))
	must(t, err)
	must(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject("$O."+modules+".C."+o.NUID), jetstream.WithPurgeKeep(1)))
	r.deploy("other", "v1")
	stop = r.run()
	r.holds(map[string]string{"count.wasm": "v1", "other.wasm": "v1"})
	r.eventually("a refusal", func() bool {
		s := r.mirror.Status()
		return s.Refused["count"] != "" && s.Deployed["count"] == digest([]byte("v1")) && s.Err == nil
	})
	if done := r.deploy("count", large); done.Same {
		t.Error("a broken object passes for a whole one")
	}
	r.holds(map[string]string{"count.wasm": large, "other.wasm": "v1"})
	stop()
}
