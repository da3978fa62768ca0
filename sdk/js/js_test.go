package js_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// Every part of an event reads as the record has it; what it has not is undefined, or an
// empty text where a text is always expected.
func TestEvent(t *testing.T) {
	tests := []struct{ expression, want string }{
		{"event.sequence", "7"},
		{"event.subject", `"bank.accounts.a-1"`},
		{"[1, 2, 3, 4, 0, -1].map((n) => event.token(n))", `["bank","accounts","a-1","","",""]`},
		{"event.type", `"moved"`},
		{"event.id", `""`},
		{"event.key", `"a-1"`},
		{"event.timeText", `"2026-03-01T10:00:00.25+01:00"`},
		{"event.time", `"2026-03-01T09:00:00.250Z"`},
		{"event.stored", `"2023-11-14T22:13:20.123Z"`},
		{"[event.header('CE-Type'), event.header('x')]", `["moved",null]`},
		{"event.headers", `{"ce-time":"2026-03-01T10:00:00.25+01:00","ce-type":"moved"}`},
		{"event.data", `{"a":[1,{"b":"\u001fü"}],"n":12,"big":1e+21,"s":"x"}`},
		{"event.data === event.data", "true"},
		{"event.text.length", "59"},
		{"event.bytes.length", "60"},
		{"[event.string('s'), event.string('n'), event.string('none')]", `["x",null,null]`},
		{"[event.int('n'), event.int('s'), event.int('big')]", "[12,null,null]"},
	}
	var bodies []string
	for _, tt := range tests {
		bodies = append(bodies, "state.putJSON('v', "+tt.expression+")")
	}
	c := newCases(t, bodies)
	for i, tt := range tests {
		r := c.start(t, i)
		r.apply(event(7, "moved", `{"a": [1, {"b": "\u001fü"}], "n": 12, "big":1e21, "s":"x" }`, "ce-time", "2026-03-01T10:00:00.25+01:00"))
		if got := r.state.rows["v"]; got != tt.want {
			t.Errorf("%s is %s, want %s", tt.expression, got, tt.want)
		}
	}
}

// The state keeps texts, bytes and JSON, reads within a batch what was written in it, and
// hands each key that was written to the host once.
func TestState(t *testing.T) {
	tests := []struct {
		name, body string // what onEvent does
		want       []string
		puts       int
	}{
		{"texts", "state.put('k', 'a\\u0000ü'); state.put('l', state.get('k') + state.get('none'))", []string{"k", "a\x00ü", "l", "a\x00üundefined"}, 2},
		{"bytes", "state.put('k', new Uint8Array([255, 0])); state.put('l', state.getBytes('k').slice(1))", []string{"k", "\xff\x00", "l", "\x00"}, 2},
		{"no bytes", "state.put('k', new Uint8Array(0)); state.put('l', '')", []string{"k", "", "l", ""}, 2},
		{"JSON", "const v = state.getJSON('k') ?? {n: 0}; v.n++; state.putJSON('k', v)", []string{"k", `{"n":3}`}, 1},
		{"a fold", "state.fold('k', {n: 0}, (v) => { v.n++ })", []string{"k", `{"n":3}`}, 1},
		{"a fold that returns", "state.fold('k', 0, (n) => n + 1)", []string{"k", "3"}, 1},
		{"a fold of a shared initial value", "globalThis.zero ??= {n: 0}; state.fold('k' + event.sequence, zero, (v) => { v.n++ })", []string{"k1", `{"n":1}`, "k2", `{"n":1}`, "k3", `{"n":1}`}, 3},
		{"values that are not what their JSON says", "globalThis.kept ??= {n: 0}; kept.n++; state.fold('k', {list: []}, (v) => { v.list.push(typeof v.at, kept); v.at = new Date(0) })", []string{"k", `{"list":["undefined",{"n":1},"string",{"n":2},"string",{"n":3}],"at":"1970-01-01T00:00:00.000Z"}`}, 1},
		{"a value of two keys", "const v = state.getJSON('k') ?? {n: 0}; v.n++; state.putJSON('k', v); if (event.sequence === 2) state.putJSON('l', v)", []string{"k", `{"n":3}`, "l", `{"n":2}`}, 2},
		{"JSON read as text", "state.putJSON('k', {a: 1}); state.put('l', state.get('k'))", []string{"k", `{"a":1}`, "l", `{"a":1}`}, 2},
		{"text read as JSON", "state.put('k', '[1]'); state.putJSON('l', state.getJSON('k'))", []string{"k", "[1]", "l", "[1]"}, 2},
		{"a key that was deleted", "state.put('k', '1'); state.delete('k'); state.put('l', String(state.has('k')) + state.get('k') + state.getJSON('k'))", []string{"l", "falseundefinedundefined"}, 1},
		{"a scan of what was written", "state.put('a' + event.sequence, '1'); state.put('b', '1'); state.put('n', [...state.scan('a')].join(' '))", []string{"a1", "1", "a2", "1", "a3", "1", "b", "1", "n", "a1,1 a2,1 a3,1"}, 9},
		{"a scan that is left", "for (const [k] of state.scan()) break; state.put('k', '')", []string{"k", ""}, 3},
		{"JSON of a scan", "if (event.sequence === 1) state.putJSON('a', {n: 1}); for (const [k, v] of state.scanJSON('a')) state.put('v', k + v.n)", []string{"a", `{"n":1}`, "v", "a1"}, 4},
	}
	var bodies []string
	for _, tt := range tests {
		bodies = append(bodies, tt.body)
	}
	c := newCases(t, bodies)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := c.start(t, i)
			r.apply(events("1", "2", "3")...)
			r.want(tt.want...)
			if r.state.puts != tt.puts {
				t.Errorf("%d values were handed to the host, want %d", r.state.puts, tt.puts)
			}
		})
	}
}

