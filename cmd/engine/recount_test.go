package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"gnomon/engine/query/wire"
)

// logEvent is an event of a real log.
type logEvent struct {
	Time time.Time
	Data struct {
		Case, Activity, Commit string
		Resource               *string
		Added, Removed         int
	}
}

// recount does what an example projection does, in the plainest way, and remembers what
// every key has been.
type recount struct {
	seq     uint64 // of the last event
	rows    map[string]string
	changes map[string][]change // by key, oldest first
	apply   func(c *recount, e logEvent)
}

// change is one of a key; "" stands for an absent value.
type change struct {
	seq           uint64
	before, after string
}

func newRecount(apply func(*recount, logEvent)) *recount {
	return &recount{rows: map[string]string{}, changes: map[string][]change{}, apply: apply}
}

// put gives a key a value; "": none.
func (c *recount) put(key, value string) {
	if before := c.rows[key]; before != value {
		c.changes[key] = append(c.changes[key], change{c.seq, before, value})
	}
	c.rows[key] = value
	if value == "" {
		delete(c.rows, key)
	}
}

// through applies a log's events, and returns the rows after each of the sequences, which are
// in order.
func (c *recount) through(t *testing.T, lines [][]byte, sequences []uint64) map[uint64]map[string]string {
	t.Helper()
	at := map[uint64]map[string]string{}
	for {
		for ; len(sequences) > 0 && sequences[0] == c.seq; sequences = sequences[1:] {
			at[c.seq] = maps.Clone(c.rows)
		}
		if c.seq == uint64(len(lines)) {
			return at
		}
		var e logEvent
		if err := json.Unmarshal(lines[c.seq], &e); err != nil {
			t.Fatal(err)
		}
		c.seq++
		c.apply(c, e)
	}
}

// newMap recounts process-map.
func newMap() *recount {
	type standing struct {
		events      int
		first, last int64
		activity    string
	}
	counts, cases := map[string]int{}, map[string]standing{}
	return newRecount(func(c *recount, e logEvent) {
		count := func(of, key string) {
			counts[key]++
			c.put(key, fmt.Sprintf(`{"%s":%d}`, of, counts[key]))
		}
		d, ms := e.Data, e.Time.UnixMilli()
		count("events", "activity\t"+d.Activity)
		if d.Resource != nil {
			count("events", "resource\t"+*d.Resource)
		}
		s, known := cases[d.Case]
		if known {
			count("events", "follows\t"+s.activity+"\t"+d.Activity)
		} else {
			count("cases", "start\t"+d.Activity)
			s.first = ms
		}
		s.events, s.last, s.activity = s.events+1, ms, d.Activity
		cases[d.Case] = s
		c.put("case\t"+d.Case, fmt.Sprintf(`{"events":%d,"first_ms":%d,"last_ms":%d,"activity":%s}`, s.events, s.first, s.last, quoted(d.Activity)))
	})
}

func quoted(text string) string {
	b, err := wire.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// newFiles recounts repo-files.
func newFiles() *recount {
	type sums struct{ files, lines, commits, changes, added, removed int }
	var total sums
	files, first := map[string]sums{}, map[string]int64{}
	authors, lastCommit := map[string]sums{}, map[string]string{}
	return newRecount(func(c *recount, e logEvent) {
		d, ms, author := e.Data, e.Time.UnixMilli(), ""
		if d.Resource != nil {
			author = *d.Resource
		}
		switch d.Activity {
		case "file_added":
			total.files++
			first[d.Case] = ms
			fallthrough
		case "file_modified":
			f := files[d.Case]
			f.lines, f.changes = f.lines+d.Added-d.Removed, f.changes+1
			files[d.Case] = f
			c.put("file\t"+d.Case, fmt.Sprintf(`{"lines":%d,"changes":%d,"first_ms":%d,"last_ms":%d,"author":%q,"commit":%q}`, f.lines, f.changes, first[d.Case], ms, author, d.Commit))
		case "file_deleted":
			total.files--
			delete(files, d.Case)
			c.put("file\t"+d.Case, "")
		}
		a := authors[author]
		if lastCommit[author] != d.Commit {
			a.commits++
		}
		if lastCommit[""] != d.Commit {
			total.commits++
		}
		lastCommit[author], lastCommit[""] = d.Commit, d.Commit
		a.changes, a.added, a.removed = a.changes+1, a.added+d.Added, a.removed+d.Removed
		authors[author] = a
		c.put("author\t"+author, fmt.Sprintf(`{"commits":%d,"changes":%d,"added":%d,"removed":%d,"last_ms":%d,"commit":%q}`, a.commits, a.changes, a.added, a.removed, ms, d.Commit))
		total.lines, total.changes = total.lines+d.Added-d.Removed, total.changes+1
		c.put("total", fmt.Sprintf(`{"files":%d,"lines":%d,"commits":%d,"changes":%d,"last_ms":%d,"commit":%q}`, total.files, total.lines, total.commits, total.changes, ms, d.Commit))
	})
}

// newSessionsOf recounts sessions, of which one ends with a pause that is longer than the gap.
func newSessionsOf(gap time.Duration) *recount {
	type session struct {
		times       []int64
		first, last uint64
	}
	open := map[string]session{}
	finished, events, longest := 0, 0, int64(0)
	return newRecount(func(c *recount, e logEvent) {
		actor, ms := e.Data.Case, e.Time.UnixMilli()
		s, known := open[actor]
		if known {
			from, to := s.times[0], s.times[0]
			for _, at := range s.times {
				from, to = min(from, at), max(to, at)
			}
			if ms >= from-gap.Milliseconds() && ms <= to+gap.Milliseconds() {
				s.times, s.last = append(s.times, ms), c.seq
				open[actor] = s
				return
			}
			finished, events, longest = finished+1, events+len(s.times), max(longest, to-from)
			c.put(fmt.Sprintf("session\t%s\t%020d", actor, s.first), fmt.Sprintf(`{"events":%d,"first_ms":%d,"last_ms":%d,"first_seq":%d,"last_seq":%d}`, len(s.times), from, to, s.first, s.last))
		}
		open[actor] = session{times: []int64{ms}, first: c.seq, last: c.seq}
		c.put("total", fmt.Sprintf(`{"open":%d,"finished":%d,"events":%d,"longest_ms":%d,"ignored":0}`, len(open), finished, events, longest))
	})
}
