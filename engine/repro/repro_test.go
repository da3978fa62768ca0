package repro_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/repro"
	"gnomon/host"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// rows are a state in memory.
type rows map[string]string

func (r rows) Get(key []byte) ([]byte, bool, error) {
	v, ok := r[string(key)]
	return []byte(v), ok, nil
}

func (r rows) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(r)) {
		if strings.HasPrefix(k, string(prefix)) && k > string(after) && !fn([]byte(k), []byte(r[k])) {
			return nil
		}
	}
	return nil
}

// state is one that has all kinds of keys: texts, bytes, empty values, and a prefix
// that nothing is greater than.
var state = rows{"a": "1", "b/1": "x", "b/2": "", "b/3": "\xff\x00", "b/4": "y", "c": "2", "\xff": "last", "\xff\xff": "very last"}

// script is a guest that reads what a test says, and fails with what it saw.
type script func(st engine.State) string

func (s script) module() *enginetest.Module {
	return enginetest.FuncModule("script", func(_ abi.Record, st engine.State) error { return enginetest.Refuse("saw %s", s(st)) })
}

func get(key string) script {
	return func(st engine.State) string {
		v, ok, err := st.Get([]byte(key))
		if err != nil {
			panic(err)
		}
		return fmt.Sprintf("%q %v", v, ok)
	}
}

// scan reads at most n rows.
func scan(prefix, after string, n int) script {
	return func(st engine.State) string {
		var b strings.Builder
		n := n
		err := st.Scan([]byte(prefix), []byte(after), func(key, value []byte) bool {
			fmt.Fprintf(&b, "%q=%q ", key, value)
			n--
			return n > 0
		})
		if err != nil {
			panic(err)
		}
		return b.String()
	}
}

// both does one thing after another.
func both(parts ...script) script {
	return func(st engine.State) string {
		var all []string
		for _, p := range parts {
			all = append(all, p(st))
		}
		return strings.Join(all, "; ")
	}
}

func put(key, value string) script {
	return func(st engine.State) string { return fmt.Sprint(st.Put([]byte(key), []byte(value))) }
}

func remove(key string) script {
	return func(st engine.State) string { return fmt.Sprint(st.Delete([]byte(key))) }
}

var (
	failed = abi.Record{Sequence: 7, TimeNs: 1, Subject: []byte("s.\xfe"), Data: []byte(`{"n":1}`), Key: []byte("k")}
	wide   = engine.TxLimit{Writes: 100, Bytes: 1 << 20}
)

// caseOf is the failure of a module on the event above.
func caseOf(m engine.Module, code []byte) repro.Case {
	return repro.Case{
		Engine: "test", Bytes: code, State: state, AsOf: 6, Limit: wide,
		Spec:   engine.Spec{Name: "p", Module: m, Settings: []byte(`{"limit":3}`), Stream: "S", Memory: 1 << 20, Fuel: 9},
		Letter: engine.Letter{Sequence: 7, Status: engine.Dead, Key: failed.Key, Event: failed.Append(nil), Error: "apply failed", Module: m.Digest(), Attempts: 2, Time: time.Unix(1, 0)},
	}
}

// digested is a fake module whose digest is that of its code.
type digested struct {
	engine.Module
	digest string
}

func (d digested) Digest() string { return d.digest }

var code = []byte("not really code")

