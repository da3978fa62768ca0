package js_test

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
	"gnomon/sdk/js"
	"gnomon/sdk/outcome"
)

// scenario is a file of testdata/kurrentdb: what KurrentDB does, as its documentation or
// its source has it, and a script, settings and events that show it.
type scenario struct {
	name     string
	why      string
	script   []byte
	settings []byte
	events   *testdriver.Events
	expected []byte
}

func scenarios(t *testing.T) []scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/kurrentdb/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	var all []scenario
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := scenario{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), why: string(archive.Comment), events: testdriver.NewEvents(nil)}
		for _, f := range archive.Files {
			switch f.Name {
			case "projection.js":
				s.script = f.Data
			case "settings.json":
				s.settings = f.Data
			case "events.jsonl":
				s.read(t, f.Data)
			case "expected.json":
				s.expected = f.Data
			default:
				t.Fatalf("%s: unknown file %s", file, f.Name)
			}
		}
		all = append(all, s)
	}
	return all
}

// read adds events of lines {"subject", "type", "data", "headers"}; data that is a string
// is taken as it is. The first is of 2026-01-31T12:00:01Z, the others a second later each.
func (s *scenario) read(t *testing.T, lines []byte) {
	t.Helper()
	began := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for line := range strings.Lines(string(lines)) {
		var e struct {
			Subject, Type string
			Data          json.RawMessage
			Bytes         []byte `json:"data_base64"`
			Headers       map[string]string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %s: %v", s.name, line, err)
		}
		n := s.events.Len() + 1
		r := abi.Record{Sequence: uint64(n), TimeNs: began.Add(time.Duration(n) * time.Second).UnixNano(), Subject: []byte(e.Subject), Data: e.Data}
		var text string
		if json.Unmarshal(e.Data, &text) == nil {
			r.Data = []byte(text)
		}
		if e.Bytes != nil {
			r.Data = e.Bytes
		}
		headers := map[string]string{}
		if e.Type != "" {
			headers["ce-type"] = e.Type
		}
		maps.Copy(headers, e.Headers)
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			r.Headers, _ = abi.AppendHeader(r.Headers, name, headers[name])
		}
		s.events.Add(r, n)
	}
}

