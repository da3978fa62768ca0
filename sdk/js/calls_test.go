package js_test

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/host"
	"gnomon/sdk/abi"
	"gnomon/sdk/js"
)

// Settings are the defaults of the script, changed by what the configuration says; a name
// that it does not have, or a value of another type, is refused at the start.
func TestSettings(t *testing.T) {
	m, err := load(t, `
export const settings = { overdraft: 0, alerts: "a", on: false, list: [1], deep: { n: 1, s: "x" }, open: {}, any: null };
export function init() { if (settings.overdraft < 0) throw new Error("settings: overdraft is negative"); }
export function onEvent(event, state) { state.putJSON("settings", settings); }`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ settings, want string }{
		{"{}", `{"overdraft":0,"alerts":"a","on":false,"list":[1],"deep":{"n":1,"s":"x"},"open":{},"any":null}`},
		{`{"overdraft":5,"alerts":"ü","on":true,"list":[],"deep":{"s":"y"},"open":{"a":1},"any":[2]}`, `{"overdraft":5,"alerts":"ü","on":true,"list":[],"deep":{"n":1,"s":"y"},"open":{"a":1},"any":[2]}`},
		{`{"over":1}`, "settings: over is not known: there are overdraft, alerts, on, list, deep, open, any"},
		{`{"overdraft":"5"}`, `settings: overdraft is "5": a number is expected`},
		{`{"alerts":null}`, "settings: alerts is null: a string is expected"},
		{`{"on":0}`, "settings: on is 0: true or false is expected"},
		{`{"list":{}}`, "settings: list is {}: an array is expected"},
		{`{"deep":{"m":1}}`, "settings: deep.m is not known: there are n, s"},
		{`{"overdraft":-1}`, "settings: overdraft is negative"},
	} {
		r, err := instantiate(t, m, tt.settings, 64<<20)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v, want %s", tt.settings, err, tt.want)
			}
			continue
		}
		r.apply(events("1")...)
		if got := r.state.rows["settings"]; got != tt.want {
			t.Errorf("%s: settings are %s, want %s", tt.settings, got, tt.want)
		}
	}
}

// What a module has follows from the script: query, snapshot and restore when it exports
// them, in whatever form, and emit when it has the word.
func TestTraits(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   guest.Traits
	}{
		{"export function onEvent() {}", guest.Traits{Applies: true}},
		{"export const onEvent = () => {}; export async function query() {}", guest.Traits{Applies: true, Queries: true}},
		{"function onEvent() {}\nconst q = () => {};\nexport { onEvent, q as query };", guest.Traits{Applies: true, Queries: true}},
		{"export function onEvent() {}\nexport const snapshot = () => 1, restore = () => 2; export { restore as again, back as migrate }; function back() {}", guest.Traits{Applies: true, Memory: true, Migrate: true}},
		{"export function onEvent() { emit('a') }", guest.Traits{Applies: true, Emits: true}},
	} {
		m, err := load(t, tt.script)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Traits(); got != tt.want {
			t.Errorf("%s: traits %+v, want %+v", tt.script, got, tt.want)
		}
		if imports := m.Binary().Imports; slices.ContainsFunc(imports, func(i host.Import) bool { return i.Module == abi.WASI }) {
			t.Errorf("%s: it imports from WASI: %v", tt.script, imports)
		}
	}
}

// What the module has and the script has not is told when it starts, and so is a script
// that is none.
func TestBadScripts(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"", "projection.js is empty"},
		{"export function onEvents() {}", "the script does not export onEvent"},
		{"export function on_event() {}", "projection.js exports neither onEvent nor upcast: a projection has export function onEvent(event, state) { … }"},
		{"export function onEvent() {} export function upcast() {}", "projection.js exports upcast and onEvent: a script is an upcaster, which has no state, or a projection: make two scripts of it"},
		{"export function upcast() {} export function migrate() {}", "projection.js exports upcast and migrate"},
		{"export function onEvent() {}\x00", "projection.js has a byte 0"},
		{"export function onEvent() {}\xff", "projection.js is not UTF-8"},
		{"export function onEvent() {\n  let 1a;\n}", "SyntaxError: "},
		{"export function onEvent() {\n  let 1a;\n}", "(projection.js:2:7)"},
		{"export const onEvent = 1;", "TypeError: onEvent must be a function"},
		{"const { query } = { query() {} };\nexport function onEvent() {}\nexport { query\n};\n// export function snapshot() {}", "write it as export function"},
		{"import x from './x.js'; export function onEvent() {}", "ReferenceError: could not load module"},
		{"export function onEvent() {}\nemits();", "ReferenceError: 'emits' is not defined (projection.js:2:1)"},
		{"export const settings = 1; export function onEvent() {}", "TypeError: settings must be an object of defaults"},
		{"export function onEvent() {} await new Promise(() => {});", "TypeError: it awaits what never comes"},
		{"export function onEvent() {} emit('a', 'b');", "TypeError: emit belongs into onEvent"},
		{"export function onEvent() {} new Date();", "Error: the time of day is not there"},
	} {
		_, err := tryStart(t, tt.script, "{}", 64<<20)
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(tt.want, "Error: ")) {
			t.Errorf("%q: error %v, want %s", tt.script, err, tt.want)
		}
	}
}

