package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gnomon/engine"
)

// play plays a whole simulation: steps, a calm at which everything must be as it has to
// be, and in some worlds a stream whose history changes in the end.
func (w *simWorld) play(steps int) {
	r := w.dice.of("begin")
	w.append(r, 10+r.IntN(60))
	w.seen.step("%d events", len(w.log))
	w.start(r)
	for i := range steps {
		r := w.dice.of("step %d", i)
		w.revive(r)
		w.step(r)
		w.look()
	}
	r = w.dice.of("end")
	w.quiet(r)
	if r.IntN(2) == 0 {
		w.rewrite(r)
	}
	w.seen.step("stop")
	w.stop("stop")
	for _, g := range w.generations() {
		w.check(g)
	}
	w.failIfWrong()
}

// revive starts the process again when it has ended by itself.
func (w *simWorld) revive(r *rand.Rand) {
	if !w.life.isOver() {
		return
	}
	w.stop("died")
	w.start(r)
}

// simSteps are the steps, each as often as it stands here.
var simSteps = []struct {
	often int
	do    func(w *simWorld, r *rand.Rand)
}{
	{24, (*simWorld).stepAppend},
	{10, (*simWorld).stepWait},
	{6, (*simWorld).stepDelete},
	{8, (*simWorld).stepWeather},
	{4, (*simWorld).stepServer},
	{4, (*simWorld).stepPause},
	{10, (*simWorld).stepCrash},
	{5, (*simWorld).stepFuse},
	{12, (*simWorld).stepOrder},
	{2, (*simWorld).stepClock},
	{2, (*simWorld).stepDisk},
	{3, (*simWorld).stepSnapshot},
	{3, (*simWorld).stepHold},
	{4, (*simWorld).stepCalm},
	{2, (*simWorld).stepLevel},
	{3, (*simWorld).stepTrim},
}

func (w *simWorld) step(r *rand.Rand) {
	total := 0
	for _, s := range simSteps {
		total += s.often
	}
	n := r.IntN(total)
	for _, s := range simSteps {
		if n -= s.often; n < 0 {
			s.do(w, r)
			return
		}
	}
}

func (w *simWorld) anyProjection(r *rand.Rand) *simProjection {
	return w.projections[r.IntN(len(w.projections))]
}

func (w *simWorld) stepAppend(r *rand.Rand) {
	n := 1 + r.IntN(15)
	w.append(r, n)
	w.seen.step("%d events, up to %d", n, w.last())
	if r.IntN(2) == 0 {
		w.sleep(time.Duration(r.IntN(300)) * time.Millisecond)
	}
}

func (w *simWorld) stepWait(r *rand.Rand) {
	d := []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute}[r.IntN(5)]
	w.seen.step("wait %s", d)
	w.sleep(d)
}

// stepDelete deletes an event that no other one depends on, and not the first: it could
// not be told from one that was lost.
func (w *simWorld) stepDelete(r *rand.Rand) {
	seq := w.first + 1 + uint64(r.IntN(len(w.log)))
	if seq >= w.last() {
		return
	}
	if e := &w.log[seq-1]; !e.deleted && e.kind() != simPoison && e.kind() != simOdd {
		w.seen.step("delete %d", seq)
		e.deleted = true
		w.server.Delete(streamName, seq)
	}
}

func (w *simWorld) stepWeather(r *rand.Rand) {
	sky := drawWeather(r)
	w.seen.step("weather %+v", *sky)
	w.sky.Store(sky)
}

func (w *simWorld) stepServer(r *rand.Rand) {
	switch n := r.IntN(6); n {
	case 0, 1:
		w.seen.step("server down: %v", n == 0)
		w.server.SetDown(n == 0)
	case 2, 3:
		w.seen.step("server silent: %v", n == 2)
		w.server.SetSilent(n == 2)
	default:
		w.seen.step("readers lost")
		w.server.LoseReaders()
	}
}

func (w *simWorld) stepPause(r *rand.Rand) {
	p := w.anyProjection(r)
	pause := r.IntN(2) == 0
	w.seen.step("%s paused: %v", p.name, pause)
	w.setPaused(p, pause)
}

