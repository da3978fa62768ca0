package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// simKind is the first byte of an event: what its guest does.
type simKind = byte

// The kinds of events.
const (
	simAdd    simKind = 'a' // a row of its own
	simClear  simKind = 'c' // the account's lowest rows are removed
	simSpare  simKind = 'd' // the account's spare row is removed
	simPoison simKind = 'p' // refused until the world's level is that of the event, the next byte
	simOdd    simKind = 'o' // refused while the account has an odd number of events
)

const simClears = 4 // rows at a time

// simEvent is an event as the world stored it.
type simEvent struct {
	seq     uint64
	subject string
	data    []byte
	time    time.Time
	ordered bool // about: orders tell by it which others they are about
	deleted bool // or trimmed: who had not read it before never will
}

func (e *simEvent) kind() simKind   { return e.data[0] }
func (e *simEvent) level() int      { return int(e.data[1] - '0') }
func (e *simEvent) account() string { return e.subject[2:] }

// simTraits are what the model of a projection has to know of it.
type simTraits struct {
	name    string
	version int  // of the module: another one makes another state
	build   int  // of the module: another one makes the same
	memory  bool // the guest keeps state in its memory
	whole   bool // it has a row that all events write: it cannot be split
	keyed   bool // a key is declared
	picky   bool // only some subjects are its own
	upcast  bool // upcasters make several records of its events
	policy  engine.Policy
	letters int
	start   engine.Start
	keep    time.Duration // how long a previous generation is kept
	swaps   bool          // another build takes over the state
	promote engine.PromotePolicy
	emits   bool // for every event that it handles
	retells bool // also for those of the history
	waits   int  // that emits may be and not be published; 0: any number
}

// simDeclaration is what a projection with some traits is made again of.
type simDeclaration struct {
	Name           string
	Version, Build int
}

func (d simDeclaration) json() []byte {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // numbers only
	}
	return b
}

// as is a projection as it was declared before.
func (s simTraits) as(declaration []byte) simTraits {
	d := simDeclaration{s.name, s.version, s.build}
	if len(declaration) > 0 {
		if err := json.Unmarshal(declaration, &d); err != nil {
			panic(simFailure(err.Error()))
		}
	}
	s.version, s.build = d.Version, d.Build
	return s
}

func (s *simTraits) picks(subject string) bool { return !s.picky || subject[0] == 'a' }

// odd reports whether events may be refused for what the state is. With memory they are
// not: events that were deleted meanwhile would change what is refused of others when
// events are applied again.
func (s *simTraits) odd() bool { return !s.memory }

// spec is a projection with these traits. What may differ from one start to the next,
// because the state is no function of it, is drawn anew each time.
func (s simTraits) spec(r *rand.Rand, level *atomic.Int64, dawdle func(seq uint64)) engine.Spec {
	pick := func(n ...int) int { return n[r.IntN(len(n))] }
	out := engine.Spec{
		Name: s.name, Stream: streamName, Start: s.start, OnError: s.policy, Letters: s.letters,
		Batch:           streams.ReadLimit{Events: pick(1, 2, 5, 20, 100), Bytes: pick(200, 2000, 1<<20)},
		Window:          time.Duration(pick(0, 50, 1000, 20_000)) * time.Millisecond,
		Cache:           pick(1, 2000, 1<<20),
		Partitions:      pick(1, 1, 2, 3, 4),
		MemorySnapshots: engine.MemoryPolicy{Events: uint64(pick(3, 20, 1000)), Every: time.Duration(pick(1, 60, 3600)) * time.Second, Keep: pick(1, 2, 3)},
		Pins:            engine.PinPolicy{Max: 3, MaxAge: time.Hour},
		AutoPromote:     s.promote,
		KeepPrevious:    s.keep, Schema: s.version,
		Declaration: simDeclaration{s.name, s.version, s.build}.json(),
	}
	if s.letters%2 == 0 {
		out.History = engine.HistoryPolicy{Events: 60, Every: 7}
	}
	if s.swaps {
		out.OnChange = engine.SwapCode
	}
	out.Emit = engine.EmitRules{Subjects: []string{"out.>"}, History: s.retells}
	out.Outbox.Rows = s.waits
	m := &enginetest.Module{Name: fmt.Sprint("sim", s.version, s.build, s.memory, s.whole, s.odd()), Buffer: pick(0, 0, 120, 600), Fuel: pick(0, 0, 1, 7), Emits: s.emits}
	m.New = func() enginetest.Guest {
		g := simGuest{simTraits: &s, world: level, dawdle: dawdle}
		if s.memory {
			return &simRememberer{simGuest: g}
		}
		return &g
	}
	out.Module = m
	if s.picky {
		out.Subjects = []string{"a.>"}
		out.Filter = func(subject []byte) bool { return subject[0] == 'a' }
	}
	if s.keyed {
		out.Key = "subject:1"
		out.KeyOf = func(e abi.Record) []byte { return e.Subject[2:] }
	}
	if s.memory || s.whole || !s.keyed {
		out.Partitions = 1
	}
	if s.upcast { // an event is several records
		m.Buffer, m.Fuel = pick(0, 0, 600), pick(0, 0, 4, 7)
		out.Upcasters = s.upcasters(r, level)
	}
	return out
}

