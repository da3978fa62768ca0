package engine

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"gnomon/engine/state"
)

// recentBytes bounds what is kept of the last commits.
const recentBytes = 4 << 20

// recent keeps what the last commits of a runner wrote, while it is watched: all watchers
// that are up to date need the same few keys, which a keyspace looks for in everything that
// is not yet in a table.
type recent struct {
	mu       sync.Mutex
	watchers int
	commits  []recentCommit // without a gap, the oldest first
	from     state.Version  // that they follow on
	newest   state.Version  // of the last of them, or from
	bytes    int
}

type recentCommit struct {
	version state.Version
	writes  []state.Write
	bytes   int
}

// watch counts a watcher in, or out. With the last one everything is forgotten.
func (r *recent) watch(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers += n; r.watchers == 0 {
		r.forgetLocked(r.newest)
	}
}

func (r *recent) forgetLocked(from state.Version) {
	r.commits, r.bytes, r.from, r.newest = nil, 0, from, from
}

// add adds the commit that came after a version. One that takes others back changed more
// than it wrote.
func (r *recent) add(before, version state.Version, writes []state.Write, takesBack bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers == 0 || takesBack {
		r.forgetLocked(version)
		return
	}
	if r.newest != before {
		r.forgetLocked(before)
	}
	c := recentCommit{version: version, writes: writes}
	for _, w := range writes {
		c.bytes += len(w.Key) + len(w.Value)
	}
	r.commits, r.newest = append(r.commits, c), version
	for r.bytes += c.bytes; r.bytes > recentBytes; r.commits = r.commits[1:] {
		r.bytes -= r.commits[0].bytes
		r.from = r.commits[0].version
		r.commits[0] = recentCommit{} // the array stays
	}
}

// changes returns what the commits after one version, and up to another, wrote under a
// prefix, by key; ok is false when not all of them are kept.
func (r *recent) changes(after, at state.Version, prefix string) (rows []state.Row, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if after < r.from || at > r.newest {
		return nil, false
	}
	last := map[string]state.Write{}
	for _, c := range r.commits {
		if c.version <= after || c.version > at {
			continue
		}
		for _, w := range c.writes {
			if strings.HasPrefix(w.Key, prefix) {
				last[w.Key] = w
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(last)) {
		w := last[key]
		rows = append(rows, state.Row{Kind: state.OfState, Key: []byte(key), Value: w.Value, Deleted: w.Delete})
	}
	return rows, true
}