func (w *simWorld) setPaused(p *simProjection, pause bool) {
	err := w.life.engine.Resume(p.name)
	if pause {
		err = w.life.engine.Pause(p.name)
	}
	if err != nil && !w.life.isOver() {
		w.failf("pause: %v", err)
	}
}

// stepCrash ends the process and starts another one, perhaps with changed modules.
func (w *simWorld) stepCrash(r *rand.Rand) {
	how := []string{"stop", "kill", "kill", "power"}[r.IntN(4)]
	w.seen.step("end of the process: %s", how)
	w.stop(how)
	if w.changes && r.IntN(3) == 0 {
		p := w.anyProjection(r)
		p.version = 1 + r.IntN(3)
		w.seen.step("%s has module %d", p.name, p.version)
	}
	for _, g := range w.generations() {
		w.check(g)
	}
	w.start(r)
}

// stepFuse ends the process at one of the next calls of the store.
func (w *simWorld) stepFuse(r *rand.Rand) {
	calls, after := 1+r.IntN(12), r.IntN(2) == 0
	w.seen.step("the process ends in %d calls, after it: %v", calls, after)
	w.life.light(calls, after)
	w.append(r, 5)
	w.sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
}

func (w *simWorld) stepClock(r *rand.Rand) {
	skew := time.Duration(r.IntN(7)-3) * time.Hour
	w.seen.step("the server's clock jumps by %s", skew)
	w.skew = skew
	w.server.SetSkew(skew)
}

func (w *simWorld) stepDisk(r *rand.Rand) {
	free := []uint64{1, 900, 1050, 5000}[r.IntN(4)]
	w.seen.step("the disk has %d MiB", free)
	w.disk.free.Store(free << 20)
	w.sleep(2 * time.Second)
}

func (w *simWorld) stepSnapshot(r *rand.Rand) {
	p, name := w.anyProjection(r), fmt.Sprint("s", r.IntN(9))
	w.seen.step("%s: snapshot %s", p.name, name)
	_, err := w.life.engine.CreateSnapshot(w.t.Context(), p.name, name)
	if err != nil && !errors.Is(err, engine.ErrNotReady) && !errors.Is(err, engine.ErrSnapshotExists) && !errors.Is(err, engine.ErrTooManySnapshots) && !w.life.isOver() {
		w.failf("snapshot: %v", err)
	}
}

func (w *simWorld) stepHold(r *rand.Rand) {
	p := w.anyProjection(r)
	if r.IntN(2) == 0 {
		w.seen.step("readings end")
		w.release()
		return
	}
	w.seen.step("%s: a reading begins", p.name)
	w.hold(p)
}

func (w *simWorld) stepCalm(r *rand.Rand) { w.quiet(r) }

// stepLevel mends the modules, or breaks them: at a quiet moment, so that it is known
// what was read before.
func (w *simWorld) stepLevel(r *rand.Rand) {
	w.quiet(r)
	level := r.IntN(4)
	w.seen.step("level %d", level)
	for _, g := range w.generations() {
		g.keyspace.Sync(w.t.Context())
		at := simLevel{0, level}
		if ck, err := g.keyspace.Latest(); err == nil {
			at.from = ck.Position.Sequence + 1
		}
		g.levels = append(g.levels, at)
	}
	w.level.Store(int64(level))
	for _, p := range w.projections {
		if w.status(p).State == engine.Halted {
			w.again(p)
		}
	}
}

// stepTrim removes events that nobody can have to apply again.
func (w *simWorld) stepTrim(r *rand.Rand) {
	before := uint64(r.IntN(len(w.log)))
	if w.changes {
		return // another generation would have to read them
	}
	w.quiet(r)
	w.seen.step("trim %d", before)
	for _, g := range w.generations() {
		g.keyspace.Sync(w.t.Context())
		ck, err := g.keyspace.Latest()
		if err != nil {
			return
		}
		before = min(before, ck.Position.Sequence+1)
		for _, m := range ck.Memories {
			before = min(before, m.Version.Sequence()+1)
		}
	}
	w.server.Purge(streamName, before)
	w.first = max(w.first, before)
}