// What is emitted has subject, data and headers as they were given, in order, and the event
// that caused it.
func TestEmit(t *testing.T) {
	r := start(t, `export function onEvent(event) {
  emit("a.text", "t", { b: "2", a: 1 });
  emit("a.json", { n: event.sequence }, [["x", "1"], ["x", "2"]]);
  emit("a.bytes", new Uint8Array([0, 255]));
  emit("a.none");
}`, "{}")
	r.apply(events("1", "2")...)
	var got []string
	for _, e := range r.state.emitted {
		got = append(got, fmt.Sprintf("%d %s %q %q", e.Cause, e.Subject, e.Data, e.Headers))
	}
	var want []string
	for n := range 2 {
		want = append(want,
			fmt.Sprintf(`%d a.text "t" "\x01\x00\x01\x00b2\x01\x00\x01\x00a1"`, n+1),
			fmt.Sprintf(`%d a.json "{\"n\":%d}" "\x01\x00\x01\x00x1\x01\x00\x01\x00x2"`, n+1, n+1),
			fmt.Sprintf(`%d a.bytes "\x00\xff" ""`, n+1),
			fmt.Sprintf(`%d a.none "" ""`, n+1))
	}
	if !slices.Equal(got, want) {
		t.Errorf("emitted\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A line of the log has all that it was given, at its level. This host keeps none for
// debugging.
func TestLog(t *testing.T) {
	r := start(t, `export function onEvent() {
  log.debug("d"); log.info("a", 1, { b: [2] }, undefined, new Error("e")); log.warn("w"); log.error("x");
  console.log("c"); console.warn("cw");
  log.info([log.enabled("debug"), log.enabled("info")]);
}`, "{}")
	r.apply(events("1")...)
	want := []string{`0 a 1 {"b":[2]} undefined e`, "4 w", "8 x", "0 c", "4 cw", "0 [false,true]"}
	if !slices.Equal(r.lines, want) {
		t.Errorf("lines %q, want %q", r.lines, want)
	}
}

// A query reads the state that it is given, which it cannot write, and answers with a text,
// bytes, JSON or nothing. What it throws is told word for word.
func TestQuery(t *testing.T) {
	r := start(t, `export function onEvent() {}
export async function query(request, state) {
  switch (request.data?.want) {
    case undefined: return;
    case "text": return request.text;
    case "bytes": return new Uint8Array([255, ...request.bytes.slice(0, 1)]);
    case "json": return { value: state.getJSON("k"), all: [...state.scan("")] };
    case "write": return state.put("k", "");
    case "large": return "x".repeat(1 << 21);
  }
  throw new Error("no such want");
}`, "{}")
	for _, tt := range []struct{ state, request, want string }{
		{"1", "", ""},
		{"1", `{"want":"text"}`, `{"want":"text"}`},
		{"1", `{"want":"bytes"}`, "\xff{"},
		{"1", `{"want":"json"}`, `{"value":1,"all":[["k","1"]]}`},
		{"2", `{"want":"json"}`, `{"value":2,"all":[["k","2"]]}`},
		{"2", `{"want":"write"}`, `put "k": a query reads the state, and cannot write it`},
		{"2", `{"want":"large"}`, "answer of 2097152 bytes or more: the limit is 1048576"},
		{"2", `{"want":"x"}`, "no such want"},
		{"2", `{`, "the request is no JSON"},
	} {
		r.state.rows["k"] = tt.state
		answer, err := r.in.Query(t.Context(), []byte(tt.request), &r.state)
		if err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && string(answer) != tt.want {
			t.Errorf("%s is answered by %q, %v; want %s", tt.request, answer, err, tt.want)
		}
	}
}

// A projection with state in variables saves it and gets it back in a fresh instance, of
// whatever size it is.
func TestSnapshot(t *testing.T) {
	const script = `let seen = [];
export function onEvent(event, state) { seen.push(event.text.repeat(1e6)); state.putJSON("n", seen.length); }
export function snapshot() { return seen; }
export function restore(saved) { seen = saved; }`
	r := start(t, script, "{}")
	r.apply(events("ü", "b", "c")...)
	blobs, err := r.in.Snapshot(t.Context())
	if err != nil || len(blobs) < 4 {
		t.Fatalf("%d blobs, %v", len(blobs), err)
	}
	fresh := start(t, script, "{}")
	if err := fresh.in.Restore(t.Context(), blobs); err != nil {
		t.Fatal(err)
	}
	fresh.apply(events("d")...)
	fresh.want("n", "4")
	again, err := r.in.Snapshot(t.Context())
	if err != nil || !slices.EqualFunc(again, blobs, func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Errorf("the same state is saved as other bytes, %v", err)
	}
}

// A script that needs more memory than its limit fails, and says so; with more it does not.
func TestMemoryLimit(t *testing.T) {
	m, err := load(t, "const kept = []; export function onEvent() { for (let i = 0; i < 16; i++) kept.push(new Uint8Array(1 << 20)); }")
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[uint64]string{8 << 20: "raise limits.memory", 32 << 20: ""} {
		r, err := instantiate(t, m, "{}", limit)
		if err != nil {
			t.Fatal(err)
		}
		if err = r.try(events("1")...); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("with %d bytes: error %v, want %s", limit, err, want)
		}
	}
}

// The time of an event is its ce-time as RFC 3339 has it, to the millisecond, and the
// stored time where it is none.
func TestTimes(t *testing.T) {
	r := start(t, "export function onEvent(event, state) { state.put(String(event.sequence), event.time.toISOString()) }", "{}")
	const stored = "2023-11-14T22:13:20.123Z"
	tests := []struct{ text, want string }{
		{"2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000Z"},
		{"2026-03-01t10:00:00.1239999z", "2026-03-01T10:00:00.123Z"},
		{"2024-02-29T23:59:59.5-00:30", "2024-03-01T00:29:59.500Z"},
		{"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
		{"0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"},
		{"9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"},
		{"2023-02-29T00:00:00Z", stored},
		{"1900-02-29T00:00:00Z", stored},
		{"2026-03-01T24:00:00Z", stored},
		{"2026-03-01 10:00:00Z", stored},
		{"2026-03-01T10:00:00", stored},
		{"2026-03-01T10:00:00.Z", stored},
		{"2026-03-01T10:00:00+0100", stored},
		{"2026-03-01T10:00:00Zz", stored},
		{"soon", stored},
		{"", stored},
	}
	var all []abi.Record
	for i, tt := range tests {
		all = append(all, event(uint64(i), "x", "", "ce-time", tt.text))
	}
	r.apply(all...)
	for i, tt := range tests {
		if got := r.state.rows[fmt.Sprint(i)]; got != tt.want {
			t.Errorf("%q is %s, want %s", tt.text, got, tt.want)
		}
	}
}

// A script of any size is read whole: what the runtime allocates while it starts does not
// come to lie in it, also where its pages are full.
func TestSizes(t *testing.T) {
	const page = 64 << 10
	const begin, end = "const big = new Array(1e5).fill(7); /*", "*/ export function onEvent(event, state) { state.put('n', String(big.length)); }"
	pages := func(padding int) uint64 {
		module, err := js.Attach([]byte(begin+strings.Repeat("x", padding)+end), js.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := testHost.Check(module, host.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return b.MinPages
	}
	full := sort.Search(page, func(n int) bool { return pages(n+1) > pages(0) }) // so much more fits
	for _, padding := range []int{full, full + 1, full + page, 1 << 20} {
		r := start(t, begin+strings.Repeat("x", padding)+end, "{}")
		r.apply(events("1")...)
		r.want("n", "100000")
	}
}
