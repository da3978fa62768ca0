package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// Bounds of the waiting for a source that does not answer.
const (
	firstBackOff = 100 * time.Millisecond
	lastBackOff  = 5 * time.Second
)

// Runner keeps one generation of a projection in step with its stream. Reading,
// applying and committing overlap: the reader reads ahead, the runner's goroutine
// owns the instance and applies, a committer commits what was applied before.
type Runner struct {
	name       string
	generation string // id of what it runs
	spec       *Spec
	source     streams.Source
	keyspace   state.Keyspace
	catalog    catalog.Catalog
	room       *room
	first      *precedence
	log        *slog.Logger

	background atomic.Bool            // its generation is not the one that is read
	rights     atomic.Pointer[rights] // of its generation; nil: none yet
	current    atomic.Pointer[Spec]   // that a session runs, or will; for other goroutines
	tracer     Tracer                 // nil: nobody is told
	outlet     streams.Outlet         // nil: there is none
	measures   *measures              // nil: nobody measures
	outbox     outbox

	// Owned by the goroutine of Run; they outlive a session.
	plan        plan
	bufferLimit int           // of the guest's batch buffer, in bytes; 0 when it has none
	took        state.Version // of the state that the last spec took over from the one before it
	verdicts    map[uint64]verdict
	failed      failedEvent // that the projection is halted before

	recent  recent
	monitor // what others may ask for at any time
}

// newRunner makes a runner. The keyspace stays the caller's.
func newRunner(spec *Spec, generation string, e *Engine, ks state.Keyspace, log *slog.Logger) *Runner {
	r := &Runner{name: spec.Name, generation: generation, spec: spec, source: e.source, keyspace: ks, catalog: e.catalog, room: e.room, first: &e.first, log: log, outlet: e.outlet, tracer: e.tracer, monitor: newMonitor()}
	r.current.Store(spec)
	return r
}

// measured is where what is measured goes: nowhere while the generation is not read.
func (r *Runner) measured() *measures {
	if r.background.Load() {
		return nil
	}
	return r.measures
}

// Run follows the stream until ctx ends, and returns when everything applied is
// committed. It returns no error: what stops a projection is its state, with the
// reason and the way out, and the rest of the engine goes on.
func (r *Runner) Run(ctx context.Context) {
	wait := firstBackOff
	for ctx.Err() == nil {
		r.adoptDue(ctx)
		var resumed bool
		r.whileStopped(ctx, func() { resumed = r.awaitResume(ctx, "resume it with: engine resume "+r.spec.Name) })
		if !resumed {
			return
		}
		if r.adoptionIsDue() {
			continue
		}
		before := r.Published().Version
		err := r.session(ctx)
		if r.Published().Version > before {
			wait = firstBackOff
		}
		var failed *batchError
		switch {
		case ctx.Err() != nil && err == nil, errors.Is(err, errPaused), errors.Is(err, errAdopt):
			wait = firstBackOff
		case errors.As(err, &failed) && r.goesOn(failed), errors.Is(err, errReopen):
		case passes(err) != "":
			r.enter(Stalled, err.Error(), "it is tried again by itself, every few seconds; "+passes(err))
			r.log.Error("no events are taken, it is tried again", "error", err)
			wait = r.backOff(ctx, wait)
		case isSource(err):
			r.troubled(err)
			wait = r.backOff(ctx, wait)
		default:
			r.stop(ctx, err)
		}
	}
}

// session opens a session and follows the stream with it.
func (r *Runner) session(ctx context.Context) error {
	ctx, release := r.pausable(ctx)
	defer release()
	s, err := r.openSession(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	err = s.run(ctx)
	if cerr := s.close(ctx); cerr != nil {
		return cerr
	}
	return cause(ctx, err)
}

// cause says why a context ended, when that is why err came about; nil when it
// simply ended.
func cause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if why := context.Cause(ctx); errors.Is(why, errPaused) || errors.Is(why, errAdopt) {
		return why
	}
	return nil
}