// A scan pages through any number of entries, and through those that are larger than a page.
func TestLargeScan(t *testing.T) {
	r := start(t, "export function onEvent(event, state) { let n = 0, size = 0; for (const [k, v] of state.scan('k')) { n++; size += v.length } state.putJSON('sum', [n, size]) }", "{}")
	for i := range 3000 {
		r.state.rows[fmt.Sprintf("k%04d", i)] = "0123456789"
	}
	r.state.rows["k1500x"] = strings.Repeat("x", abi.MaxValue)
	r.apply(events("1")...)
	if got, want := r.state.rows["sum"], fmt.Sprintf("[3001,%d]", 30_000+abi.MaxValue); got != want {
		t.Errorf("sum is %s, want %s", got, want)
	}
}

// A failure says what an Error of the script says; of other exceptions also what they are
// and where they come from. The host is told which event it is.
func TestFailures(t *testing.T) {
	tests := []struct{ body, want string }{
		{"throw new Error('account 7 is not open')", "account 7 is not open"},
		{"null.x", "TypeError: cannot read property 'x' of null (projection.js:"},
		{"missing()", "ReferenceError: 'missing' is not defined (projection.js:"},
		{"throw 'no'", `threw "no"`},
		{"throw {}", "threw [object Object]"},
		{"throw undefined", "threw undefined"},
		{"event.data", "SyntaxError: "},
		{"event.int('x')", "SyntaxError: the event's data is no JSON object"},
		{"const f = () => f() + 1; f()", "InternalError: stack overflow"},
		{"let a = '['; while (a.length < 1e6) a += a; JSON.parse(a)", "SyntaxError: stack overflow"},
		{"const a = []; for (;;) a.push(new Uint8Array(1e6))", "the script is out of memory"},
		{"const a = []; try { for (;;) a.push(new Uint8Array(1e6)) } catch { a.length = 0 }", "the script is out of memory"},
		{"for (;;);", "500000000 units are its limit"},
		{"/(a+)+$/.test('a'.repeat(64) + 'b')", "500000000 units are its limit"},
		{"Date.now()", "the time of day is not there: a projection gives the same result whenever it runs"},
		{"new Date()", "the time of day is not there"},
		{"Date()", "the time of day is not there"},
		{"Math.random()", "Math.random is not there: a projection gives the same result whenever it runs. Make what must differ of event.id or event.sequence"},
		{"state.put('', 'x')", "TypeError: a key must be a string that is not empty"},
		{"state.put('k', 1)", `TypeError: put "k": a string or a Uint8Array is expected; putJSON writes other values`},
		{"state.putJSON('k')", `TypeError: put "k": undefined has no JSON`},
		{"state.put('\\ud800', '')", "TypeError: a key has half of a surrogate pair"},
		{"state.put('k', 'x'.repeat(2**20 + 1))", `RangeError: put "k": too large (after state_put refused a value of 1048577 bytes`},
		{"state.get('k'.repeat(64001))", `RangeError: get "kkkk`},
		{"state.put('k', 'x'); state.getJSON('k')", `TypeError: the value of "k" is no JSON`},
		{"state.getJSON('list').push(1)", `TypeError: the value of "list" was changed, and not stored: put it with putJSON, or change it in fold`},
		{"state.fold('k', 0)", `TypeError: fold "k": a function is expected as third argument`},
		{"emit('a', 'b', {x: 'y'.repeat(70000)})", "RangeError: header x: name and value may have 65535 bytes each"},
		{"emit('a', undefined, 'x'); emit('a', () => 1)", ""},
		{"kept.type", "TypeError: this event is over"},
		{"return new Promise(() => {})", "TypeError: it awaits what never comes"},
		{"return Promise.reject(new Error('later'))", "later"},
		{"import('x')", "ReferenceError: "},
		{"Promise.reject(new Error('unseen'))", "unseen"},
		{"log.enabled('all')", "RangeError: log.enabled: one of debug, info, warn, error is expected"},
	}
	var bodies []string
	for _, tt := range tests {
		bodies = append(bodies, "if (event.sequence === 1) globalThis.kept = event; else { "+tt.body+" }")
	}
	c := newCases(t, bodies)
	for i, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			r := c.start(t, i)
			r.state.rows["list"] = "[]"
			err := r.try(events("1", "x")...)
			var g *guest.Error
			if !errors.As(err, &g) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %s", err, tt.want)
			}
			if atEnd := strings.Contains(tt.body, "2**20"); g.Event != 1 && !atEnd && g.Kind == guest.Refused {
				t.Errorf("it is told of the event %d of the batch, want 1", g.Event)
			}
		})
	}
}