// file makes a case's bundle, writes it, and reads it back.
func file(t *testing.T, c repro.Case) (*repro.Bundle, []byte) {
	t.Helper()
	b, err := repro.Make(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.Write(&out); err != nil {
		t.Fatal(err)
	}
	back, err := repro.Read(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return back, out.Bytes()
}

func ofScript(s script) repro.Case { return caseOf(withDigest(s.module()), code) }

// What an event reads is in its bundle, and no more: the same module sees the same of
// it, whatever the state was and however it is read.
func TestReplaysReads(t *testing.T) {
	for name, s := range map[string]script{
		"a key":                get("a"),
		"bytes":                get("\xff"),
		"an empty value":       get("b/2"),
		"an absent key":        get("none"),
		"all":                  scan("", "", 100),
		"a prefix":             scan("b/", "", 100),
		"the last prefix":      scan("\xff", "", 100),
		"an absent prefix":     scan("bb", "", 100),
		"a part":               scan("b/", "b/1", 2),
		"a row":                scan("", "", 1),
		"after the prefix":     scan("b/", "c", 100),
		"pages":                both(scan("b/", "", 2), scan("b/", "b/2", 2), scan("b/", "b/4", 2)),
		"a key of a scan":      both(scan("b/", "", 100), get("b/3"), get("b/5")),
		"its own writes":       both(put("b/2", "mine"), put("b/9", "new"), remove("b/3"), scan("b/", "", 100), get("b/2"), get("b/3")),
		"beside what it reads": both(get("a"), get("a"), scan("a", "", 5), scan("b", "", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			c := ofScript(s)
			b, _ := file(t, c)
			if want := "apply returned an error: saw "; !strings.HasPrefix(b.Manifest.Result, want) {
				t.Fatalf("result %q, want %q…", b.Manifest.Result, want)
			}
			got, err := b.Run(t.Context(), c.Spec.Module, nil)
			if err != nil || got != b.Manifest.Result {
				t.Errorf("replayed: %q, %v\nwant %q", got, err, b.Manifest.Result)
			}
		})
	}
	b, _ := file(t, ofScript(get("a")))
	if len(b.Facts) != 1 {
		t.Errorf("one key is read, and there are %d facts", len(b.Facts))
	}
}

// A module that reads what was not recorded is told apart from one that fails
// otherwise; parts of what was recorded it may read.
func TestUnknownReads(t *testing.T) {
	b, _ := file(t, ofScript(both(get("a"), scan("b/", "", 2))))
	for _, tt := range []struct {
		name  string
		reads script
		want  string // empty: it is known
	}{
		{"less", get("a"), ""},
		{"a key of a scan", get("b/1"), ""},
		{"a key that a scan passed", get("b/1x"), ""},
		{"the recorded part", scan("b/", "", 2), ""},
		{"a row of it", scan("b/", "b/1", 1), ""},
		{"another key", get("c"), `key "c"`},
		{"a key after the part", get("b/3"), `key "b/3"`},
		{"more of the scan", scan("b/", "", 3), `keys from "b/2\x00" on`},
		{"another prefix", scan("c", "", 1), `keys from "c" on`},
		{"everything", scan("", "", 100), `keys from "" on`},
	} {
		m := enginetest.FuncModule("other", func(_ abi.Record, st engine.State) (err error) {
			defer func() {
				if e, ok := recover().(error); ok {
					err = e
				}
			}()
			return enginetest.Refuse("saw %s", tt.reads(st))
		})
		result, err := b.Run(t.Context(), m, nil)
		if tt.want != "" {
			if result != "" || !errors.Is(err, repro.ErrUnknown) || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("%s: %q, %v; want %q", tt.name, result, err, tt.want)
			}
			continue
		}
		if live, _ := file(t, ofScript(tt.reads)); err != nil || result != live.Manifest.Result {
			t.Errorf("%s: %q, %v; the state has %q", tt.name, result, err, live.Manifest.Result)
		}
	}
}

// A bundle says what failed, where and with what result, and has everything that the
// result depends on.
func TestManifest(t *testing.T) {
	c := ofScript(get("a"))
	c.Spec.Partitions = 4
	b, _ := file(t, c)
	m := b.Manifest
	if m.Projection != "p" || m.Stream != "S" || m.Sequence != 7 || string(m.Subject) != "s.\xfe" || string(m.Key) != "k" || m.Status != engine.Dead ||
		m.Attempts != 2 || m.Error != "apply failed" || m.AsOf != 6 || m.Engine != "test" || m.Module != c.Spec.Module.Digest() ||
		m.Generation != c.Spec.Generation() || m.Result != `apply returned an error: saw "1" true` || m.Limits != (repro.Limits{Memory: 1 << 20, Fuel: 9, Writes: 25, Bytes: 1 << 18}) {
		t.Errorf("%+v", m)
	}
	if !bytes.Equal(b.Module, code) || string(b.Settings) != `{"limit":3}` || !bytes.Equal(b.Event, failed.Append(nil)) || b.Memory != nil {
		t.Errorf("%+v", b)
	}
}

// An event that writes more than a commit holds fails in its bundle too.
func TestTooManyWrites(t *testing.T) {
	c := ofScript(nil)
	c.Limit.Writes = 2
	c.Spec.Module = withDigest(enginetest.FuncModule("writer", func(_ abi.Record, st engine.State) error {
		for i := range 3 {
			if err := st.Put([]byte{'k', byte(i)}, nil); err != nil {
				return err
			}
		}
		return nil
	}))
	c.Letter.Module = c.Spec.Module.Digest()
	b, _ := file(t, c)
	got, err := b.Run(t.Context(), c.Spec.Module, nil)
	if err != nil || got == "" || got != b.Manifest.Result {
		t.Errorf("%q, %v; want %q", got, err, b.Manifest.Result)
	}
}

// The module's file has to be the one that failed.
func TestOtherModule(t *testing.T) {
	c := ofScript(get("a"))
	c.Bytes = []byte("another")
	if _, err := repro.Make(t.Context(), c); !errors.Is(err, repro.ErrModule) || !strings.Contains(err.Error(), "put that one back") {
		t.Errorf("another file: %v", err)
	}
	c = ofScript(get("a"))
	c.Letter.Module = "00ff"
	if _, err := repro.Make(t.Context(), c); !errors.Is(err, repro.ErrModule) || !strings.Contains(err.Error(), "event 7 failed in 00ff") {
		t.Errorf("an event that failed in another module: %v", err)
	}
}

// A file is read as it was written, or not at all: whichever byte of it is changed or
// missing, that is noticed, or changes nothing that is read.
func TestDamagedFiles(t *testing.T) {
	c := ofScript(both(get("a"), scan("b/", "", 100)))
	c.Memory, c.MemoryAsOf = [][]byte{[]byte("blob"), {}}, 6
	want, whole := file(t, c)
	if len(want.Memory) != 2 || string(want.Memory[0]) != "blob" {
		t.Fatalf("memory %q", want.Memory)
	}
	refused := 0
	check := func(what string, b []byte) {
		t.Helper()
		got, err := repro.Read(b)
		if err != nil {
			refused++
			return
		}
		if fmt.Sprintf("%+v", forJSON(t, got)) != fmt.Sprintf("%+v", forJSON(t, want)) {
			t.Errorf("%s: read as\n%+v", what, got)
		}
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		check(fmt.Sprintf("byte %d of %d changed", i, len(whole)), b)
	}
	for n := range whole {
		if _, err := repro.Read(whole[:n]); !errors.Is(err, repro.ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if refused < len(whole)/2 {
		t.Errorf("%d of %d changes were noticed", refused, len(whole))
	}
}

func forJSON(t *testing.T, b *repro.Bundle) string {
	t.Helper()
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rezip writes a bundle's files anew, changed.
func rezip(t testing.TB, whole []byte, change func(name string, b []byte) (string, []byte)) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		name, text := change(f.Name, b.Bytes())
		if name == "" {
			continue
		}
		part, err := w.Create(name)
		if err == nil {
			_, err = part.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A zip file that is whole, but not a bundle, is refused with what is wrong.
func TestForeignFiles(t *testing.T) {
	_, whole := file(t, ofScript(get("a")))
	in := func(file, old, new string) func(string, []byte) (string, []byte) {
		return func(name string, b []byte) (string, []byte) {
			if name == file {
				b = bytes.Replace(b, []byte(old), []byte(new), 1)
			}
			return name, b
		}
	}
	without := func(file string) func(string, []byte) (string, []byte) {
		return func(name string, b []byte) (string, []byte) {
			if name == file {
				name = ""
			}
			return name, b
		}
	}
	for want, change := range map[string]func(string, []byte) (string, []byte){
		"lacks manifest.json":         without("manifest.json"),
		"lacks module.wasm":           without("module.wasm"),
		"lacks state.jsonl":           without("state.jsonl"),
		`format is "other"`:           in("manifest.json", "gnomon-repro", "other"),
		"version 3 of the format":     in("manifest.json", `"version": 1`, `"version": 3`),
		"manifest.json: invalid":      in("manifest.json", "{", "("),
		"is not the event 8":          in("manifest.json", `"seq": 7`, `"seq": 8`),
		"the manifest is about":       in("manifest.json", `"module": "`, `"module": "0`),
		"module.wasm has the SHA-256": in("module.wasm", "code", "mode"),
		"state.jsonl has the SHA-256": in("state.jsonl", "1", "2"),
		"which its manifest has not":  func(name string, b []byte) (string, []byte) { return strings.Replace(name, "event", "event2", 1), b },
		`it has "event.bin" twice`: func(name string, b []byte) (string, []byte) {
			return strings.Replace(name, "settings.json", "event.bin", 1), b
		},
		"manifest.json has more than 10": in("manifest.json", "{", "{"+strings.Repeat(" ", 1<<20)),
	} {
		_, err := repro.Read(rezip(t, whole, change))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(want, "version") && !errors.Is(err, repro.ErrDamaged) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Whatever a file holds, reading it ends without a panic; and what is read can be
// written, and is then the same.
func FuzzRead(f *testing.F) {
	b, err := repro.Make(context.Background(), ofScript(both(get("a"), get("x"), scan("b/", "", 2), scan("\xff", "", 9))))
	if err != nil {
		f.Fatal(err)
	}
	var whole bytes.Buffer
	if err := b.Write(&whole); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add(whole.Bytes()[:len(whole.Bytes())/2])
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := repro.Read(file)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := b.Write(&out); err != nil {
			t.Fatal(err)
		}
		back, err := repro.Read(out.Bytes())
		if err != nil || forJSON(t, back) != forJSON(t, b) {
			t.Fatalf("%v: it came back as\n%+v, and was\n%+v", err, back, b)
		}
	})
}

// The lines of a state are read as they were written, or refused: they tell nothing
// that contradicts itself.
func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"get":"a","value":"1"}` + "\n" + `{"get":{"b64":"/w=="}}` + "\n" + `{"from":"b/","to":"b0","rows":[{"key":"b/1","value":"x"}]}`))
	f.Add([]byte(`{"from":"","rows":[]}`))
	f.Add([]byte(`{"from":"b","to":"a"}`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		facts, err := repro.ReadFacts(lines)
		if err != nil {
			return
		}
		r := repro.NewReplay(facts)
		n, last := 0, ""
		err = r.Scan(nil, nil, func(key, _ []byte) bool {
			if n > 0 && string(key) <= last {
				t.Fatalf("%q follows %q", key, last)
			}
			last = string(key)
			n++
			return true
		})
		if err != nil && !errors.Is(err, repro.ErrUnknown) {
			t.Fatal(err)
		}
	})
}

// withDigest gives a fake the digest of the code above.
func withDigest(m engine.Module) engine.Module { return digested{m, repro.DigestOf(code)} }

// A module in the sandbox that traps, but only on the state that it found, traps in its
// bundle as it did, and passes where it would have passed.
func TestRealModule(t *testing.T) {
	// apply: state_get("a", into 16), and unreachable when it is there
	m := wasmgen.Module{
		Pages: 1, Data: []byte("a"), Imports: []wasmgen.Import{wasmgen.Contract(abi.ImportStateGet)},
		Funcs: []wasmgen.Func{wasmgen.Apply(
			wasmgen.I32Const(0), wasmgen.I32Const(1), wasmgen.I32Const(16), wasmgen.I32Const(8), wasmgen.Call(0),
			wasmgen.I32Const(-1), []byte{0x47}, []byte{0x04, 0x40}, wasmgen.Unreachable, wasmgen.End, // if != -1 { trap }
			wasmgen.I32Const(0),
		)},
	}.Bytes()
	h, err := host.New(t.Context(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	module, err := h.Load(t.Context(), m, host.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for want, st := range map[string]rows{"apply trapped: unreachable": state, "": {}} {
		c := caseOf(module, m)
		c.State = st
		b, _ := file(t, c)
		if b.Manifest.Result != want {
			t.Errorf("made: %q, want %q", b.Manifest.Result, want)
		}
		again, err := h.Load(t.Context(), b.Module, host.Limits{Memory: b.Manifest.Limits.Memory})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Run(t.Context(), again, nil); err != nil || got != want {
			t.Errorf("replayed: %q, %v; want %q", got, err, want)
		}
	}
}

// A module that does not come to an end is stopped in its bundle as it was.
func TestEndlessModule(t *testing.T) {
	m := wasmgen.Module{Pages: 1, Funcs: []wasmgen.Func{wasmgen.Apply(wasmgen.Loop, wasmgen.Br(0), wasmgen.End, wasmgen.I32Const(0))}}.Bytes()
	h, err := host.New(t.Context(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	load := func(fuel uint64) engine.Module {
		module, err := h.Load(t.Context(), m, host.Limits{Fuel: fuel})
		if err != nil {
			t.Fatal(err)
		}
		return module
	}
	c := caseOf(load(1_000_000), m)
	c.Spec.Fuel = 1_000_000
	b, _ := file(t, c)
	if got, err := b.Run(t.Context(), load(b.Manifest.Limits.Fuel), nil); err != nil || got != b.Manifest.Result || !strings.Contains(got, string(engine.GuestFuel)) {
		t.Errorf("%q, %v; want %q", got, err, b.Manifest.Result)
	}
}
