// Package sdk_test holds the SDKs of all languages against each other: testdata/exerciser is one
// guest in each of them.
package sdk_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
	"gnomon/sdk/js"
	"gnomon/sdk/outcome"
)

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(m.Run())
}

const exerciser = "testdata/exerciser"

// builds are how the exerciser is built in each language, into a file.
var builds = map[string]func(t *testing.T, out string){
	"go": func(t *testing.T, out string) {
		run(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "./"+exerciser+"/go")
	},
	"tinygo": func(t *testing.T, out string) {
		tinygo := testutil.Tool(t, "tinygo", "tinygo")
		run(t, nil, tinygo, "build", "-target=wasip1", "-buildmode=c-shared", "-gc=conservative", "-scheduler=none", "-opt=2", "-no-debug", "-o", out, "./"+exerciser+"/go")
	},
	"c": func(t *testing.T, out string) {
		clang := testutil.Tool(t, "c", "clang-19", "clang")
		run(t, nil, clang, "--target=wasm32", "-mbulk-memory", "-nostdlib", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-Ic", "-Wl,--no-entry", "-Wl,--stack-first", "-o", out, exerciser+"/exerciser.c")
	},
	"cpp": func(t *testing.T, out string) {
		clang := testutil.Tool(t, "cpp", "clang++-19", "clang++")
		run(t, nil, clang, "--target=wasm32-wasi", "--sysroot=/usr", "-mexec-model=reactor", "-mbulk-memory", "-fno-exceptions", "-fno-rtti", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-O2", "-Ic", "-Wl,--stack-first", "-Wl,--strip-all", "-o", out, exerciser+"/exerciser.cpp")
	},
	"rust": func(t *testing.T, out string) {
		targets, err := filepath.Abs("../build/rust-exerciser")
		if err != nil {
			t.Fatal(err)
		}
		testutil.Make(t, "rust", exerciser+"/rust", "OUT="+out, "TARGETS="+targets)
	},
	"assemblyscript": func(t *testing.T, out string) {
		asc := testutil.Tool(t, "assemblyscript", "asc")
		run(t, nil, asc, exerciser+"/exerciser.ts", "--path", "assemblyscript", "--use", "abort=~lib/gnomon/fail/abort", "-O3", "--outFile", out)
	},
	"javascript": func(t *testing.T, out string) {
		script, err := os.ReadFile(exerciser + "/exerciser.js")
		if err != nil {
			t.Fatal(err)
		}
		module, err := js.Attach(script, js.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(out, module, 0o600); err != nil {
			t.Fatal(err)
		}
	},
}

func run(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Every SDK does the same: of the same events the exerciser makes the same state, emits, log and
// errors in all languages, in batches of any size and by fresh instances; it answers the same
// requests, refuses the same settings, and rewrites the same older state.
func TestSame(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the exerciser in every language")
	}
	sandbox, err := host.New(t.Context(), host.Options{CacheDir: testutil.Compiled(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sandbox.Close(context.Background()) })
	cases := map[string]*testdriver.Events{"operations": operations(t), "fields": fields(), "faults": faults()}
	want := map[string]*outcome.Outcome{}
	for _, language := range append([]string{"go"}, slices.DeleteFunc(slices.Sorted(maps.Keys(builds)), func(l string) bool { return l == "go" })...) {
		t.Run(language, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "exerciser.wasm")
			builds[language](t, out)
			module, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := sandbox.Load(t.Context(), module, host.Limits{Memory: 64 << 20, Fuel: 5_000_000_000})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { loaded.Close(context.Background()) })
			s := testdriver.Subject{Module: loaded}
			for name, events := range cases {
				got := apply(t, s, events)
				if name == "faults" {
					got.Logs = nil // runtimes print what they know
				}
				if want[name] == nil {
					want[name] = got // of the first language
				}
				if language == "javascript" {
					forgiveFloats(want[name], got)
				}
				for i, d := range outcome.Compare(want[name], got) {
					if i < 10 {
						t.Errorf("%s: %.1000s", name, d)
					}
				}
			}
			checkSettings(t, s)
			checkMigrate(t, s)
		})
	}
}

// forgiveFloats passes over what JavaScript cannot tell: JSON.parse makes a float of each number,
// so 1.0 and 1e0 are 1, and whole.
func forgiveFloats(want, got *outcome.Outcome) {
	for key, value := range got.State {
		if _, err := strconv.ParseInt(value, 10, 64); err == nil && want.State[key] == "-" && strings.HasSuffix(key, "\town\tn") {
			got.State[key] = "-"
		}
	}
}

// apply applies events in all variations.
func apply(t *testing.T, s testdriver.Subject, events *testdriver.Events) *outcome.Outcome {
	t.Helper()
	base, err := testdriver.Run(t.Context(), s, events, testdriver.Options{Queries: requests})
	if err != nil {
		t.Fatal(err)
	}
	varied, err := testdriver.Vary(t.Context(), base, testdriver.VaryOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if f := varied.Finding; f != nil {
		t.Errorf("%s: event %d: %s\n%s", f.Variation, f.Event, f.Difference, f.Cause)
	}
	o := &base.Outcome
	for i := range o.Errors {
		if !strings.HasPrefix(o.Errors[i].Error, "said:") {
			t.Logf("event %d: %.300s", o.Errors[i].Event, o.Errors[i].Error)
			o.Errors[i].Error = "refused" // in words of the language's own
		}
	}
	for i := range o.Queries {
		if o.Queries[i].Request == "large" && o.Queries[i].Error != "" {
			o.Queries[i].Error = "refused"
		}
	}
	return o
}

var requests = [][]byte{[]byte("one"), []byte("none"), []byte("fail"), []byte("large"), []byte("a\x00é"), {}}

// checkSettings holds that settings are read whatever they hold, and that wrong ones are refused.
func checkSettings(t *testing.T, s testdriver.Subject) {
	events := testdriver.NewEvents(nil)
	events.Add(record(1, "settings", nil), 1)
	for settings, want := range map[string]string{
		``:   "none|7|false",
		`{}`: "none|7|false",
		`{"flag":true,"n":-900719925474099,"name":"\u0000\"\u00e9\ud83d\ude00"}`: "\x00\"é😀|-900719925474099|true",
		`{"name":"` + strings.Repeat("long ", 40_000) + `"}`:                     strings.Repeat("long ", 40_000) + "|7|false",
		`{"n":"7"}`:     "",
		`{"flag":0}`:    "",
		`{"name":1}`:    "",
		`{"Name":"a"}`:  "",
		`{"more":null}`: "",
	} {
		s.Settings = []byte(settings)
		got, err := testdriver.Run(t.Context(), s, events, testdriver.Options{})
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "settings: ")):
			t.Errorf("settings %s: error %v", settings, err)
		case want != "" && err != nil:
			t.Errorf("settings %.100s: %.200v", settings, err)
		case want != "" && got.Outcome.State["settings"] != want:
			t.Errorf("settings %.100s: %.100q", settings, got.Outcome.State["settings"])
		}
	}
}

