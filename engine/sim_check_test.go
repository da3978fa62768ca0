package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// observed is what a keyspace holds at one version.
type observed struct {
	checkpoint state.Checkpoint
	rows       map[string]string
	letters    map[uint64]string
	read       map[uint64]bool // events that left a trace
}

func scanned(r state.Rows) map[string]string {
	if v, ok := r.(*simView); ok {
		r = v.View // where reads do not fail
	}
	rows := map[string]string{}
	r.Scan(nil, nil, func(key, value []byte) bool { rows[string(key)] = string(value); return true })
	return rows
}

func digestOf(rows map[string]string) (d state.Digest) {
	for key, value := range rows {
		d.Add(state.Term([]byte(key), []byte(value)))
	}
	return d
}

func (w *simWorld) observe(g *simGeneration, ck state.Checkpoint) *observed {
	v := g.keyspace.Any(ck.Version)
	defer v.Close()
	return w.observed(g, v, ck)
}

func (w *simWorld) observed(g *simGeneration, v state.View, ck state.Checkpoint) *observed {
	o := &observed{checkpoint: ck, rows: scanned(v), letters: map[uint64]string{}, read: map[uint64]bool{}}
	err := state.ReadLetters(v, 0, func(l state.Letter) bool {
		o.letters[l.Sequence] = fmt.Sprintf("%s %q %d", l.Status, l.Key, l.Attempts)
		o.read[l.Sequence] = true
		return true
	})
	if err != nil {
		w.failf("letters of %s: %v", g.name, err)
	}
	for key, value := range o.rows {
		if key[0] == 'L' {
			for _, seq := range strings.Fields(value) {
				n, _ := strconv.ParseUint(seq, 10, 64)
				o.read[n] = true
			}
		}
	}
	return o
}

// totals holds a checkpoint's numbers against a recount.
func (o *observed) totals() string {
	var bytes int64
	for key, value := range o.rows {
		bytes += int64(len(key) + len(value))
	}
	if ck := o.checkpoint; ck.Keys != int64(len(o.rows)) || ck.Bytes != bytes || ck.Digest != digestOf(o.rows) {
		return fmt.Sprintf("the checkpoint says %d keys, %d bytes, digest %.8s; a recount %d, %d, %.8s", ck.Keys, ck.Bytes, ck.Digest, len(o.rows), bytes, digestOf(o.rows))
	}
	return ""
}

// differs compares with a model; it returns the empty string when there is no difference.
func (o *observed) differs(m *simModel) string {
	if m.halted != 0 && m.halted <= o.checkpoint.Position.Sequence {
		return fmt.Sprintf("the position passed event %d, where it must halt", m.halted)
	}
	if d := firstDifference(o.letters, m.list()); d != "" {
		return "letters: " + d
	}
	if d := firstDifference(o.rows, m.rows()); d != "" {
		return "state: " + d
	}
	if a := m.aside(); a != o.checkpoint.Aside {
		return fmt.Sprintf("counts of what is set aside: %+v, want %+v", o.checkpoint.Aside, a)
	}
	return ""
}

func firstDifference[K comparable](got, want map[K]string) string {
	if maps.Equal(got, want) {
		return ""
	}
	var all []string
	for k, v := range got {
		if other, ok := want[k]; !ok {
			all = append(all, fmt.Sprintf("%v: %q, which should not be there", k, v))
		} else if other != v {
			all = append(all, fmt.Sprintf("%v: %q, want %q", k, v, other))
		}
	}
	for k, v := range want {
		if _, ok := got[k]; !ok {
			all = append(all, fmt.Sprintf("%v is missing, want %q", k, v))
		}
	}
	slices.Sort(all)
	return fmt.Sprintf("%d differences, such as %s", len(all), strings.Join(all[:min(3, len(all))], "; "))
}

// fold is the model of a generation at a sequence, as far as an observation of it tells
// which of the deleted events it had read.
func (w *simWorld) fold(g *simGeneration, from, to uint64, script []simOrder, o *observed) *simModel {
	return foldModel(&g.simTraits, g.levels, w.history(g), from, to, script, func(e *simEvent) bool { return o.read[e.seq] })
}

// check holds what was committed since the last time against the model.
func (w *simWorld) check(g *simGeneration) {
	all := g.keyspace.Checkpoints()
	if len(all) == 0 {
		return
	}
	from := all[0].Position.Sequence
	record := w.catalog.Projection(g.name)
	if want, ok := g.begins(record.Origin); ok && !g.begun && w.isNewest(g) {
		if record.Rebuilds > 0 {
			want = max(want, w.first-1) // with what is left
		}
		if from != want {
			w.failf("%s begins at %d, want %d", g.name, from, want)
		}
	}
	g.begun = true
	fresh := all[1+slices.IndexFunc(all, func(c state.Checkpoint) bool { return c.Version == g.checked }):]
	for i, ck := range fresh {
		w.checkOrder(g, all, ck)
		if newest := i == len(fresh)-1; newest || len(fresh) < 12 || i%(len(fresh)/12) == 0 {
			w.checkState(g, from, ck, newest)
		}
	}
	g.checked = all[len(all)-1].Version
}

