package testdriver

import (
	"context"
	"errors"
	"strings"
	"time"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
	"gnomon/sdk/outcome"
)

// Subject is what is tested.
type Subject struct {
	Module   guest.Module
	Settings []byte        // JSON; nil: {}
	Memory   uint64        // limit of an instance's memory, in bytes; 0: 64 MiB
	Limit    state.TxLimit // of what one call writes; zero: that of a commit
	// Log is where the lines of the module go; nil: a Run takes them, a Session forgets them.
	Log guest.Log
}

// The limits of a commit, see docs/ABI.md.
const (
	commitWrites = 64 << 10
	commitBytes  = 8 << 20
	memoryLimit  = 64 << 20
)

func (s *Subject) limit() state.TxLimit {
	if s.Limit == (state.TxLimit{}) {
		return state.TxLimit{Writes: commitWrites, Bytes: commitBytes}
	}
	return s.Limit
}

// Cost is what a call took.
type Cost struct {
	Fuel      uint64
	HostCalls uint64 // of functions of the contract
	Took      time.Duration
}

// Session is an instance of a module with a state in memory. It belongs to one goroutine.
type Session struct {
	Subject
	State *State
	Made  []byte // records of the last call of an upcaster

	around   guest.Surroundings
	instance guest.Instance // nil after a failure, and before the first call
	log      *lines         // that Log is; nil: it is another one
	upcasts  bool

	initial [][]byte // memory that the next instance begins with; nil: none
	peak    uint64   // of its memory, in bytes
}

// NewSession makes an instance. Errors of its init are those of the module.
func NewSession(ctx context.Context, s Subject, around guest.Surroundings) (*Session, error) {
	if s.Memory == 0 {
		s.Memory = memoryLimit
	}
	n := &Session{Subject: s, State: NewState(s.limit()), around: around, upcasts: s.Module.Traits().Upcasts}
	n.log, _ = s.Log.(*lines)
	return n, n.open(ctx)
}

// open makes a fresh instance where there is none.
func (s *Session) open(ctx context.Context) error {
	if s.instance != nil {
		return nil
	}
	in, err := s.Module.Instantiate(ctx, guest.Config{Settings: s.Settings, Memory: s.Memory, Log: s.Log, Surroundings: s.around})
	if err != nil {
		return err
	}
	if s.initial != nil {
		if err := in.Restore(ctx, s.initial); err != nil {
			_ = in.Close(ctx)
			return err
		}
	}
	s.instance = in
	return nil
}

// Close releases the instance.
func (s *Session) Close(ctx context.Context) {
	if s.instance != nil {
		_ = s.instance.Close(ctx)
		s.instance = nil
	}
}

// Instance is the present one; nil after a failure.
func (s *Session) Instance() guest.Instance { return s.instance }

// snapshot is the memory of the instance; nil when it keeps no state there.
func (s *Session) snapshot(ctx context.Context) ([][]byte, error) {
	if !s.Module.Traits().Memory || s.upcasts {
		return nil, nil
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	blobs, err := s.instance.Snapshot(ctx)
	if blobs == nil && err == nil {
		blobs = [][]byte{}
	}
	return blobs, err
}

// restart has the next call made by a fresh instance, with the memory that this one has.
func (s *Session) restart(ctx context.Context) (err error) {
	if s.initial, err = s.snapshot(ctx); err == nil {
		s.Close(ctx)
		err = s.open(ctx)
	}
	return err
}

// Call hands records to the module, once. When that fails nothing is changed, and the
// instance is gone.
func (s *Session) Call(ctx context.Context, records []byte) (Cost, error) {
	if err := s.open(ctx); err != nil {
		return Cost{}, err
	}
	s.State.Begin()
	began := time.Now()
	var err error
	if s.upcasts {
		s.Made, err = s.instance.Upcast(ctx, records)
	} else if err = s.instance.Apply(ctx, records, s.State); err == nil {
		err = s.checkEmits(records)
	}
	cost := Cost{Fuel: s.instance.Fuel(), Took: time.Since(began)}
	if in, ok := s.instance.(interface{ HostCalls() uint64 }); ok {
		cost.HostCalls = in.HostCalls()
	}
	s.peak = max(s.peak, s.instance.MemoryBytes())
	if err != nil {
		s.State.RollBack()
		s.Made = nil
		s.Close(ctx)
		return cost, err
	}
	s.State.Commit()
	return cost, nil
}

// checkEmits refuses emitted events as a projection would.
func (s *Session) checkEmits(records []byte) error {
	index := -1
	var cause abi.Record
	for _, e := range s.State.emits {
		for ; index < e.Event; index++ { // they do not go backwards
			var err error
			if cause, records, err = abi.Next(records); err != nil {
				return err
			}
		}
		if err := engine.CheckEmit(e, cause); err != nil {
			return &guest.Error{Call: abi.ExportApply, Kind: guest.OverLimit, Text: err.Error(), Event: e.Event}
		}
	}
	return nil
}

// Answer has a fresh instance answer a request over the state.
func (s *Session) Answer(ctx context.Context, request []byte) ([]byte, Cost, error) {
	memory, err := s.snapshot(ctx)
	if err != nil {
		return nil, Cost{}, err
	}
	fresh := &Session{Subject: s.Subject, around: s.around, initial: memory}
	if err := fresh.open(ctx); err != nil {
		return nil, Cost{}, err
	}
	defer fresh.Close(ctx)
	began := time.Now()
	answer, err := fresh.instance.Query(ctx, request, s.State)
	return answer, Cost{Fuel: fresh.instance.Fuel(), Took: time.Since(began)}, err
}

// lines takes what a module logs. It implements guest.Log.
type lines struct{ all []string }

func (l *lines) Enabled(int) bool { return true }

func (l *lines) Line(n guest.Line) { l.all = append(l.all, outcome.LogLine(n.Level, n.Text)) }

// take returns what was logged since the last time.
func (l *lines) take() []string {
	if l == nil {
		return nil
	}
	all := l.all
	l.all = nil
	return all
}

// ErrorText is the text of a failure, without the call and the event that it is about: the
// guest's own words when it returned an error. ok is false for what is no failure of the
// module.
func ErrorText(err error) (text string, ok bool) {
	var g *guest.Error
	if !errors.As(err, &g) {
		return "", false
	}
	if g.Kind == guest.Refused && g.Text != "" {
		return g.Text, true
	}
	return g.Error(), true
}

// shape is a subject with a star for each token that has a digit.
func shape(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		if strings.ContainsAny(t, "0123456789") {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}
