package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// MirrorOptions say what is mirrored, and where to.
type MirrorOptions struct {
	Bucket string
	// Folder has the files of the deployments. It is a link, which is replaced at every
	// change: open it anew to see one. What it leads to is in a folder beside it, whose
	// name has a dot before.
	Folder string
	// Poll is the time between two looks at the bucket beside what its server tells.
	// Default: 1 s.
	Poll time.Duration
	Log  *slog.Logger
}

// Mirror has a folder hold what a bucket holds. Its methods may be called from any
// goroutine, but Once and Sync from one at a time.
type Mirror struct {
	MirrorOptions
	changes   chan struct{}
	revisions *revisions
	refusals  map[string]refusal // by the names of objects

	mu     sync.Mutex
	held   record // what the folder has
	status Status // but what comes from held
}

// refusal is why an object is not in the folder.
type refusal struct {
	nuid  string // of the object; empty: it is none
	why   error
	again time.Time // when it is tried again; zero: not before it is another object
}

// Status is what a Mirror has, and has not.
type Status struct {
	Bucket string
	// Deployed are the digests of the modules in the folder, by their names.
	Deployed map[string]string
	// Refused says why other objects of the bucket are not in the folder, by name. One with
	// a name that is in Deployed, too, is kept there as it was before.
	Refused map[string]string
	// Err is why the folder may be older than the bucket; nil: it is not.
	Err error
}

// ErrNotLooked says that a Mirror has not yet been able to look at its bucket.
var ErrNotLooked = errors.New("the bucket was not looked at yet")

// Open opens the folder of a mirror, with what it had when it was used last, for which no
// server is needed. What is damaged is not in it. The folder exists when Open returns.
func Open(o MirrorOptions) (*Mirror, error) {
	m := &Mirror{MirrorOptions: o, changes: make(chan struct{}, 1), refusals: map[string]refusal{}, status: Status{Err: ErrNotLooked}}
	m.Poll = cmp.Or(m.Poll, time.Second)
	revisions, held, damaged, err := openRevisions(o.Folder)
	if err != nil {
		return nil, err
	}
	m.revisions, m.held = revisions, held
	for name, err := range damaged {
		m.Log.Error("deployed module is damaged, and is fetched again", "module", name, "error", err)
	}
	if held.Bucket == o.Bucket && len(damaged) == 0 {
		return m, nil
	}
	if held.Bucket != o.Bucket {
		m.held = record{Bucket: o.Bucket}
	}
	return m, revisions.add(m.held, nil)
}

// Changes receives a value when the folder was changed since the last one was taken. It
// is never closed.
func (m *Mirror) Changes() <-chan struct{} { return m.changes }

// Status returns what the folder holds.
func (m *Mirror) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{Bucket: m.Bucket, Deployed: map[string]string{}, Refused: maps.Clone(m.status.Refused), Err: m.status.Err}
	for name, d := range m.held.Deployments {
		s.Deployed[name] = d.Files[name+".wasm"]
	}
	return s
}

// Once mirrors the bucket as it is now. When it fails, the folder stays as it is. It fails
// with jetstream.ErrStreamNotFound when there is no bucket.
func (m *Mirror) Once(ctx context.Context, js jetstream.JetStream) error {
	_, _, err := m.once(ctx, js)
	m.note(ctx, err)
	return err
}

// Sync mirrors the bucket until ctx ends. When the server is away, or the bucket does not
// exist, the folder stays as it is, and that is tried again every Poll.
func (m *Mirror) Sync(ctx context.Context, js jetstream.JetStream) {
	w := &watch{js: js, bucket: m.Bucket, kick: make(chan struct{}, 1)}
	defer w.stop()
	var last mark
	for told := true; ctx.Err() == nil; told = w.wait(ctx, m.Poll) {
		now, err := m.look(ctx, js)
		if err == nil && w.ensure(ctx, now.created) {
			told = true // by nobody, and nobody could
		}
		changed := false
		if err == nil && (now != last || m.due()) {
			last, changed, err = m.once(ctx, js)
		}
		m.note(ctx, err)
		if changed && !told {
			w.renew(ctx)
		}
	}
}

// look asks whether the bucket changed.
func (m *Mirror) look(ctx context.Context, js jetstream.JetStream) (mark, error) {
	s, err := js.Stream(ctx, streamOf(m.Bucket))
	if err != nil {
		return mark{}, fmt.Errorf("bucket %s: %w", m.Bucket, err)
	}
	return markOf(s.CachedInfo()), nil
}

// due reports whether something that was refused is to be tried again.
func (m *Mirror) due() bool {
	for _, r := range m.refusals {
		if !r.again.IsZero() && time.Now().After(r.again) {
			return true
		}
	}
	return false
}