// checkMigrate holds that an older state is rewritten, however large it is, with the schema that
// it has, and that a refusal is told.
func checkMigrate(t *testing.T, s testdriver.Subject) {
	for from, failure := range map[int]string{0: "", 1<<31 - 1: "", 9: "said: no schema 9"} {
		session, err := testdriver.NewSession(t.Context(), s, guest.Surroundings{})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close(context.Background())
		want := map[string]string{"other": "x"}
		for i := range 300 {
			key := fmt.Sprintf("row\té\x00%03d", i)
			value := strings.Repeat("\x00\xff\"", i%7) + strings.Repeat("v", 100_000*(i/299))
			if want[key] = fmt.Sprint(from) + value; value == "" {
				delete(want, key)
			}
			if err := session.State.Put([]byte(key), []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		if err := session.State.Put([]byte("other"), []byte("x")); err != nil {
			t.Fatal(err)
		}
		want["migrated"] = "300"
		err = session.Instance().Migrate(t.Context(), from, session.State)
		text, _ := testdriver.ErrorText(err)
		if text != failure || failure == "" && (err != nil || !maps.Equal(session.State.All(), want)) {
			t.Errorf("migrated from %d: %v, %d keys; want %q, %d keys", from, err, session.State.Keys(), failure, len(want))
		}
	}
}

func record(sequence int, kind string, data []byte) abi.Record {
	r := abi.Record{Sequence: uint64(sequence), TimeNs: int64(sequence), Subject: []byte("a..é.\x00.z"), Data: data, Key: []byte("k\x00é")}
	for _, h := range [][2]string{{"ce-id", "id-" + fmt.Sprint(sequence)}, {"ce-type", kind}, {"ce-typf", "f"}, {"empty", ""}, {"many", "first"}, {"many", "second"}, {"É", "é"}} {
		r.Headers, _ = abi.AppendHeader(r.Headers, h[0], h[1])
	}
	return r
}

// script is a list of operations; see the exercisers.
type script []byte

func (s *script) add(op byte, a, b string) {
	*s = binary.LittleEndian.AppendUint32(append(*s, op), uint32(len(a)))
	*s = append(append(binary.LittleEndian.AppendUint32(*s, uint32(len(b))), a...), b...)
}

// operations are events of operations: some that were thought of, and random ones.
func operations(t *testing.T) *testdriver.Events {
	list := testdriver.NewEvents(nil)
	add := func(s script) { list.Add(record(list.Len()+1, "operations", s), list.Len()+1) }
	one := func(op byte, a, b string) { add(script(nil).with(op, a, b)) }
	add(nil)
	megabyte := strings.Repeat("\x00\xff\"é", 1<<18)[:1<<20]
	one('p', "one", "1")
	one('p', "large", megabyte)
	one('c', "large", "copy")
	one('p', "large", megabyte+"1")            // fails
	one('p', strings.Repeat("k", 64_000), "v") //
	one('p', strings.Repeat("k", 64_001), "v") // fails
	one('p', "", "v")                          // fails
	one('d', "", "")
	one('c', "", "was absent")                               //
	one('p', "empty", "")                                    //
	one('c', "empty", "empty too")                           //
	one('p', "a\x00é", "\x00\xff\xfe")                       //
	one('e', "to.é", "\x00"+strings.Repeat("\x01\x00", 120)) //
	one('e', "to", "")                                       //
	one('e', "", "x")                                        // fails
	one('e', strings.Repeat("s", 1025), "x")                 // fails
	one('l', "nul \x00 é 😀", "\x00")                         //
	one('l', strings.Repeat("é", 3000), "\x03")              // cut
	one('l', "", "\x01")
	one('f', "said: \x00é\"\\😀\n", "")
	one('f', "said: "+strings.Repeat("é", 3000), "") // cut
	one('q', "\x00\x01\x1f\b\t\n\f\r\x7f\"\\/é\u2028😀\ufffd", "")
	one('q', strings.Repeat("\x01é", 40_000), "")
	one('v', "", "")
	var headers script
	for _, name := range []string{"many", "MANY", "empty", "absent", "", "ce-typ", "É", "é"} {
		headers.add('h', name, "")
	}
	for i := range 8 {
		headers.add('t', "", string(rune(i)))
	}
	add(headers)
	var fill script
	for i := range 3000 {
		fill.add('p', fmt.Sprintf("row\t%05d", i), strings.Repeat("v", i%40))
	}
	fill.add('p', "row\t01500\t", megabyte)
	fill.add('p', "row\t01501\t", megabyte)
	fill.add('d', "row\t00000", "")
	fill.add('s', "row\t", "")
	add(fill)
	one('s', "row\t", "row\t01499")
	one('S', "row\t", "row\t01500")
	one('S', "", "row\t02999")
	one('s', "none", "")
	one('s', "", "\U0010ffff")
	one('s', strings.Repeat("k", 64_001), "") // fails
	random := rand.New(rand.NewPCG(7, 7))
	for range 150 {
		var s script
		for range random.IntN(12) {
			s.random(random)
		}
		add(s)
	}
	return list
}

func (s script) with(op byte, a, b string) script {
	s.add(op, a, b)
	return s
}

// random adds an operation that is mostly possible.
func (s *script) random(r *rand.Rand) {
	key := func() string {
		return []string{"", "a", "a\x00", "aé", "é", "😀", "row\t00100", "b"}[min(r.IntN(80), 7)] + fmt.Sprint(r.IntN(3))
	}
	value := strings.Repeat(string(rune(r.IntN(0x300))), r.IntN(1<<r.IntN(14)))
	switch op := "pppddcccsSelqvhtf"[r.IntN(17)]; op {
	case 'p', 'q', 'h':
		s.add(op, key(), value)
	case 'd':
		s.add(op, key(), "")
	case 'c', 's', 'S':
		s.add(op, string([]rune(key())[:r.IntN(2)]), key())
	case 'e':
		s.add(op, "to."+key(), value[:min(len(value), 200)])
	case 'l':
		s.add(op, value, string(rune(r.IntN(4))))
	case 't':
		s.add(op, "", string(rune(r.IntN(9))))
	case 'f':
		s.add(op, "said: "+value, "")
	default:
		s.add(op, "", "")
	}
}

// faults are events of which some end the call as the language does it.
func faults() *testdriver.Events {
	list := testdriver.NewEvents(nil)
	add := func(op byte, a, b string) {
		list.Add(record(list.Len()+1, "operations", script(nil).with(op, a, b)), list.Len()+1)
	}
	for _, fault := range []string{"panic", "memory", "stack"} {
		add('p', "one", fault)
		add('x', fault, "") // fails
		add('c', "one", "after "+fault)
	}
	return list
}

// fields are events with JSON, of which fields are read.
func fields() *testdriver.Events {
	list := testdriver.NewEvents(nil)
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"f%d":%d,`, i, i)
	}
	for _, data := range []string{
		`{"s":"first",` + many.String() + `"n":1,` + many.String() + `"\u0073":"last","n":2}`,
		`{}`, ` { "s" : "x" , "n" : 1 } `, `{"s":"","n":0,"é\n":"é","absents":1}`, `{"n":-0}`, `{"n":1.0}`, `{"n":1e2}`, `{"n":-9007199254740991}`,
		`{"n":9007199254740992}`, `{"n":true,"s":null}`, `{"n":[1,[2,{}]],"s":{"s":"inner","n":2}}`, `{"s":1,"n":"1"}`,
		`{"s":"\u0000\u001f\b\f\n\r\t\/\\\"\u00e9\ud83d\ude00\u2028"}`, `{"s":"\ud83d"}`, `{"s":"\ude00\ud83d"}`, `{"s":"\ud83d\u0041"}`, `{"s":"\ud83d\ud83d\ude00"}`,
		`{"\u0073":"escaped name","\u00e9\n":7}`, `{"s":"é😀` + "\x7f" + `"}`,
		`{"s":"first","s":"last","n":1,"n":2}`, `{"n":2,"n":"x","s":"x","s":null}`,
		`{"s":"` + strings.Repeat(`\n\u00e9`, 60_000) + `","n":3}`,
		``, `[]`, `null`, `{`, `{"s":}`, `{"s":"x",}`, `{"n":01}`, `{"n":+1}`, `{"n":1.}`, `{"n":.5}`, `{"n":1e}`, `{"n":-}`, `{"s":"` + "\n" + `"}`, `{"s":"\x"}`, `{"s":"\u12"}`, `{"s":"\u12g4"}`, `{"s":"x"} x`, `{"s":"x"}{}`, `{s:1}`, `{"s" "x"}`, `{"s":nul}`, `{"s":tru}`,
		`{"other":[` + strings.Repeat(`"\n",`, 20_000) + `"\t"],"s":"behind"}`,
	} {
		list.Add(record(list.Len()+1, "json", []byte(data)), list.Len()+1)
	}
	for _, data := range testutil.HostileJSON() {
		list.Add(record(list.Len()+1, "json", []byte(data)), list.Len()+1)
	}
	return list
}