// simGuest writes down the events of each account in the order in which they came, and
// a row for each. What it refuses it has begun to write.
type simGuest struct {
	*simTraits
	world  *atomic.Int64
	dawdle func(seq uint64)
}

// Event implements enginetest.Guest.
func (g *simGuest) Event(e abi.Record, st guest.State) error {
	if e.Data[0] == simNone {
		return nil
	}
	g.dawdle(e.Sequence)
	if err := g.emit(e.Sequence, st); err != nil {
		return err
	}
	account, kind := string(e.Subject[2:]), e.Data[0]
	list, _, err := st.Get([]byte("L" + account))
	if err != nil {
		return err
	}
	list = fmt.Appendf(bytes.Clone(list), "%d ", e.Sequence)
	if err := st.Put([]byte("L"+account), list); err != nil {
		return err
	}
	spare := []byte("S" + account)
	if kind == simPoison {
		if err := st.Put(spare, e.Data); err != nil {
			return err
		}
	}
	if g.whole {
		if err := g.chain(e.Sequence, st); err != nil {
			return err
		}
	}
	level := g.world.Load()
	if g.memory {
		level = 0
	}
	switch {
	case kind == simPoison && int64(e.Data[1]-'0') > level:
		return enginetest.Refuse("poison")
	case kind == simOdd && g.odd() && bytes.Count(list, []byte(" "))%2 == 0: // with itself
		return enginetest.Refuse("odd")
	case kind == simClear:
		return g.clear(account, st)
	case kind == simSpare:
		return st.Delete(spare)
	}
	return st.Put(fmt.Appendf(nil, "R%s/%08d", account, e.Sequence), fmt.Appendf(nil, "%d%s", g.version, e.Data))
}

// clear removes the lowest rows of an account.
func (g *simGuest) clear(account string, st guest.State) error {
	var rows [][]byte
	err := st.Scan([]byte("R"+account+"/"), nil, func(key, _ []byte) bool {
		rows = append(rows, bytes.Clone(key))
		return len(rows) < simClears
	})
	for _, key := range rows {
		if err == nil {
			err = st.Delete(key)
		}
	}
	return err
}

// chain is a row that depends on the order of all events.
func (g *simGuest) chain(seq uint64, st guest.State) error {
	value, _, err := st.Get([]byte("chain"))
	if err != nil {
		return err
	}
	before, _ := strconv.ParseUint(string(value), 10, 64)
	return st.Put([]byte("chain"), strconv.AppendUint(nil, simChain(before, seq), 10))
}

func simChain(before, seq uint64) uint64 { return (before ^ seq) * 1099511628211 }

// simRememberer also counts its events in its own memory.
type simRememberer struct {
	simGuest
	count int
}

// Event implements enginetest.Guest.
func (g *simRememberer) Event(e abi.Record, st guest.State) error {
	if e.Data[0] == simNone {
		return nil
	}
	g.count++
	if err := st.Put(fmt.Appendf(nil, "C%d", e.Sequence), strconv.AppendInt(nil, int64(g.count), 10)); err != nil {
		return err
	}
	return g.simGuest.Event(e, st)
}

// Snapshot implements enginetest.Rememberer.
func (g *simRememberer) Snapshot() [][]byte {
	return [][]byte{strconv.AppendInt(nil, int64(g.count), 10)}
}

// Restore implements enginetest.Rememberer.
func (g *simRememberer) Restore(blobs [][]byte) (err error) {
	g.count, err = strconv.Atoi(string(blobs[0]))
	return err
}