// note keeps what became of a look at the bucket, and logs it when that is news.
func (m *Mirror) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	was := m.status.Err
	m.status.Err = err
	m.mu.Unlock()
	absent := errors.Is(err, jetstream.ErrStreamNotFound)
	switch {
	case err == nil && was != nil:
		m.Log.Info("bucket of modules is mirrored", "bucket", m.Bucket, "folder", m.Folder)
	case absent && !errors.Is(was, jetstream.ErrStreamNotFound):
		m.Log.Warn("bucket of modules does not exist: engine deploy creates it", "bucket", m.Bucket)
	case err != nil && !absent && (was == nil || errors.Is(was, ErrNotLooked) || errors.Is(was, jetstream.ErrStreamNotFound)):
		m.Log.Warn("bucket of modules cannot be read; those that were mirrored before are used", "bucket", m.Bucket, "error", err)
	}
}

// once brings the folder to what the bucket holds, and reports whether that changed it.
func (m *Mirror) once(ctx context.Context, js jetstream.JetStream) (_ mark, changed bool, err error) {
	l, err := list(ctx, js, m.Bucket)
	if err != nil {
		return mark{}, false, err
	}
	objects, err := js.ObjectStore(ctx, m.Bucket)
	if err != nil {
		return mark{}, false, fmt.Errorf("open bucket %s: %w", m.Bucket, err)
	}
	n := next{record: record{Bucket: m.Bucket, Deployments: map[string]deployed{}}, fresh: map[string]Deployment{}, refused: map[string]refusal{}}
	for name, why := range l.bad {
		n.refused[name] = m.refuse(name, "", why)
	}
	for name, o := range l.objects {
		if err := m.add(ctx, objects, &n, name, o); err != nil && (ctx.Err() != nil || !js.Conn().IsConnected()) {
			return mark{}, false, fmt.Errorf("fetch %s from bucket %s: %w", name, m.Bucket, err)
		}
	}
	changed, err = m.replace(n)
	return l.mark, changed, err
}

// next is what the folder is to hold.
type next struct {
	record
	fresh   map[string]Deployment // those that it does not have yet
	refused map[string]refusal
}

// add adds an object to what the folder is to hold: as it has it, or from the bucket.
func (m *Mirror) add(ctx context.Context, objects jetstream.ObjectStore, n *next, name string, o *jetstream.ObjectInfo) error {
	if was, ok := m.held.Deployments[name]; ok && was.NUID == o.NUID && was.Digest == o.Digest {
		n.Deployments[name] = was
		return nil
	}
	if r, ok := m.refusals[name]; ok && r.nuid == o.NUID && (r.again.IsZero() || time.Now().Before(r.again)) {
		n.refused[name] = r
		return nil
	}
	d, err := fetch(ctx, objects, o, name)
	if err != nil {
		n.refused[name] = m.refuse(name, o.NUID, err)
		return err
	}
	n.fresh[name] = d
	n.Deployments[name] = deployed{NUID: o.NUID, Digest: o.Digest, Files: d.digests()}
	return nil
}

// refuse makes a refusal. One that may pass is tried again after a while.
func (m *Mirror) refuse(name, nuid string, why error) refusal {
	r := refusal{nuid: nuid, why: why}
	if !errors.Is(why, ErrBad) {
		r.again = time.Now().Add(10 * m.Poll)
	}
	return r
}

// replace has the folder hold what it is to hold, which is what it held where that is
// refused.
func (m *Mirror) replace(n next) (changed bool, err error) {
	for name, r := range n.refused {
		if was, ok := m.held.Deployments[name]; ok {
			n.Deployments[name] = was
		}
		if old, known := m.refusals[name]; !known || old.nuid != r.nuid || old.why.Error() != r.why.Error() {
			m.Log.Warn("deployment is refused", "bucket", m.Bucket, "module", fmt.Sprintf("%.200q", name), "reason", r.why)
		}
	}
	m.refusals = n.refused
	held := m.held
	if !n.equal(held) {
		if err = m.revisions.add(n.record, n.fresh); err == nil {
			held, changed = n.record, true
			m.tell(n)
		} else {
			held, _ = m.revisions.verify()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held, m.status.Refused = held, map[string]string{}
	for name, r := range n.refused {
		m.status.Refused[name] = r.why.Error()
	}
	return changed, err
}

// tell logs what came and went, and has Changes receive.
func (m *Mirror) tell(n next) {
	for name, d := range n.fresh {
		m.Log.Info("module is deployed", "bucket", m.Bucket, "module", name, "sha256", d.SHA256(), "files", d.names())
	}
	for name := range m.held.Deployments {
		if _, ok := n.Deployments[name]; !ok {
			m.Log.Info("module is removed from the bucket", "bucket", m.Bucket, "module", name)
		}
	}
	select {
	case m.changes <- struct{}{}:
	default: // the last one was not taken yet
	}
}
