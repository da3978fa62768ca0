package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// A projection of a real log whose rule is changed while it is read: what is read answers
// all the time, diff lists exactly the keys in which an independent computation finds the
// two rules to differ, after promote reads are those of the new rule, after rollback those of
// the old one, and sequences only move forward.
func TestChangedRuleOnRealLogs(t *testing.T) {
	log, from := "gitlog", uint64(500)
	if soaking() {
		log, from = "bpic2012", 100_000
	}
	file := logFile(t, log)
	old, total := countSubjects(t, file, 1)
	changed, _ := countSubjects(t, file, from)
	h := newHome(t, log+".>", projection("count", "count.wasm", `start = "first"`))
	h.importLog(file)
	p := h.serve()
	p.awaitLive("count", total)

	ctx, cancel := context.WithCancel(t.Context())
	reads, failed := make(chan int, 1), make(chan error, 1)
	go func() {
		n, last := 0, uint64(0)
		for ; ctx.Err() == nil; n++ {
			s, err := p.client.Projection(ctx, "count")
			if err == nil && (s.Position < last || s.State != engine.Live) {
				err = fmt.Errorf("%s at %d after %d", s.State, s.Position, last)
			}
			if err != nil && ctx.Err() == nil {
				failed <- err
				break
			}
			last = max(last, s.Position)
		}
		reads <- n
	}()
	h.edit(`start = "first"`, fmt.Sprintf("start = %d", from))
	p.await("count", "the candidate has caught up", func(s engine.Status) bool {
		return s.Candidate != nil && s.Candidate.State == engine.Live && s.Candidate.Position == total
	})
	p.wantRows("count", old)
	p.wantRows("count@candidate", changed)
	p.wantDifferences(old, changed, total)
	// It is compared, and promoted, while events come.
	for i := range 5 {
		subject := fmt.Sprintf("%s.new.%d", log, i)
		p.publishTo(subject, 3)
		old[subject], changed[subject] = 3, 3
		total += 3
		switch i {
		case 1, 3:
			if _, err := p.client.Promote(t.Context(), "count", time.Minute); err != nil {
				t.Fatal(err)
			}
			p.awaitLive("count", total)
			p.wantRows("count", changed)
		case 2:
			if _, err := p.client.Rollback(t.Context(), "count"); err != nil {
				t.Fatal(err)
			}
			p.awaitLive("count", total)
			p.wantRows("count", old)
		}
	}
	cancel()
	if n := <-reads; n == 0 {
		t.Error("nothing was read meanwhile")
	}
	select {
	case err := <-failed:
		t.Errorf("a read meanwhile: %v", err)
	default:
	}
}

// countSubjects counts the events of a log by their subjects, from a sequence on, and all of
// its events.
func countSubjects(t *testing.T, file string, from uint64) (subjects map[string]uint64, total uint64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	subjects = map[string]uint64{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Subject string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if total++; total >= from {
			subjects[e.Subject]++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return subjects, total
}

// publishTo appends events of one subject.
func (p *process) publishTo(subject string, n int) {
	p.t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"subject":"%s","id":"%s-%d","type":"e","time":"2026-01-31T12:00:00Z","data":{}}`+"\n", subject, subject, i)
	}
	if _, err := p.client.Import(p.t.Context(), "LOG", strings.NewReader(lines.String())); err != nil {
		p.t.Fatal(err)
	}
}

// wantRows holds what is read of a projection of counts against what it should be.
func (p *process) wantRows(name string, want map[string]uint64) {
	p.t.Helper()
	got := map[string]uint64{}
	err := p.client.Scan(p.t.Context(), name, nil, 0, func(r wire.Row) error {
		got[string(r.Key)] = binary.LittleEndian.Uint64(r.Value)
		return nil
	})
	if err != nil || !maps.Equal(got, want) {
		p.t.Errorf("%s has %d keys, want %d; %v", name, len(got), len(want), err)
	}
}

// wantDifferences holds what diff says of two states against the two of them.
func (p *process) wantDifferences(live, candidate map[string]uint64, at uint64) {
	p.t.Helper()
	want := map[string]wire.KeyChange{}
	for key, n := range live {
		switch m, ok := candidate[key]; {
		case !ok:
			want[key] = wire.KeyMissing
		case m != n:
			want[key] = wire.KeyChanged
		}
	}
	for key := range candidate {
		if _, ok := live[key]; !ok {
			want[key] = wire.KeyAdded
		}
	}
	got := map[string]wire.KeyChange{}
	sum, err := p.client.Diff(p.t.Context(), "count", nil, 0, func(d wire.Difference) error {
		got[string(d.Key)] = d.Change
		return nil
	})
	if err != nil || !maps.Equal(got, want) || sum.AsOfSeq != at || len(want) < 10 {
		p.t.Errorf("diff at %d of %d lists %d keys, want %d; %v", sum.AsOfSeq, at, len(got), len(want), err)
	}
}