// isSource tells errors of the source, which pass, from all others.
func isSource(err error) bool {
	var s *sourceError
	return errors.As(err, &s)
}

// storeError is an error of the store, after which it is tried again.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// instanceError is an error in making an instance, of a module that could be started
// before: the machine may have too little memory at present.
type instanceError struct{ err error }

func (e *instanceError) Error() string { return e.err.Error() }
func (e *instanceError) Unwrap() error { return e.err }

// passes says what helps against an error that may pass by itself; it is empty for all
// others, such as damage.
func passes(err error) string {
	var store *storeError
	var instance *instanceError
	switch {
	case errors.Is(err, state.ErrCorrupt):
		return ""
	case errors.As(err, &store):
		return "see that the disk has room, and can be read and written"
	case errors.As(err, &instance):
		return "see that the machine has memory, and hold the module against: engine check MODULE"
	}
	return ""
}

// stop enters the state that err asks for, and waits for the end, for a pause or for
// an order, after which everything is tried anew.
func (r *Runner) stop(ctx context.Context, err error) {
	var changed *HistoryError
	switch {
	case errors.As(err, &changed):
		r.monitor.stop(Diverged, changed.Text, changed.hint(r.spec.Name), 0)
	default:
		r.monitor.stop(Halted, err.Error(), r.haltHint(err), r.failing(err))
	}
	r.log.Error("projection stopped", "state", r.State(), "reason", err)
	clear(r.verdicts) // the events are tried anew
	r.whileStopped(ctx, func() {
		if changed != nil {
			r.awaitRestored(ctx, changed)
		} else {
			r.awaitPause(ctx)
		}
	})
}

// awaitRestored waits as awaitPause does, or until the stream is no longer what changed says.
func (r *Runner) awaitRestored(ctx context.Context, changed *HistoryError) {
	waiting, end := context.WithCancel(ctx)
	var looks sync.WaitGroup
	looks.Go(func() {
		defer end()
		for sleep(waiting, verifyEvery) && !changed.isPast(waiting, r.source) {
		}
	})
	r.awaitPause(waiting)
	end()
	looks.Wait()
}

// haltHint is the way out of a halt.
func (r *Runner) haltHint(err error) string {
	hint := haltHint(err, r.spec.Name)
	if seq := r.failing(err); seq != 0 {
		hint += fmt.Sprintf("; or pass over it with: engine dead-letters skip %s %d", r.spec.Name, seq)
	}
	return hint
}

// failing returns the one event that a halt is about; 0: there is none.
func (r *Runner) failing(err error) uint64 {
	var failed *batchError
	if errors.As(err, &failed) && failed.first == r.failed.event.Sequence {
		return failed.first
	}
	return 0
}

func haltHint(err error, name string) string {
	var failed *batchError
	var shared *SharedStateError
	var quota *state.QuotaError
	var full *fullError
	switch {
	case errors.As(err, &full):
		return "engine dead-letters retry " + name + " --all applies them, if what they failed on is mended; engine dead-letters drop forgets them; or raise projection.limits.dead_letters: it goes on by itself after any of these"
	case errors.As(err, &quota):
		return "raise the limit, or mend the module: a running engine takes either by itself"
	case errors.As(err, &shared):
		return "set partitions = 1, or a key that all events which use this state have in common"
	case errors.As(err, &failed):
		return "everything before that event is committed and can be read; mend the module, or the configuration: a running engine takes either by itself"
	case errors.Is(err, state.ErrCorrupt):
		return "check the disk, and run: engine inspect --verify DATA_DIR; build it anew from its stream, beside what is damaged: engine rebuild " + name + "; or restore the data directory from a copy"
	}
	return "mend the cause and start the engine again"
}

// backOff waits, and returns how long to wait the next time.
func (r *Runner) backOff(ctx context.Context, wait time.Duration) time.Duration {
	sleep(ctx, wait/2+rand.N(wait/2))
	return min(2*wait, lastBackOff)
}
