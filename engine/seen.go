package engine

import (
	"fmt"
	"slices"
	"time"

	"gnomon/engine/state"
)

const (
	// seenFor is how long what a watcher saw last stays readable after it went away, so that
	// one whose connection broke goes on with what changed.
	seenFor = 2 * time.Minute
	// maxSeen bounds how many versions of a projection are kept for that.
	maxSeen = 32
)

// keptSeen is a version that is kept for watchers that may come back.
type keptSeen struct {
	*Reading
	until time.Time
}

// keepSeen takes a reading and closes it later.
func (p *projection) keepSeen(r *Reading) {
	p.mu.Lock()
	var close []keptSeen
	same := func(k keptSeen) bool { return k.keyspace == r.keyspace && k.Version() == r.Version() }
	if i := slices.IndexFunc(p.seen, same); i >= 0 {
		close = append(close, p.seen[i])
		p.seen = slices.Delete(p.seen, i, i+1)
	} else if len(p.seen) == maxSeen {
		close = append(close, p.seen[0])
		p.seen = slices.Delete(p.seen, 0, 1)
	}
	kept := keptSeen{r, time.Now().Add(seenFor)}
	if p.hasRoleLocked(r.keyspace) {
		p.seen = append(p.seen, kept)
	} else {
		close = append(close, kept)
	}
	p.mu.Unlock()
	for _, k := range close {
		k.Close()
	}
}

func (p *projection) hasRoleLocked(ks state.Keyspace) bool {
	return slices.ContainsFunc(p.generationsLocked(), func(g *generation) bool { return g.keyspace == ks })
}

// forgetSeen closes what was kept for long enough, or of a generation without a role, or
// everything.
func (p *projection) forgetSeen(all bool) {
	p.mu.Lock()
	var close, stay []keptSeen
	for _, k := range p.seen {
		if all || time.Now().After(k.until) || !p.hasRoleLocked(k.keyspace) {
			close = append(close, k)
		} else {
			stay = append(stay, k)
		}
	}
	p.seen = stay
	p.mu.Unlock()
	for _, k := range close {
		k.Close()
	}
}

// readAgain opens what a watcher has seen, so that what changed since can be told; or says
// why it cannot be. Now is what it would be brought to.
func (p *projection) readAgain(b state.Bookmark, now *Reading) (*Reading, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.seenLocked(b, now)
	at := b.Version.Sequence()
	switch {
	case g == nil:
		return nil, fmt.Sprintf("generation %s is gone, %s is read", b.Generation, now.Generation)
	case b.Version > g.runner.Published().Version:
		return nil, fmt.Sprintf("the projection is at %d, which is before %d", g.runner.Published().Position.Sequence, at)
	case b.Version < g.keyspace.Oldest():
		return nil, fmt.Sprintf("sequence %d is no longer kept: the oldest is %d", at, g.keyspace.Oldest().Sequence())
	}
	v, err := g.keyspace.View(b.Version)
	if err != nil {
		return nil, err.Error()
	}
	ck, err := g.keyspace.Checkpoint(b.Version)
	if err == nil && b.Generation != "" && state.BookmarkOf(ck, g.id) != b {
		err = fmt.Errorf("what was committed at %d is not what was seen", at)
	}
	if err != nil {
		v.Close()
		return nil, err.Error()
	}
	return p.readingLocked(g, v, ck), ""
}

// seenLocked is the generation of a bookmark, or that of a reading when it names none.
func (p *projection) seenLocked(b state.Bookmark, now *Reading) *generation {
	for _, g := range p.generationsLocked() {
		if g.keyspace != nil && (g.id == b.Generation || b.Generation == "" && g.keyspace == now.keyspace) {
			return g
		}
	}
	return nil
}
