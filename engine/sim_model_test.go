package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gnomon/engine"
	"gnomon/engine/state"
)

// simModel is what a projection's state has to be: a plain fold over the events, one by
// one, with policies and orders as they are documented. It shares no code with the
// engine.
type simModel struct {
	*simTraits
	levels   []simLevel
	accounts map[string]*simAccount
	waiting  map[string][]*simLetter // by key, in order
	letters  map[uint64]*simLetter
	skipped  int64
	count    int // by the guest in its memory
	counts   map[uint64]int
	chain    uint64
	passes   map[uint64]bool // events that an operator passed over before they were read
	halted   uint64          // the event that it stopped before, or 0
	at       uint64
	level    int
	obeyed   []simOrder // what the orders amounted to
}

// simLevel is the world's level for events from a sequence on.
type simLevel struct {
	from  uint64
	level int
}

type simAccount struct {
	list  []uint64
	rows  map[uint64][]byte
	spare []byte
}

type simLetter struct {
	event    *simEvent
	status   state.LetterStatus
	attempts int
}

func (l *simLetter) waits() bool { return l.status == state.Failed || l.status == state.Parked }

// simOrder is an order that was, or may have been, carried out.
type simOrder struct {
	verb    engine.Verb
	letters engine.Letters
	at      uint64 // after the event of this sequence
	level   int    // of the world
	steps   int    // so many events were dealt with, at most
	passes  bool   // it is about the event that the projection stopped before
}

func (o simOrder) String() string {
	return fmt.Sprintf("%s %d %s at %d, %d steps", o.verb, o.letters.Sequence, o.letters.Key, o.at, o.steps)
}

const allSteps = 1 << 30

// foldModel folds the events after one sequence up to another. Of events that were
// deleted, present tells those that were read before.
func foldModel(t *simTraits, levels []simLevel, log []simEvent, from, to uint64, orders []simOrder, present func(e *simEvent) bool) *simModel {
	m := &simModel{
		simTraits: t, levels: levels, at: from, accounts: map[string]*simAccount{}, waiting: map[string][]*simLetter{},
		letters: map[uint64]*simLetter{}, counts: map[uint64]int{}, passes: map[uint64]bool{},
	}
	for _, o := range orders {
		if o.passes {
			m.passes[o.letters.Sequence] = true
		}
	}
	for ; m.halted == 0; m.at++ {
		for len(orders) > 0 && orders[0].at <= m.at {
			m.obey(orders[0])
			orders = orders[1:]
		}
		if m.at >= to || m.at >= uint64(len(log)) {
			break
		}
		if e := &log[m.at]; !e.deleted || present(e) { // the event after m.at
			m.read(e)
		}
		if m.halted != 0 {
			break
		}
	}
	return m
}

func (m *simModel) key(e *simEvent) string {
	if m.keyed {
		return e.account()
	}
	return ""
}

// read takes the next event of the stream.
func (m *simModel) read(e *simEvent) {
	if !m.picks(e.subject) {
		return
	}
	for _, l := range m.levels {
		if l.from <= e.seq {
			m.level = l.level
		}
	}
	key := m.key(e)
	if key != "" && len(m.waiting[key]) > 0 {
		m.setAside(e, state.Parked)
		return
	}
	if m.apply(e) {
		return
	}
	switch {
	case m.policy == engine.Halt && m.passes[e.seq]:
		if m.setAside(e, state.Skipped) {
			m.skipped++
		}
	case m.policy == engine.Halt:
		m.halted = e.seq
	case m.policy == engine.Skip:
		m.skipped++
	case m.policy == engine.Quarantine && key != "":
		m.setAside(e, state.Failed)
	default:
		m.setAside(e, state.Dead)
	}
}

func (m *simModel) setAside(e *simEvent, s state.LetterStatus) bool {
	if len(m.letters) >= m.simTraits.letters {
		m.halted = e.seq
		return false
	}
	l := &simLetter{event: e, status: s, attempts: 1}
	if s == state.Parked {
		l.attempts = 0
	}
	m.letters[e.seq] = l
	if l.waits() {
		m.waiting[m.key(e)] = append(m.waiting[m.key(e)], l)
	}
	return true
}

// apply does what the guest has to, and reports whether it takes the event.
func (m *simModel) apply(e *simEvent) bool {
	a := m.accounts[e.account()]
	if a == nil {
		a = &simAccount{rows: map[uint64][]byte{}}
	}
	level := m.level
	if m.memory {
		level = 0
	}
	if e.kind() == simPoison && e.level() > level || e.kind() == simOdd && m.odd() && len(a.list)%2 == 1 {
		return false
	}
	m.accounts[e.account()] = a
	a.list = append(a.list, e.seq)
	m.chain = simChain(m.chain, e.seq)
	m.count++
	m.counts[e.seq] = m.count
	switch e.kind() {
	case simClear:
		for n, seq := range slices.Sorted(maps.Keys(a.rows)) {
			if n < simClears {
				delete(a.rows, seq)
			}
		}
		return true
	case simSpare:
		a.spare = nil
		return true
	case simPoison:
		a.spare = e.data
	}
	a.rows[e.seq] = fmt.Appendf(nil, "%d%s", m.version, e.data)
	return true
}

