package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil/natstest"
)

// logOfThePast is a real log whose past is read, of projections that keep all of it.
type logOfThePast struct {
	*testing.T
	rnd     *rand.Rand
	name    string
	file    string
	lines   [][]byte
	end     uint64
	known   map[uint64]knownDigests
	seqs    []uint64            // in order: of which results are known, and random ones
	home    *home               // of the engine
	recount map[string]*recount // by projection, at the end
	want    map[string]map[uint64]map[string]string
}

// gaps are those of the sessions of a log: before they are changed, and after. Logs without
// one have other projections.
var gaps = map[string][2]time.Duration{
	"cars":    {10 * time.Minute, 2 * time.Minute},
	"receipt": {72 * time.Hour, time.Hour},
}

// openPast recounts a log up to random sequences. What is made of it is declared and not run
// yet.
func openPast(t *testing.T, name string, samples int) *logOfThePast {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("the seed is %d", seed)
	l := &logOfThePast{T: t, rnd: rand.New(rand.NewPCG(seed, 1)), name: name, file: logFile(t, name), known: knownCheckpoints(t, name), want: map[string]map[uint64]map[string]string{}}
	l.lines = logLines(t, l.file)
	l.end = uint64(len(l.lines))
	l.seqs = append(slices.Collect(maps.Keys(l.known)), 0, l.end)
	for range samples {
		l.seqs = append(l.seqs, 1+l.rnd.Uint64N(l.end))
	}
	slices.Sort(l.seqs)
	l.seqs = slices.Compact(l.seqs)
	l.recount = map[string]*recount{"map": newMap()}
	if gap, ok := gaps[name]; ok {
		l.recount["sessions"], l.recount["changed"] = newSessionsOf(gap[0]), newSessionsOf(gap[1])
	}
	if name == "gitlog" {
		l.recount["files"] = newFiles()
	}
	for projection, c := range l.recount {
		l.want[projection] = c.through(t, l.lines, l.seqs)
	}
	return l
}

