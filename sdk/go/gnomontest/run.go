package gnomontest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"gnomon/sdk/go/internal/boundary"
	"gnomon/sdk/outcome"
)

// Options say how a projection is run.
type Options struct {
	Settings string // the settings table as JSON; empty: none
	Batch    int    // events in a batch; 0: one
	// Restart is after how many batches the instance is replaced by a fresh one,
	// which is given the memory of the old one back; 0: never.
	Restart int
	// Older is what an older version of the projection left, which package migrate rewrites
	// before the first event; nil: nothing, and the run begins with an empty state.
	Older *Older
}

// Older is the state of an older version of a projection.
type Older struct {
	Schema int // that it declared; 0: none
	State  map[string]string
	Memory [][]byte // its snapshot, in blobs, where it has one: Result.Memory of its own run
}

// Result is what a projection made of its events.
type Result struct {
	State   map[string]string
	Memory  [][]byte // the snapshot of a projection with memory, in blobs; nil without
	Logged  []string // "info: text"
	Emitted []Emitted

	settings string
	headers  [][]outcome.Header // of Emitted
}

// Emitted is an event that the projection emitted.
type Emitted struct {
	Sequence uint64 // of the event that caused it
	Subject  string
	Data     string
}

// Keys returns the keys with a prefix in the order of their bytes.
func (r *Result) Keys(prefix string) []string {
	var keys []string
	for k := range r.State {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// Failure is the error of a projection that failed.
type Failure struct {
	Call     string // init, apply, snapshot, restore, upcast, query or migrate
	Sequence uint64 // of the event that it is about, 0 when of none
	Text     string // the error's, or the panic's
}

func (f *Failure) Error() string {
	if f.Sequence == 0 {
		return f.Call + ": " + f.Text
	}
	return fmt.Sprintf("event %d: %s", f.Sequence, f.Text)
}

// running serialises runs: there is one projection in a program.
var running sync.Mutex

// Run runs the program's projection over events, from nothing. When it fails the
// error is a *Failure, and the result is the state before the batch that failed.
// Each run begins with what OnInit prepares; variables that nothing prepares, and
// that are not part of a snapshot, keep what an earlier run left in them.
func Run(events []Event, o Options) (*Result, error) {
	return (&run{}).over(events, o)
}

// over runs the projection over events.
func (r *run) over(events []Event, o Options) (*Result, error) {
	running.Lock()
	defer running.Unlock()
	r.host, r.guest = newHost(o.Settings), boundary.Guest
	boundary.Current = r.host
	defer func() { boundary.Current = nil }()
	err := r.all(events, o)
	return r.result(), err
}

type run struct {
	host  *host
	guest boundary.Exports
	// settled is told of each batch, by the places of its events, before it is committed, and of
	// each event that fails, when it is taken back; nil: nobody is.
	settled func(from, to int, f *Failure)
	// begun is told of the state before the first event, when that was migrated; nil: nobody is.
	begun func(state map[string]string)
	goOn  bool // without events that fail; otherwise the first one ends the run
}

var errNoProjection = errors.New("this program has no projection: call gnomon.OnEvent from an init function of the package under test")

func (r *run) all(events []Event, o Options) error {
	if r.guest.Apply == nil {
		return errNoProjection
	}
	if err := r.start(pristine); err != nil {
		return err
	}
	if pristine == nil && r.guest.Snapshot != nil {
		pristine = append([][]byte{}, r.host.blobs...)
	}
	if o.Older != nil {
		if err := r.migrate(o.Older); err != nil {
			return err
		}
	}
	if err := r.events(events, o); err != nil {
		return err
	}
	return r.snapshot()
}

var errNoMigrate = errors.New("this program migrates no state: call migrate.OnSchema from an init function of the package under test")

// migrate has the instance, which has seen no event, take over an older state, as the engine does.
func (r *run) migrate(older *Older) error {
	if r.guest.Migrate == nil {
		return errNoMigrate
	}
	if older.Memory != nil {
		if err := r.anew(older.Memory); err != nil {
			return err
		}
	}
	maps.Copy(r.host.state, older.State)
	r.host.sorted = nil
	if err := r.call("migrate", func() int32 { return r.guest.Migrate(int32(older.Schema)) }); err != nil {
		r.host.rollBack()
		return err
	}
	r.host.commit()
	if r.begun != nil {
		r.begun(r.host.state)
	}
	return nil
}

// pristine is the memory before the first event of the first run.
var pristine [][]byte

// start makes a fresh instance, with memory when there is some, and takes its
// snapshot.
func (r *run) start(memory [][]byte) error {
	if err := r.call("init", r.guest.Init); err != nil {
		return err
	}
	if r.guest.Restore == nil {
		return nil
	}
	if memory != nil {
		r.host.blobs, r.host.read = memory, 0
		if err := r.call("restore", r.guest.Restore); err != nil {
			return err
		}
	}
	return r.snapshot()
}

func (r *run) snapshot() error {
	if r.guest.Snapshot == nil {
		return nil
	}
	r.host.blobs = nil
	return r.call("snapshot", r.guest.Snapshot)
}

func (r *run) events(events []Event, o Options) error {
	size := max(o.Batch, 1)
	sequence := uint64(0)
	for from, batches := 0, 1; from < len(events); batches++ {
		to := min(from+size, len(events))
		if err := r.batch(events, from, to, &sequence); err != nil {
			return err
		}
		from = to
		if o.Restart > 0 && batches%o.Restart == 0 {
			if err := r.restart(); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch applies the events from one place up to another. When that fails, and the run goes on,
// they are applied again one by one, by another instance.
func (r *run) batch(events []Event, from, to int, sequence *uint64) error {
	before := *sequence
	if err := r.host.fill(events[from:to], sequence); err != nil {
		return err
	}
	var memory [][]byte
	if r.goOn {
		if err := r.snapshot(); err != nil {
			return err
		}
		memory = r.host.blobs
	}
	logged := len(r.host.logged)
	err := r.call("apply", r.guest.Apply)
	if err == nil {
		r.settle(from, to, nil)
		r.host.commit()
		return nil
	}
	r.host.rollBack()
	if !r.goOn {
		return err
	}
	if to-from > 1 {
		r.host.logged = r.host.logged[:logged]
		if err := r.anew(memory); err != nil {
			return err
		}
		*sequence = before
		for i := from; i < to; i++ {
			if err := r.batch(events, i, i+1, sequence); err != nil {
				return err
			}
		}
		return nil
	}
	failure := err.(*Failure) // as every error of call
	if failure.Sequence == 0 {
		failure.Sequence = r.host.sequence[0]
	}
	r.settle(from, to, failure)
	return r.anew(memory)
}

func (r *run) settle(from, to int, f *Failure) {
	if r.settled != nil {
		r.settled(from, to, f)
	}
}

// anew has another instance go on after a failure. It has logged before what it logs then.
func (r *run) anew(memory [][]byte) error {
	logged := len(r.host.logged)
	err := r.start(memory)
	r.host.logged = r.host.logged[:logged]
	return err
}

func (r *run) restart() error {
	if err := r.snapshot(); err != nil {
		return err
	}
	return r.start(r.host.blobs)
}

func (r *run) call(name string, export func() int32) error {
	r.host.begin(name)
	code := export()
	if code == 0 {
		return nil
	}
	return &Failure{Call: name, Sequence: r.host.failedAt(), Text: r.host.said}
}

func (r *run) result() *Result {
	h := r.host
	return &Result{State: maps.Clone(h.state), Memory: h.blobs, Logged: h.logged, Emitted: h.emitted, headers: h.headers, settings: h.settings}
}