// begins is the sequence before the first event, where the model knows it.
func (s *simTraits) begins(origin *catalog.Origin) (uint64, bool) {
	switch {
	case s.start.New && origin == nil:
		return 0, false
	case s.start.New:
		return origin.Sequence, true
	}
	return max(s.start.Sequence, 1) - 1, true
}

// checkOrder checks what a checkpoint says of itself, and that it follows the one before.
func (w *simWorld) checkOrder(g *simGeneration, all []state.Checkpoint, ck state.Checkpoint) {
	i := slices.IndexFunc(all, func(c state.Checkpoint) bool { return c.Version == ck.Version })
	if i > 0 && ck.Position.Sequence < all[i-1].Position.Sequence {
		w.failf("%s: a commit at %d followed one at %d", g.name, ck.Position.Sequence, all[i-1].Position.Sequence)
	}
	at := ck.Position.Sequence
	if ck.Version.Sequence() != at {
		w.failf("%s: the version of the commit at %d is one of %d", g.name, at, ck.Version.Sequence())
	}
	for n, a := range ck.Anchors {
		if a.Sequence > at || n > 0 && a.Sequence >= ck.Anchors[n-1].Sequence {
			w.failf("%s: the anchors of %d are %+v", g.name, at, ck.Anchors)
		}
	}
	log := w.history(g)
	if i == 0 || at == 0 || at > uint64(len(log)) || log[at-1].deleted {
		return
	}
	if e := log[at-1]; at > all[0].Position.Sequence && !ck.Position.Time.Equal(e.time) {
		w.failf("%s: event %d was stored at %s, the position says %s", g.name, at, e.time, ck.Position.Time)
	}
}

// checkState holds the state at a checkpoint against the model. Of the newest one it
// learns which of the orders were carried out.
func (w *simWorld) checkState(g *simGeneration, from uint64, ck state.Checkpoint, newest bool) {
	o := w.observe(g, ck)
	if d := o.totals(); d != "" {
		w.failf("%s at %d: %s", g.name, ck.Position.Sequence, d)
	}
	var differ string
	var m *simModel
	matches := func(script []simOrder) bool {
		m = w.fold(g, from, ck.Position.Sequence, script, o)
		d := o.differs(m)
		if d != "" && !strings.Contains(differ, d) && strings.Count(differ, "\n") < 5 {
			differ += "\n" + d
		}
		return d == ""
	}
	if newest {
		var left [][]simOrder
		known := map[string]bool{}
		for _, s := range g.scripts {
			if !matches(s) {
				continue
			}
			if id := fmt.Sprint(m.obeyed); !known[id] {
				known[id] = true
				left = append(left, m.obeyed)
			}
		}
		if len(left) == 0 {
			w.failf("%s (%+v) at %d, after orders %v and %d others: %s", g.name, g.simTraits, ck.Position.Sequence, g.scripts[0], len(g.scripts)-1, differ)
		}
		g.scripts = left
		return
	}
	for _, s := range g.scripts {
		for n := len(s); n >= 0; n-- {
			for _, part := range lastParts(s[:n], partSteps) {
				if matches(part) {
					return
				}
			}
		}
	}
	w.failf("%s (%+v) at %d: no order explains %s", g.name, g.simTraits, ck.Position.Sequence, differ)
}

const partSteps = 40

// lastParts is a script, and it with its last order not carried out to its end.
func lastParts(script []simOrder, most int) [][]simOrder {
	all := [][]simOrder{script}
	if n := len(script); n > 0 && !script[n-1].passes {
		for k := range min(most, script[n-1].steps) {
			part := slices.Clone(script)
			part[n-1].steps = k
			all = append(all, part)
		}
	}
	return all
}

// mayHaveLost notes that the machine went down: the last orders may be undone.
func (g *simGeneration) mayHaveLost() {
	g.checked = 0
	var scripts [][]simOrder
	known := map[string]bool{}
	for _, s := range g.scripts {
		for n := range len(s) + 1 {
			for _, part := range lastParts(s[:n], partSteps) {
				if id := fmt.Sprint(part); !known[id] {
					known[id] = true
					scripts = append(scripts, part)
				}
			}
		}
	}
	g.scripts = scripts
}