// stepOrder has something done with what is set aside, whatever else goes on.
func (w *simWorld) stepOrder(r *rand.Rand) {
	p := w.anyProjection(r)
	verb := []engine.Verb{engine.RetryLetters, engine.RetryLetters, engine.SkipLetters, engine.DropLetters}[r.IntN(4)]
	var t engine.Letters
	switch r.IntN(4) {
	case 0:
		t.Key = fmt.Appendf(nil, "k%d", r.IntN(7))
	case 1, 2:
		var failing []uint64
		for i := range w.log {
			if w.log[i].kind() == simPoison || w.log[i].kind() == simOdd {
				failing = append(failing, w.log[i].seq)
			}
		}
		if len(failing) > 0 {
			t.Sequence = failing[len(failing)-1-r.IntN(min(len(failing), 20))] + uint64(r.IntN(4)/3)
		}
	}
	if p.policy == engine.Halt {
		w.seen.step("%s: pass over the failing event", p.name)
		if seq := w.status(p).Failing; seq != 0 {
			w.order(p, engine.SkipLetters, engine.Letters{Sequence: seq}, true)
		}
		return
	}
	w.seen.step("%s: %s %d %s", p.name, verb, t.Sequence, t.Key)
	w.order(p, verb, t, false)
}

// order gives an order, and notes what may have come of it.
func (w *simWorld) order(p *simProjection, verb engine.Verb, t engine.Letters, passes bool) {
	l, g := w.life, w.generation(p)
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute) // of the bubble
	defer cancel()
	go func() {
		select {
		case <-l.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	var before engine.Version
	if ck, err := g.keyspace.Latest(); err == nil {
		before = ck.Version
	}
	done, err := l.engine.Order(ctx, p.name, verb, t)
	w.seen.saw("%s: %s of %d %s: %+v, %v", p.name, verb, t.Sequence, t.Key, done, err)
	if errors.Is(err, engine.ErrNoLetter) {
		return
	}
	o := simOrder{verb: verb, letters: t, level: int(w.level.Load()), steps: allSteps, passes: passes}
	var scripts [][]simOrder
	if err != nil || passes {
		scripts = slices.Clone(g.scripts)
	}
	positions := map[uint64]bool{}
	for _, ck := range g.keyspace.Checkpoints() {
		at := ck.Position.Sequence
		if ck.Version < before || positions[at] || passes && len(positions) > 0 {
			continue
		}
		positions[at] = true
		for _, s := range g.scripts {
			o.at = at
			script := append(slices.Clip(s), o)
			scripts = append(scripts, script)
			if err != nil && !passes {
				scripts = append(scripts, lastParts(script)[1:]...)
			}
		}
	}
	g.scripts = scripts
	w.check(g)
	w.failIfWrong()
}

// look checks everything as it is at this moment.
func (w *simWorld) look() {
	w.failIfWrong()
	if w.life.isOver() {
		return
	}
	for _, p := range w.projections {
		w.readFloor(w.life, p)
	}
	for _, g := range w.generations() {
		w.check(g)
	}
	w.failIfWrong()
}

func (w *simWorld) status(p *simProjection) engine.Status {
	s, err := w.life.engine.Status(p.name)
	if err != nil {
		w.failf("status: %v", err)
	}
	return s
}

// quiet ends all trouble, waits for the engine to come to rest, and checks that it has
// done all that there is to do.
func (w *simWorld) quiet(r *rand.Rand) {
	w.seen.step("calm at %d", w.last())
	w.calm()
	w.life.light(0, false)
	w.revive(r)
	for _, p := range w.projections {
		w.setPaused(p, false)
	}
	for _, p := range w.projections {
		w.settle(p, func(s engine.Status) bool { return w.settled(p, s) })
		if w.haltsAtDeleted(p) {
			w.again(p)
			w.settle(p, func(s engine.Status) bool { return w.settled(p, s) })
		}
	}
	w.sleep(2 * time.Second)
	w.look()
	for _, p := range w.projections {
		w.checkAtRest(p)
	}
}

// haltsAtDeleted reports whether one of the events that a projection had read when it
// halted, and has not committed, is gone now: that it does not notice by itself.
func (w *simWorld) haltsAtDeleted(p *simProjection) bool {
	var seq uint64
	s := w.status(p)
	_, err := fmt.Sscanf(s.Reason, "event %d", &seq)
	return s.State == engine.Halted && err == nil &&
		slices.ContainsFunc(w.log[s.Committed:max(seq, s.Committed)], func(e simEvent) bool { return e.deleted })
}

// again has a projection that is halted try anew.
func (w *simWorld) again(p *simProjection) {
	w.setPaused(p, true)
	w.sleep(time.Second)
	w.setPaused(p, false)
}

const patience = 5 * time.Minute // of the bubble: back-offs end after seconds

func (w *simWorld) settle(p *simProjection, ok func(s engine.Status) bool) engine.Status {
	for began := time.Now(); ; {
		w.sleep(250 * time.Millisecond)
		s := w.status(p)
		if ok(s) {
			return s
		}
		if time.Since(began) > patience {
			w.failf("%s (%+v) does not come to rest at %d: %+v", p.name, p.simTraits, w.last(), s)
		}
	}
}

// settled reports whether a projection has nothing more to do.
func (w *simWorld) settled(p *simProjection, s engine.Status) bool {
	switch s.State {
	case engine.Live:
		return s.Building == "" && s.Position == w.last() && s.Applied == w.last()
	case engine.Halted:
		return true
	case engine.Diverged:
		w.failf("%s has diverged, though the history is what it was: %s", p.name, s.Reason)
	}
	return false
}

// checkAtRest holds what a projection came to against the model: it is halted when, and
// where, it must be, and everything is durable, and pinned as it should be.
func (w *simWorld) checkAtRest(p *simProjection) {
	s, g := w.status(p), w.generation(p)
	all := g.keyspace.Checkpoints()
	if len(all) == 0 {
		w.failf("%s (%+v) has committed nothing: %+v", p.name, p.simTraits, s)
	}
	newest := all[len(all)-1]
	m := w.fold(g, all[0].Position.Sequence, w.last(), g.scripts[0], w.observe(g, newest))
	halts := m.halted != 0
	if halts != (s.State == engine.Halted) {
		w.failf("%s (%+v) is %s at %d (%s), and should halt before %d", p.name, p.simTraits, s.State, s.Position, s.Reason, m.halted)
	}
	if halts && !strings.HasPrefix(s.Reason, fmt.Sprintf("event %d", m.halted)) {
		if testDump { w.dump(g) }
		w.failf("%s (%+v) is halted at %d because of %q, not of event %d, after %v", p.name, p.simTraits, s.Committed, s.Reason, m.halted, g.scripts)
	}
	if halts && s.Committed < m.halted-1 {
		w.noneLeft(g, s.Committed, m.halted)
	}
	if g.keyspace.Durable() != newest.Version {
		w.failf("%s: durable is %d, committed %d", p.name, g.keyspace.Durable(), newest.Version)
	}
	var pins []engine.Version
	for _, s := range w.catalog.Projection(p.name).Snapshots {
		if s.Generation != g.id {
			continue
		}
		pins = append(pins, s.Version)
		v, err := g.keyspace.View(s.Version)
		if err != nil {
			w.failf("view: %v", err)
		}
		if digestOf(scanned(v)) != s.Digest {
			w.failf("%s: snapshot %s at %d is not what it was", p.name, s.Name, s.Sequence)
		}
		v.Close()
	}
	slices.Sort(pins)
	if pins = slices.Compact(pins); !slices.Equal(pins, g.keyspace.Pins()) && s.Building == "" {
		w.failf("%s: pinned are %v, want %v", p.name, g.keyspace.Pins(), pins)
	}
}

// noneLeft checks that no event is left out between two sequences, which are those
// of the position and of the event that it halted before.
func (w *simWorld) noneLeft(g *simGeneration, position, halted uint64) {
	all := g.keyspace.Checkpoints()
	o := w.observe(g, all[len(all)-1])
	now := w.fold(g, all[0].Position.Sequence, position, g.scripts[0], o)
	then := w.fold(g, all[0].Position.Sequence, halted-1, g.scripts[0], o)
	if now.count != then.count {
		w.failf("%s is halted before %d, but ends at %d: %d events are not applied", g.name, halted, position, then.count-now.count)
	}
}