// Each scenario gives the states, results, emitted events, errors and lines of the log
// that KurrentDB's documentation and source say; and the same in batches of any size, and
// with a fresh instance before any event.
func TestKurrentDBScenarios(t *testing.T) {
	module := loadKurrentDB(t, js.AttachAnyKurrentDB)
	for _, s := range scenarios(t) {
		t.Run(s.name, func(t *testing.T) {
			if !strings.Contains(s.why, "https://") && !strings.Contains(s.why, "src/") {
				t.Error("the scenario does not say where its behaviour is documented")
			}
			got, err := testdriver.Run(t.Context(), s.subject(t, module), s.events, testdriver.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range got.Outcome.Errors {
				got.Outcome.Errors[i].Error = strings.ReplaceAll(e.Error, "<input>:", "projection.js:")
			}
			want, err := outcome.Decode(s.expected)
			if err != nil {
				t.Fatal(err)
			}
			if differences := outcome.Compare(want, &got.Outcome); len(differences) > 0 {
				t.Errorf("the outcome differs:\n%s\nall of it:\n%s", outcome.Report(differences, 20), got.Outcome.Encode())
			}
			varied, err := testdriver.Vary(t.Context(), got, testdriver.VaryOptions{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			if varied.Finding != nil {
				t.Errorf("the result depends on more than the events: %v", varied.Finding)
			}
		})
	}
}

// What KurrentDB does not allow, what works otherwise here, and settings that make no
// sense, are refused when the module starts: with what it is, its line, and what to do.
func TestKurrentDBRefusals(t *testing.T) {
	module := loadKurrentDB(t, js.AttachAnyKurrentDB)
	for _, c := range []struct{ script, settings, want string }{
		{"emit('a-b', 'C', {})", "", "kurrentdb: emit(): it belongs into a handler (projection.js:1:5)"},
		{"var x = 1", "", "kurrentdb: the script: it has no source; call fromAll, fromCategory, fromStream or fromStreams"},
		{"fromAll();\nfromAll()", "", "kurrentdb: fromAll: the script has fromAll already; a project"},
		{"fromAll().foreachStream().partitionBy(e => 1)", "", "kurrentdb: partitionBy(): it does not follow foreachStream(); there is when"},
		{"fromStream('a').foreachStream()", "", "kurrentdb: foreachStream(): it does not follow fromStream(); there is partitionBy, when, outputState"},
		{"fromCategory('a', 'b').foreachStream()", "", "kurrentdb: foreachStream(): it does not follow fromStreams()"},
		{"fromStream('$streams')", "", "kurrentdb: fromStream: $streams: of the system's streams there are"},
		{"fromAll().when({ $any() {}, A() {} })", "", "kurrentdb: the handler A after $any: KurrentDB then passes over"},
		{"fromAll().when({ $deleted() {} })", "", "kurrentdb: the handler $deleted: it needs foreachStream()"},
		{"fromAll().foreachStream().when({ $initShared() {}, $deleted() {} })", "", "kurrentdb: the handler $deleted: it cannot be with $initShared"},
		{"fromAll().when({ $initShared() {} })", "", "kurrentdb: the handler $initShared: it needs foreachStream() or partitionBy()"},
		{"fromAll().when({ $other() {} })", "", "kurrentdb: the handler $other: unknown"},
		{"fromAll().when({ A: 5 })", "", "kurrentdb: the handler A: want a function"},
		{"fromAll().when({ async A() {} })", "", "kurrentdb: the handler A: want a function that is neither async nor a generator (projection.js:1:15)"},
		{"fromAll().partitionBy(function* () {})", "", "kurrentdb: partitionBy: want a function of an event that is neither async nor a generator"},
		{"fromAll().when({ A() {} }).transformBy(async s => s)", "", "kurrentdb: transformBy: want a function of a state that is neither async"},
		{"options({ bistate: 1 })", "", "kurrentdb: options: bistate: want a boolean"},
		{"options({ speed: 1 })", "", "kurrentdb: options: speed: unknown; there are $includeLinks, reorderEvents"},
		{"options({ reorderEvents: true }); fromAll()", "", "kurrentdb: options: reorderEvents: it needs fromStreams([…])"},
		{"fromAll().when({ A() {} }).fork()", "", "kurrentdb: fork(): leave it out"},
		{"\n\nfromStreamsMatching(s => true)", "", "(projection.js:3:20)"},
		{"linkStreamTo('a', 'b')", "", "kurrentdb: linkStreamTo(): link events with linkTo(stream, event)"},
		{"fromAll()", `{"stream":"subject:1"}`, "settings: stream is not known: there are streams, category, types"},
		{"fromAll()", `{"streams":"subject:0"}`, `settings: streams = "subject:0": want subject:N, subject:N-M, subject:N- or header:NAME`},
		{"fromAll()", `{"category":"-"}`, `settings: category = "-": want "first -" or "last -"`},
		{"fromAll()", `{"number":"count"}`, `settings: number = "count": want header:NAME or sequence`},
		{"fromAll().when({ A() {} })", `{"deleted":"A"}`, "kurrentdb: the handler A: settings.deleted names the type"},
		{"fromAll(", "", "SyntaxError: unexpected token in expression: '' (projection.js:1:9)"},
	} {
		s := scenario{script: []byte(c.script), settings: []byte(c.settings), events: testdriver.NewEvents(nil)}
		_, err := testdriver.Run(t.Context(), s.subject(t, module), s.events, testdriver.Options{})
		text, ok := testdriver.ErrorText(err)
		if !ok || !strings.Contains(strings.ReplaceAll(text, "<input>:", "projection.js:"), c.want) {
			t.Errorf("%s, settings %s: %v\nwant: %s", c.script, c.settings, err, c.want)
		}
	}
}

// An event that a script keeps in a variable is refused when it is read in place of a later one: it does
// not show that.
func TestKurrentDBEventsOfBefore(t *testing.T) {
	s := scenario{script: []byte(`var kept; fromAll().when({ A(s, e) { kept = e; s.n = 1 }, B(s, e) { s.id = kept.eventId }, C(s, e) { s.kept = kept } })`), events: testdriver.NewEvents(nil)}
	s.read(t, []byte(`{"subject":"a.b.c","type":"A","data":{}}
{"subject":"a.b.c","type":"B","data":{}}
{"subject":"a.b.c","type":"A","data":{}}
{"subject":"a.b.c","type":"C","data":{}}
`))
	got, err := testdriver.Run(t.Context(), s.subject(t, loadKurrentDB(t, js.AttachAnyKurrentDB)), s.events, testdriver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var failed []int
	for _, e := range got.Outcome.Errors {
		if !strings.Contains(e.Error, "an event of before: it can be read until its handler returns") {
			t.Error(e.Error)
		}
		failed = append(failed, int(e.Event))
	}
	if !slices.Equal(failed, []int{2, 4}) {
		t.Errorf("the events %v failed, want 2 and 4:\n%s", failed, got.Outcome.Encode())
	}
}

// States stay in JavaScript within a batch, lists and objects alike: an event more costs a part of what it
// takes to read and to write its state.
func TestKurrentDBStatesStayInABatch(t *testing.T) {
	module := loadKurrentDB(t, js.AttachAnyKurrentDB)
	for _, list := range []string{
		"Array.from({ length: 2000 }, (_, i) => i + 0.5)",
		"Array.from({ length: 500 }, (_, i) => ({ i, of: [i, 'text'] }))",
		"Object.fromEntries(Array.from({ length: 500 }, (_, i) => ['k' + i, i]))",
	} {
		s := scenario{script: []byte("fromAll().when({ $init: () => ({ n: 0, all: " + list + " }), A(s) { s.n++ } })")}
		fuel := func(events int) uint64 {
			session, err := testdriver.NewSession(t.Context(), s.subject(t, module), guest.Surroundings{})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close(t.Context())
			var sum uint64
			for _, n := range []int{1, events} { // the first begins the state
				var batch []byte
				for range n {
					r := abi.Record{Sequence: 1, Subject: []byte("a.b.c.A"), Data: []byte("{}")}
					batch = r.Append(batch)
				}
				cost, err := session.Call(t.Context(), batch)
				if err != nil {
					t.Fatal(err)
				}
				sum = cost.Fuel
			}
			return sum
		}
		if one, many := fuel(1), fuel(32); many > 16*one {
			t.Errorf("%s: 32 events take %d units of fuel, and one %d", list, many, one)
		}
	}
}

func loadKurrentDB(t *testing.T, attach func() ([]byte, error)) guest.Module {
	t.Helper()
	code, err := attach()
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(t.Context(), host.Options{CacheDir: testutil.Compiled(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	module, err := h.Load(t.Context(), code, host.Limits{Fuel: 500_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// subject is the module that takes scripts from its settings, with the scenario's.
func (s *scenario) subject(t *testing.T, module guest.Module) testdriver.Subject {
	t.Helper()
	settings, err := json.Marshal(map[string]any{"script": string(s.script), "settings": json.RawMessage(cmp.Or(string(s.settings), "{}"))})
	if err != nil {
		t.Fatal(err)
	}
	return testdriver.Subject{Module: module, Settings: settings}
}

// A script is taken for one of KurrentDB when it takes events with a function of its
// dialect and exports nothing, and for another when it is said to be; a dialect that there
// is none of is refused. Errors name the script and the line.
func TestDialects(t *testing.T) {
	if testing.Short() {
		t.Skip("each case compiles a module")
	}
	for _, c := range []struct {
		script  string
		dialect js.Dialect
		want    string // of the error when it is attached or started; empty: there is none
	}{
		{"fromAll().when({ $any(s) {} })", "", ""},
		{"fromAll().when({ $any(s) {} })", js.Gnomon, "old.js exports neither onEvent nor upcast"},
		{"// fromAll()\nexport function onEvent() {}", "", ""},
		{"/* what the billing has to\nexport */\nfromAll().when({ $any(s) {} })", "", ""},
		{"export function onEvent() {}", js.KurrentDB, "SyntaxError: unsupported keyword: export (old.js:1:1)"},
		{"export function onEvent() {}", "sql", "there is no dialect sql: there are gnomon and kurrentdb"},
		{"var a;\nfromStream('$all')", "", "kurrentdb: fromStream: $all: "},
		{"var a;\nfromStream('$all')", "", "(old.js:2:11)"},
	} {
		err := startScript(t, []byte(c.script), js.Options{Name: "old.js", Dialect: c.dialect})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q, dialect %q: %v; want %q", c.script, c.dialect, err, c.want)
		}
	}
}

func startScript(t *testing.T, script []byte, o js.Options) error {
	t.Helper()
	code, err := js.Attach(script, o)
	if err != nil {
		return err
	}
	module := loadKurrentDB(t, func() ([]byte, error) { return code, nil })
	_, err = testdriver.Run(t.Context(), testdriver.Subject{Module: module}, testdriver.NewEvents(nil), testdriver.Options{})
	return err
}