// declare makes a home with the projections.
func (l *logOfThePast) declare(server *natstest.Server) *home {
	l.Helper()
	all := []string{"[projection.history]", `keep = "all"`}
	text := projection("map", "process-map.wasm", all...)
	if gap, ok := gaps[l.name]; ok {
		text += projection("sessions", "sessions.wasm", append(all, "every_events = 300", "[projection.snapshots]", "every_events = 800", "[projection.settings]", fmt.Sprintf("gap = %q", gap[0]))...)
		text += projection("short", "process-map.wasm", "[projection.history]", "keep = 1000", "every_events = 100")
	}
	if l.name == "gitlog" {
		text += projection("files", "repo-files.wasm", append(all, "every_events = 333")...)
	}
	h := newHome(l.T, l.name+".>", text)
	if server != nil {
		h.configure("", fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	}
	return h
}

// some are sequences, in order, of which so many are taken by chance.
func (l *logOfThePast) some(n int) []uint64 {
	some := slices.Clone(l.seqs)
	l.rnd.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	some = some[:min(n, len(some))]
	slices.Sort(some)
	return some
}

// requirePast holds what a projection was as of sequences against the recount of another
// name.
func (p *process) requirePast(l *logOfThePast, projection, recount string, sequences []uint64) {
	p.t.Helper()
	for _, seq := range sequences {
		got, err := p.past(projection, client.Moment{At: fmt.Sprint(seq)})
		if err != nil {
			p.t.Fatalf("%s as of %d: %v", projection, seq, err)
		}
		if want := l.want[recount][seq]; !maps.Equal(got, want) {
			p.t.Fatalf("%s as of %d: %s", projection, seq, firstDifference(got, want))
		}
	}
}

// past reads a state as of a moment.
func (p *process) past(projection string, at client.Moment) (map[string]string, error) {
	got := map[string]string{}
	err := p.client.At(at).Scan(p.t.Context(), projection, nil, 0, func(r wire.Row) error {
		got[string(r.Key)] = string(r.Value)
		return nil
	})
	return got, err
}

// requireKnown holds the map as of sequences against results that were computed otherwise.
func (l *logOfThePast) requireKnown(p *process) {
	l.Helper()
	for seq, want := range l.known {
		got, err := p.past("map", client.Moment{At: fmt.Sprint(seq)})
		if err != nil || digestsOf(l.T, got) != want {
			l.Errorf("as of %d the map is not the one that was computed otherwise; %v", seq, err)
		}
	}
}

// publish appends the events of the log from one on up to another.
func (l *logOfThePast) publish(from, to uint64) {
	l.Helper()
	file := filepath.Join(l.TempDir(), "part.jsonl")
	if err := os.WriteFile(file, append(bytes.Join(l.lines[from-1:to], []byte("\n")), '\n'), 0o600); err != nil {
		l.Fatal(err)
	}
	l.home.importLog(file)
}

// As of 200 random sequences of a real log, and of those that independent results are known
// of, the state is what a recount of the events up to there finds: of projections with guest
// memory and without, whether it was caught up with or came event by event; after a promotion
// the past is that of what is read then, and after a rollback that of the other one; after a
// restart with all tables compacted it is the same; and of a state that came from another
// node it is exact from there on, and by replay before that.
func TestAsOfOnRealLogs(t *testing.T) {
	long(t)
	logs := []struct{ name, richest string }{{"gitlog", "files"}, {"receipt", "map"}}
	if soaking() {
		logs = append(logs, struct{ name, richest string }{"cars", "sessions"})
	}
	for _, log := range logs {
		t.Run(log.name, func(t *testing.T) {
			t.Parallel()
			l := openPast(t, log.name, 200)
			server := natstest.Start(t)
			l.home = l.declare(server)
			half := l.end/2 + l.rnd.Uint64N(1000)
			l.publish(1, half)
			p := l.home.serve()
			archives := map[string]string{}
			for name := range l.declared() {
				p.awaitLive(name, half)
				archives[name] = filepath.Join(t.TempDir(), name+archiveEnding)
				l.home.engine("snapshot", "export", name, "-o", archives[name], "--server", p.url())
			}
			l.publish(half+1, l.end)
			l.awaitAll(p)
			l.requireKnown(p)
			p.requirePast(l, log.richest, log.richest, l.seqs)
			l.requireAll(p, 15)
			l.requireExplained(p, 20)
			if _, ok := gaps[log.name]; ok {
				l.requireShort(p)
				l.requirePromoted(p)
			}

			p.end()
			l.compact()
			p = l.home.serve()
			l.awaitAll(p)
			l.requireAll(p, 15)
			if _, ok := gaps[log.name]; ok {
				l.requireShort(p)
			}
			l.requireExplained(p, 3)
			l.requireImported(server, archives)
		})
	}
}

// As of random sequences the largest log is what a recount finds, also after a restart.
func TestAsOfOnLargeRealLogs(t *testing.T) {
	if !soaking() {
		t.Skip("takes long: make soak runs it")
	}
	l := openPast(t, "bpic2012", 5)
	l.home = l.declare(nil)
	l.home.importLog(l.file)
	for range 2 {
		p := l.home.serve()
		l.awaitAll(p)
		l.requireAll(p, 6)
		p.end()
	}
}

// declared are the recounts of what is declared with all its past.
func (l *logOfThePast) declared() map[string]*recount {
	all := maps.Clone(l.recount)
	delete(all, "changed")
	return all
}

// awaitAll waits until all projections have applied the log.
func (l *logOfThePast) awaitAll(p *process) {
	l.Helper()
	for name := range l.declared() {
		p.awaitLive(name, l.end)
	}
}

// requireAll holds the past of all projections that keep it against the recounts, as of some
// of the sequences each.
func (l *logOfThePast) requireAll(p *process, samples int) {
	l.Helper()
	for name := range l.declared() {
		p.requirePast(l, name, name, l.some(samples))
	}
}

// requireExplained holds the changes of random keys, as of now or of a random sequence,
// against those of the recount.
func (l *logOfThePast) requireExplained(p *process, samples int) {
	l.Helper()
	const limit = 50
	names := slices.Sorted(maps.Keys(l.declared()))
	for i := range samples {
		name := names[i%len(names)]
		c := l.recount[name]
		keys := slices.Sorted(maps.Keys(c.changes))
		key, at := keys[l.rnd.IntN(len(keys))], 1+l.rnd.Uint64N(l.end)
		ask := client.Question{Key: []byte(key), Limit: limit}
		if l.rnd.IntN(2) == 0 {
			at = l.end
		} else {
			ask.At = fmt.Sprint(at)
		}
		x, err := p.client.Explain(l.Context(), name, ask)
		if err != nil {
			l.Fatalf("%s: explain %q as of %d: %v", name, key, at, err)
		}
		var got, want []change
		for _, c := range x.Changes {
			if c.Cause != engine.ByEvent {
				l.Errorf("%s: %q was changed at %d by %s", name, key, c.Sequence, c.Cause)
			}
			got = append(got, change{c.Sequence, string(c.Before), string(c.After)})
		}
		for _, c := range slices.Backward(c.changes[key]) {
			if c.seq <= at && len(want) < limit {
				want = append(want, c)
			}
		}
		if !slices.Equal(got, want) || x.Sequence != at || len(want) < limit && x.Ended != "" {
			l.Fatalf("%s: explain %q as of %d (%d): %d changes %v, want %d %v; %s", name, key, at, x.Sequence, len(got), got, len(want), want, x.Ended)
		}
	}
}

// requireShort reads the past of a projection that keeps a thousand sequences: what is older
// is refused with the oldest that is answered, and computed on demand.
func (l *logOfThePast) requireShort(p *process) {
	l.Helper()
	oldest := l.refused(p, "short", 1)
	if oldest > l.end-1000 || oldest <= 1 {
		l.Errorf("the oldest is %d of %d, and 1000 are kept", oldest, l.end)
	}
	l.requireFrom(p, "short", "map", oldest, l.some(5))
}

// refused is the oldest sequence that is answered, as the refusal of another one says.
func (l *logOfThePast) refused(p *process, projection string, seq uint64) (oldest uint64) {
	l.Helper()
	_, err := p.past(projection, client.Moment{At: fmt.Sprint(seq)})
	var problem *wire.Problem
	if !errors.As(err, &problem) || problem.Code != "history-not-kept" {
		l.Fatalf("%s as of %d: %v, want history-not-kept", projection, seq, err)
	}
	_, after, _ := strings.Cut(problem.Detail, "the oldest is that of ")
	number, _, _ := strings.Cut(after, " ")
	if oldest, err = strconv.ParseUint(number, 10, 64); err != nil {
		l.Fatalf("which is the oldest? %s", problem.Detail)
	}
	return oldest
}

// requireFrom reads the past of a projection that is kept from a sequence on, that one and
// the one before it too: it is exact from there on, and before that by replay alone.
func (l *logOfThePast) requireFrom(p *process, projection, recount string, oldest uint64, sequences []uint64) {
	l.Helper()
	if got := l.refused(p, projection, oldest-1); got != oldest {
		l.Errorf("%s as of %d is refused, and the oldest is said to be %d", projection, oldest-1, got)
	}
	if _, err := p.past(projection, client.Moment{At: fmt.Sprint(oldest)}); err != nil {
		l.Errorf("%s as of the oldest: %v", projection, err)
	}
	for _, seq := range sequences {
		got, err := p.past(projection, client.Moment{At: fmt.Sprint(seq), Replay: true})
		if err != nil {
			l.Fatalf("%s replayed up to %d: %v", projection, seq, err)
		}
		if want := l.want[recount][seq]; !maps.Equal(got, want) {
			l.Fatalf("%s replayed up to %d: %s", projection, seq, firstDifference(got, want))
		}
	}
}

// requirePromoted changes the rule of the sessions, and has readers go over and back.
func (l *logOfThePast) requirePromoted(p *process) {
	l.Helper()
	gap := gaps[l.name]
	l.home.edit(fmt.Sprintf("gap = %q", gap[0]), fmt.Sprintf("gap = %q", gap[1]))
	p.await("sessions", "the candidate has caught up", func(s engine.Status) bool {
		return s.Candidate != nil && s.Candidate.State == engine.Live && s.Candidate.Position == l.end
	})
	p.requirePast(l, "sessions@candidate", "changed", l.some(6))
	if _, err := p.client.Promote(l.Context(), "sessions", time.Minute); err != nil {
		l.Fatal(err)
	}
	p.requirePast(l, "sessions", "changed", l.some(15))
	p.requirePast(l, "sessions@previous", "sessions", l.some(6))
	if _, err := p.client.Rollback(l.Context(), "sessions"); err != nil {
		l.Fatal(err)
	}
	p.requirePast(l, "sessions", "sessions", l.some(15))
	p.requirePast(l, "sessions@candidate", "changed", l.some(6))
	l.home.edit(fmt.Sprintf("gap = %q", gap[1]), fmt.Sprintf("gap = %q", gap[0]))
}

// requireImported has another node begin with archives.
func (l *logOfThePast) requireImported(server *natstest.Server, archives map[string]string) {
	l.Helper()
	h := l.declare(server)
	for name, file := range archives {
		h.engine("snapshot", "import", name, file, "--config", h.config)
	}
	p := h.serve()
	for name, file := range archives {
		p.awaitLive(name, l.end)
		oldest := l.refused(p, name, 1)
		// One with memory may be answered from that on, where nothing was committed in between.
		at := checkpointOf(l.T, file).Position.Sequence
		if oldest > at || oldest < at && name != "sessions" {
			l.Errorf("the oldest of %s is %d, and it was imported at %d", name, oldest, at)
		}
		l.requireFrom(p, name, name, oldest, l.some(6))
		from, _ := slices.BinarySearch(l.seqs, oldest)
		p.requirePast(l, name, name, l.seqs[from:min(len(l.seqs), from+10)])
	}
}

// compact rewrites all tables of the databases, while no engine runs, as Badger does by and
// by: what the engine no longer keeps is dropped.
func (l *logOfThePast) compact() {
	l.Helper()
	dirs, err := filepath.Glob(filepath.Join(l.home.data(), "projections", "*", "*"))
	if err != nil || len(dirs) == 0 {
		l.Fatal(dirs, err)
	}
	for _, dir := range dirs {
		var keyspace struct{ Horizon uint64 }
		b, err := os.ReadFile(filepath.Join(dir, "keyspace.json"))
		if err == nil {
			err = json.Unmarshal(b, &keyspace)
		}
		if err != nil || keyspace.Horizon == 0 {
			l.Fatalf("the horizon of %s: %d, %v", dir, keyspace.Horizon, err)
		}
		db, err := badger.OpenManaged(badger.DefaultOptions(filepath.Join(dir, "db")).WithLogger(nil).WithValueThreshold(1 << 20).WithNumCompactors(2))
		if err != nil {
			l.Fatal(err)
		}
		db.SetDiscardTs(keyspace.Horizon)
		err = errors.Join(db.Flatten(2), db.Close())
		if err != nil {
			l.Fatal(err)
		}
	}
}

// end stops the engine.
func (p *process) end() {
	p.t.Helper()
	p.signal(os.Interrupt)
	if out, err := p.wait(); err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
}

// logLines are the lines of a log.
func logLines(t *testing.T, file string) (lines [][]byte) {
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
	s := bufio.NewScanner(z)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		lines = append(lines, slices.Clone(s.Bytes()))
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// knownDigests are SHA-256 of events by activity, events by case, and what follows what.
type knownDigests struct {
	Activities string `json:"events_per_activity_sha256"`
	Cases      string `json:"events_per_case_sha256"`
	Follows    string `json:"directly_follows_sha256"`
}

// knownCheckpoints are digests of the map, by sequence, that were computed from the log by
// other means; none where those results are missing.
func knownCheckpoints(t *testing.T, name string) map[uint64]knownDigests {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sharedData(), "expected", name+".json"))
	if err != nil {
		return nil
	}
	var e struct {
		Checkpoints []struct {
			Seq uint64
			knownDigests
		}
	}
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	known := map[uint64]knownDigests{}
	for _, c := range e.Checkpoints {
		known[c.Seq] = c.knownDigests
	}
	return known
}

// digestsOf are the digests of a map: of JSON with sorted keys.
func digestsOf(t *testing.T, rows map[string]string) knownDigests {
	t.Helper()
	activities, cases, follows := map[string]int{}, map[string]int{}, [][]any{}
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		var v struct{ Events int }
		if err := json.Unmarshal([]byte(rows[key]), &v); err != nil {
			t.Fatal(err)
		}
		switch name := strings.Split(key, "\t"); name[0] {
		case "activity":
			activities[name[1]] = v.Events
		case "case":
			cases[name[1]] = v.Events
		case "follows":
			follows = append(follows, []any{name[1], name[2], v.Events})
		}
	}
	sum := func(v any) string {
		b, err := wire.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	return knownDigests{sum(activities), sum(cases), sum(follows)}
}
