package engine_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// play plays a whole simulation: steps, a calm at which everything must be as it has to
// be, and in some worlds a stream whose history changes in the end.
func (w *simWorld) play(steps int) {
	r := w.dice.of("begin")
	w.append(r, 10+r.IntN(60))
	w.seen.step("%d events", len(w.log))
	w.start()
	for i := range steps {
		r := w.dice.of("step %d", i)
		w.revive()
		w.step(r)
		w.look()
	}
	r = w.dice.of("end")
	w.quiet()
	if r.IntN(2) == 0 {
		w.stepRewrite(r)
	}
	w.seen.step("stop")
	w.stop("stop")
	for _, g := range w.generations() {
		w.check(g)
	}
	w.failIfWrong()
}

// revive starts the process again when it has ended by itself.
func (w *simWorld) revive() {
	if !w.life.isOver() {
		return
	}
	w.stop("died")
	w.start()
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
	{2, (*simWorld).stepRebuild},
	{1, (*simWorld).stepAccept},
	{4, (*simWorld).stepDeclare},
	{2, (*simWorld).stepWithdraw},
	{8, (*simWorld).stepTurn},
	{3, (*simWorld).stepCompare},
	{1, (*simWorld).stepRewrite},
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
	seq := 1 + uint64(r.IntN(len(w.log)))
	w.seen.step("delete %d", seq)
	if seq <= w.first || seq == w.last() {
		return
	}
	if e := &w.log[seq-1]; !e.deleted && !e.ordered && e.kind() != simPoison && e.kind() != simOdd {
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
		p.version, p.build = 1+r.IntN(3), r.IntN(2)
		w.seen.step("%s has module %d.%d", p.name, p.version, p.build)
	}
	for _, g := range w.generations() {
		w.check(g)
	}
	w.start()
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
	g, _ := w.anyRole(r, p)
	_, err := w.life.engine.CreateSnapshot(w.t.Context(), g.as, name)
	if err != nil && !errors.Is(err, engine.ErrNotReady) && !errors.Is(err, engine.ErrNoGeneration) && !errors.Is(err, engine.ErrSnapshotExists) && !errors.Is(err, engine.ErrTooManySnapshots) && !errors.Is(err, errDisk) && !w.life.isOver() {
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
	g, _ := w.anyRole(r, p)
	w.hold(g.as)
}

func (w *simWorld) stepCalm(*rand.Rand) { w.quiet() }

// stepLevel mends the modules, or breaks them: at a quiet moment, so that it is known
// what was read before.
func (w *simWorld) stepLevel(r *rand.Rand) {
	w.quiet()
	level := r.IntN(4)
	w.seen.step("level %d", level)
	for _, g := range w.generations() {
		w.sync(g)
		at := simLevel{0, level}
		if ck, err := g.keyspace.Latest(); err == nil {
			at.from = ck.Position.Sequence + 1
		}
		g.levels = append(g.levels, at)
	}
	w.level.Store(int64(level))
	for _, p := range w.projections {
		if w.any(p, halted) {
			w.again(p)
		}
	}
}

func halted(_ simRole, s engine.Status) bool { return s.State == engine.Halted }

// sync makes what a generation has committed durable, which may not be open at present.
func (w *simWorld) sync(g *simGeneration) {
	for _, s := range w.catalog.Projection(g.name).Snapshots {
		if s.Generation == g.id {
			for _, v := range g.neededFor(s) {
				g.keyspace.Pin(v)
				defer g.keyspace.Unpin(v)
			}
		}
	}
	g.keyspace.Sync(w.t.Context())
}

// stepTrim removes events that nobody can have to apply again.
func (w *simWorld) stepTrim(r *rand.Rand) {
	before := uint64(r.IntN(len(w.log)))
	if w.changes {
		return // another generation would have to read them
	}
	w.quiet()
	w.seen.step("trim %d", before)
	for _, g := range w.generations() {
		w.sync(g)
		ck, err := g.keyspace.Latest()
		if err != nil || g.memory {
			return // an older memory may be gone back to
		}
		before = min(before, ck.Position.Sequence+1)
	}
	for before > 1 && w.log[before-1].deleted {
		before-- // else one that was not read would go with those that were
	}
	w.server.Purge(streamName, before)
	w.first = max(w.first, before)
}

// look checks everything as it is at this moment.
func (w *simWorld) look() {
	w.failIfWrong()
	if w.life.isOver() {
		return
	}
	for _, p := range w.projections {
		w.readFloor(w.life, p)
		w.checkEmitted(p, false)
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
func (w *simWorld) quiet() {
	w.seen.step("calm at %d", w.last())
	w.calm()
	w.life.light(0, false)
	w.revive()
	for _, p := range w.projections {
		w.setPaused(p, false)
	}
	w.sleep(15 * time.Second) // for what is under way: a projection that tries anew is called halted until it goes on
	for _, p := range w.projections {
		w.comesToRest(p)
		if w.status(p).State == engine.Diverged {
			w.wayOut(p)
			w.comesToRest(p)
		}
	}
	w.sleep(2 * time.Second)
	w.look()
	readers := 0
	for _, p := range w.projections {
		for _, g := range w.roles(p) {
			w.checkAtRest(p, g)
			w.checkPast(rand.New(rand.NewPCG(w.last(), 1)), g)
		}
		w.checkKept(p)
		w.checkEmitted(p, true)
		w.any(p, func(g simRole, s engine.Status) bool {
			if s.State != engine.Stopped {
				readers++
			}
			return false
		})
		if g := w.generation(p); !g.other {
			w.mu.Lock()
			if p.floor.loose {
				p.floor = floor{}
			}
			w.mu.Unlock()
		}
	}
	if n := w.life.engine.Expected(streamName); len(w.held) == 0 && n != readers {
		w.failf("%d readers are expected, and %d generations read", n, readers)
	}
}

// comesToRest waits until a projection has nothing more to do. What is halted for a reason
// that is gone by now tries anew.
func (w *simWorld) comesToRest(p *simProjection) {
	w.settle(p, w.settled)
	for tries := 0; tries < 4 && w.any(p, func(g simRole, s engine.Status) bool { return w.haltsAtDeleted(g, s) || haltsInPassing(s) }); tries++ {
		w.server.LoseReaders() // who may have read ahead what is deleted
		w.again(p)
		w.settle(p, w.settled)
	}
}

// haltsAtDeleted reports whether one of the events that a generation had read when it
// halted, and has not committed, is gone now: that it does not notice by itself.
func (w *simWorld) haltsAtDeleted(g simRole, s engine.Status) bool {
	var seq uint64
	_, err := fmt.Sscanf(s.Reason, "event %d", &seq)
	if s.State != engine.Halted || err != nil || seq <= s.Committed {
		return false
	}
	return slices.ContainsFunc(w.history(g.simGeneration)[s.Committed:seq], func(e simEvent) bool { return e.deleted })
}

// again has a projection that is halted try anew.
func (w *simWorld) again(p *simProjection) {
	w.setPaused(p, true)
	w.sleep(time.Second)
	w.setPaused(p, false)
}

const patience = 5 * time.Minute // of the bubble: back-offs end after seconds

func (w *simWorld) settle(p *simProjection, ok func(p *simProjection) bool) {
	for began := time.Now(); ; {
		w.sleep(250 * time.Millisecond)
		if ok(p) {
			return
		}
		if time.Since(began) > patience {
			s := w.status(p)
			w.failf("%s (%+v) does not come to rest at %d: %+v, candidate %+v, previous %+v", p.name, p.simTraits, w.last(), s, s.Candidate, s.Previous)
		}
	}
}

// checkAtRest holds what a generation came to against the model: it is halted when, and
// where, it must be, and everything is durable, and pinned as it should be.
func (w *simWorld) checkAtRest(p *simProjection, role simRole) {
	g := role.simGeneration
	newest, err := g.keyspace.Latest()
	for range 3 { // its memory may have been stored just now
		if g.keyspace.Durable() != newest.Version {
			w.sleep(time.Second)
			newest, err = g.keyspace.Latest()
		}
	}
	s, gone := w.life.engine.Status(role.as)
	switch {
	case gone != nil || s.Generation != g.id: // what was kept for a while
		return
	case err != nil && s.State == engine.Stopped:
		return
	case err != nil:
		w.failf("%s (%+v) has committed nothing: %+v", role.as, g.simTraits, s)
	}
	o := w.observe(g, newest)
	var wrong string
	g.scripts = slices.DeleteFunc(slices.Clone(g.scripts), func(script []simOrder) bool {
		why := w.restsWrongly(g, s, script, o)
		wrong = cmp.Or(why, wrong)
		return why != ""
	})
	if len(g.scripts) == 0 {
		w.failf("%s (%+v) is %s at %d (%s): %s", p.name, p.simTraits, s.State, s.Committed, s.Reason, wrong)
	}
	if g.keyspace.Durable() != newest.Version {
		w.failf("%s: durable is %d, committed %d", p.name, g.keyspace.Durable(), newest.Version)
	}
	var pins []state.Version
	for _, s := range w.catalog.Projection(p.name).Snapshots {
		if s.Generation != g.id {
			continue
		}
		pins = append(pins, g.neededFor(s)...)
		v, err := g.keyspace.View(s.Version) // it is kept
		if err != nil {
			w.failf("view: %v", err)
		}
		if digestOf(scanned(v)) != s.Digest {
			w.failf("%s: snapshot %s at %d is not what it was", p.name, s.Name, s.Sequence)
		}
		v.Close()
	}
	slices.Sort(pins)
	if pins = slices.Compact(pins); !slices.Equal(pins, g.keyspace.Pins()) {
		w.failf("%s: pinned are %v, want %v", role.as, g.keyspace.Pins(), pins)
	}
	if s.State != engine.Diverged && s.State != engine.Stopped {
		g.other = false
	}
}

// neededFor are the versions that a snapshot needs: its own, and that of the memory.
func (g *simGeneration) neededFor(s catalog.Snapshot) []state.Version {
	needed := []state.Version{s.Version}
	if ck, err := g.keyspace.Checkpoint(s.Version); err == nil && len(ck.Memories) > 0 {
		needed = append(needed, ck.Memories[0].Version)
	}
	return needed
}

// restsWrongly says in what a projection at rest is not as it should be after orders:
// it is halted where it must be, with every event before that applied, and only then.
func (w *simWorld) restsWrongly(g *simGeneration, s engine.Status, script []simOrder, o *observed) string {
	if s.State == engine.Stopped || s.State == engine.Diverged || waitsForLive(s) {
		return ""
	}
	from := g.keyspace.Checkpoints()[0].Position.Sequence
	m := w.fold(g, from, w.last(), script, o)
	switch {
	case (m.halted != 0) != (s.State == engine.Halted), m.halted != 0 && !strings.HasPrefix(s.Reason, fmt.Sprintf("event %d", m.halted)):
		return fmt.Sprintf("it should halt before %d, after %v", m.halted, script)
	case m.halted == 0:
		return ""
	}
	now, then := w.fold(g, from, s.Committed, script, o), w.fold(g, from, m.halted-1, script, o)
	if now.count != then.count {
		return fmt.Sprintf("%d events before %d are not applied", then.count-now.count, m.halted)
	}
	return ""
}