// chosen lists the letters that an order is about.
func (m *simModel) chosen(t engine.Letters) (list []*simLetter) {
	for _, seq := range slices.Sorted(maps.Keys(m.letters)) {
		l := m.letters[seq]
		if l.status != state.Skipped && (t.Sequence == 0 || t.Sequence == seq) && (len(t.Key) == 0 || string(t.Key) == m.key(l.event)) {
			list = append(list, l)
		}
	}
	return list
}

// obey carries an order out.
func (m *simModel) obey(o simOrder) {
	if o.passes {
		if !slices.ContainsFunc(m.obeyed, func(p simOrder) bool { return p.passes && p.letters.Sequence == o.letters.Sequence }) {
			m.obeyed = append(m.obeyed, o)
		}
		return
	}
	steps := o.steps
	m.level = o.level
	defer func() {
		if o.steps -= steps; o.steps > 0 {
			m.obeyed = append(m.obeyed, o)
		}
	}()
	chosen := m.chosen(o.letters)
	if o.verb == engine.SkipLetters {
		m.skip(chosen, &steps)
		return
	}
	for _, l := range chosen {
		if m.letters[l.event.seq] != l {
			continue // it went with another one
		}
		if o.verb == engine.DropLetters && !m.drop(l, &steps) || o.verb == engine.RetryLetters && !m.retry(l, &steps) {
			return
		}
	}
}

func (m *simModel) queue(l *simLetter) []*simLetter {
	if !l.waits() {
		return nil
	}
	return m.waiting[m.key(l.event)]
}

func (m *simModel) gone(l *simLetter) {
	delete(m.letters, l.event.seq)
	m.leave(l)
}

func (m *simModel) leave(l *simLetter) {
	if l.waits() {
		key := m.key(l.event)
		m.waiting[key] = slices.DeleteFunc(slices.Clone(m.waiting[key]), func(o *simLetter) bool { return o == l })
	}
}

// drop removes a letter and what is queued behind it.
func (m *simModel) drop(l *simLetter, steps *int) bool {
	if *steps == 0 {
		return false
	}
	*steps--
	for _, q := range m.queue(l) {
		if q.event.seq > l.event.seq {
			m.gone(q)
		}
	}
	m.gone(l)
	return true
}

// skip marks letters, and then retries the queues that have lost their first.
func (m *simModel) skip(chosen []*simLetter, steps *int) {
	var freed []string
	for _, l := range chosen {
		if *steps == 0 {
			return
		}
		*steps--
		if l.waits() && m.queue(l)[0] == l {
			freed = append(freed, m.key(l.event))
		}
		m.leave(l)
		l.status = state.Skipped
		m.skipped++
	}
	for _, key := range slices.Compact(freed) {
		for _, q := range m.waiting[key] {
			if !m.again(q, steps) {
				return
			}
		}
	}
}

// retry applies a letter again, after those before it in its queue.
func (m *simModel) retry(l *simLetter, steps *int) bool {
	if !l.waits() {
		return m.again(l, steps)
	}
	for _, q := range m.queue(l) {
		if q.event.seq <= l.event.seq && !m.again(q, steps) {
			return false
		}
	}
	return true
}

func (m *simModel) again(l *simLetter, steps *int) bool {
	if *steps == 0 {
		return false
	}
	*steps--
	if m.apply(l.event) {
		m.gone(l)
		return true
	}
	if l.attempts++; l.status == state.Parked {
		l.status = state.Failed
	}
	return false
}

// rows are the keys and values that the state has to have.
func (m *simModel) rows() map[string]string {
	rows := map[string]string{}
	for name, a := range m.accounts {
		var list strings.Builder
		for _, seq := range a.list {
			fmt.Fprintf(&list, "%d ", seq)
			if m.memory {
				rows[fmt.Sprint("C", seq)] = fmt.Sprint(m.counts[seq])
			}
		}
		rows["L"+name] = list.String()
		for seq, value := range a.rows {
			rows[fmt.Sprintf("R%s/%08d", name, seq)] = string(value)
		}
		if a.spare != nil {
			rows["S"+name] = string(a.spare)
		}
	}
	if m.whole && m.count > 0 {
		rows["chain"] = fmt.Sprint(m.chain)
	}
	return rows
}

// list describes the letters.
func (m *simModel) list() map[uint64]string {
	list := map[uint64]string{}
	for seq, l := range m.letters {
		list[seq] = fmt.Sprintf("%s %q %d", l.status, m.key(l.event), l.attempts)
	}
	return list
}

func (m *simModel) aside() state.Aside {
	a := state.Aside{Skipped: m.skipped, Letters: int64(len(m.letters))}
	for _, l := range m.letters {
		if l.waits() {
			a.Waiting++
		}
	}
	return a
}