// A value that an event changes and does not store fails that event, also when an event before it in the
// batch has stored the value; to read it, or to keep it in a variable, does not.
func TestChangedAndNotStored(t *testing.T) {
	tests := []struct {
		body string // from the second event on; the first stores {n: 1, s: "text", l: [1.5, null]}
		ok   bool
	}{
		{"state.getJSON('k').n", true},
		{"globalThis.kept ??= state.getJSON('k')", true},
		{"state.getJSON('k').n = 2 / 2", true},
		{"state.getJSON('k').s = 'te' + 'xt'", true},
		{"Object.freeze(state.getJSON('k'))", true},
		{"const v = state.getJSON('k'); v.n++; state.putJSON('k', v)", true},
		{"const v = state.getJSON('k'); state.putJSON('k', v); v.n++", true},
		{"state.fold('k', {}, (v) => { v.n++ })", true},
		{"state.getJSON('k').n++", false},
		{"state.getJSON('k').s += '!'", false},
		{"state.getJSON('k').l.push(1)", false},
		{"state.getJSON('k').l[1] = false", false},
		{"delete state.getJSON('k').s", false},
		{"globalThis.kept ??= state.getJSON('k'); state.getJSON('k').n++", false},
		{"state.put('k', '{\"n\":2}'); state.getJSON('k').n = 1", false},
	}
	var bodies []string
	for _, tt := range tests {
		bodies = append(bodies, "if (event.sequence === 1) state.putJSON('k', {n: 1, s: 'text', l: [1.5, null]}); else { "+tt.body+" }")
	}
	c := newCases(t, bodies)
	for i, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			batch, single := c.start(t, i), c.start(t, i)
			err := batch.try(events("1", "2", "3")...)
			if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), `the value of "k" was changed, and not stored`) {
				t.Fatalf("in a batch: %v", err)
			}
			err = nil
			for _, e := range events("1", "2", "3") {
				err = errors.Join(err, single.try(e))
			}
			if (err == nil) != tt.ok {
				t.Fatalf("one by one: %v", err)
			}
			if tt.ok && batch.state.rows["k"] != single.state.rows["k"] {
				t.Errorf("in a batch the value is %s, one by one %s", batch.state.rows["k"], single.state.rows["k"])
			}
		})
	}
}

// What is not an Error of the script's own making is told with function, line and column.
func TestPlaceOfAFailure(t *testing.T) {
	r := start(t, "const double = (a) => a.n.m * 2;\nexport function onEvent(event) {\n  double({});\n}", "{}")
	const want = "TypeError: cannot read property 'm' of undefined (double, projection.js:1:26)"
	if err := r.try(events("1")...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}
