package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/archive"
	"gnomon/engine/state"
	"gnomon/engine/store"
)

// An engine exports what it serves while events come in, of every kind of projection. A node
// that is seeded with it has the same digest at the same sequence, applies only what follows,
// and comes in step.
func TestTransferUnderLoad(t *testing.T) {
	long(t)
	t.Setenv("GNOMON_CACHE", compiled(t))
	w := newTraffic(t)
	w.publish(500)
	p := w.home.serve()
	names := []string{"count", "skips", "dead", "keyed", "sessions"}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for pace := time.NewTicker(2 * time.Millisecond); ctx.Err() == nil; <-pace.C {
			if err := w.store(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	dir := t.TempDir()
	file := func(kind, name string) string { return filepath.Join(dir, kind+name+archiveEnding) }
	for _, name := range names {
		began := p.await(name, name+" has begun", func(s engine.Status) bool { return s.Position > 100 }).Position
		w.home.engine("snapshot", "create", name, "first", "--server", p.url())
		p.await(name, name+" goes on", func(s engine.Status) bool { return s.Position > began+100 })
		w.home.engine("snapshot", "export", name, "first", "-o", file("first-", name), "--server", p.url())
		w.home.engine("snapshot", "create", name, "second", "--server", p.url())
		w.home.engine("snapshot", "export", name, "second", "--since", "first", "-o", file("since-", name), "--server", p.url())
		w.home.engine("snapshot", "export", name, "-o", file("now-", name), "--server", p.url())
		w.home.engine("snapshot", "export", name, "--bucket", "SNAPSHOTS", "--config", w.home.config, "--server", p.url())
	}
	stop()
	load.Wait()
	// A snapshot can be exported long after the memory that its guest goes on from was replaced.
	p.await("sessions", "all is on disk", func(s engine.Status) bool { return s.Durable == w.stored })
	w.home.engine("snapshot", "export", "sessions", "first", "-o", file("late-", "sessions"), "--server", p.url())
	for seeding, files := range map[string][]string{"now": {"now-"}, "first and what changed since": {"first-", "since-"}, "bucket": nil} {
		t.Run(seeding, func(t *testing.T) {
			h := trafficHome(t, w.server)
			at := map[string]uint64{}
			for _, name := range names {
				if files == nil {
					h.engine("snapshot", "import", name, name+archiveEnding, "--bucket", "SNAPSHOTS", "--config", h.config)
				}
				for _, kind := range files {
					out := h.engine("snapshot", "import", name, file(kind, name), "--config", h.config)
					ck := checkpointOf(t, file(kind, name))
					if at[name] = ck.Position.Sequence; !strings.HasPrefix(out, fmt.Sprintf("%s at %d: %d keys, digest %s;", name, at[name], ck.Keys, ck.Digest)) {
						t.Errorf("%s: imported %s, and the archive is of %d, digest %s", name, out, at[name], ck.Digest)
					}
				}
			}
			seeded := h.serve()
			for _, name := range names {
				got, want := seeded.awaitLive(name, w.stored), p.awaitLive(name, w.stored)
				if got.Digest != want.Digest || got.Keys != want.Keys || got.Aside != want.Aside {
					t.Errorf("%s: the seeded one has %d keys, digest %s, %+v; want %d, %s, %+v", name, got.Keys, got.Digest, got.Aside, want.Keys, want.Digest, want.Aside)
				}
				// A guest with memory goes on from the snapshot of that, which is older.
				if files != nil && name != "sessions" && got.Start != at[name] {
					t.Errorf("%s began at %d, and was imported at %d", name, got.Start, at[name])
				}
				if name != "sessions" && got.Events > w.stored-got.Start || got.Events >= w.stored {
					t.Errorf("%s applied %d of %d events, and began at %d", name, got.Events, w.stored, got.Start)
				}
			}
		})
	}
}

// url is where the engine serves.
func (p *process) url() string {
	holder, _ := store.Running(p.home.data())
	return "http://" + holder.HTTP
}

// checkpointOf is what an archive is of.
func checkpointOf(t *testing.T, file string) state.Checkpoint {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := archive.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	m := r.Manifest()
	return m.Checkpoint()
}

// A seeded node that finds another stream than the archive was made of does not go on, and
// keeps what it has.
func TestTransferToOtherStream(t *testing.T) {
	long(t)
	t.Setenv("GNOMON_CACHE", compiled(t))
	w := newTraffic(t)
	w.publish(300)
	p := w.home.serve()
	p.awaitLive("count", w.stored)
	file := filepath.Join(t.TempDir(), "count"+archiveEnding)
	w.home.engine("snapshot", "export", "count", "-o", file, "--server", p.url())

	other := newTraffic(t)
	other.publish(400)
	other.home.engine("snapshot", "import", "count", file, "--config", other.home.config)
	s := other.home.serve().await("count", "it is diverged", func(s engine.Status) bool { return s.State == engine.Diverged })
	if s.Position != w.stored || s.Digest != checkpointOf(t, file).Digest {
		t.Errorf("it stands at %d, digest %s, and was imported at %d", s.Position, s.Digest, w.stored)
	}
}

// An archive becomes the candidate of a projection that has a state, which follows the
// stream and can be promoted.
func TestTransferToCandidate(t *testing.T) {
	long(t)
	t.Setenv("GNOMON_CACHE", compiled(t))
	w := newTraffic(t)
	w.publish(300)
	p := w.home.serve()
	p.awaitLive("skips", w.stored)
	file := filepath.Join(t.TempDir(), "skips"+archiveEnding)
	w.home.engine("snapshot", "export", "skips", "-o", file, "--server", p.url())
	h := trafficHome(t, w.server)
	h.runOnce()
	w.publish(100)
	h.engine("snapshot", "import", "skips", file, "--candidate", "--config", h.config)
	h.engine("snapshot", "import", "skips", file, "--candidate", "--config", h.config) // in its place
	q := h.serve()
	s := q.await("skips", "the candidate is live", func(s engine.Status) bool {
		return s.Candidate != nil && s.Candidate.State == engine.Live && s.Candidate.Position == w.stored
	})
	if s.Candidate.Digest != q.awaitLive("skips", w.stored).Digest {
		t.Errorf("%+v", s)
	}
	done, err := q.client.Promote(t.Context(), "skips", 0)
	if err != nil || done.To != s.Candidate.ID {
		t.Errorf("%+v, %v", done, err)
	}
}
