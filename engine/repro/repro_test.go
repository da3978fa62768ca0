package repro_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/repro"
	"gnomon/engine/state"
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

// allKinds is a state that has all kinds of keys: texts, bytes, empty values, and a prefix
// that nothing is greater than.
var allKinds = rows{"a": "1", "b/1": "x", "b/2": "", "b/3": "\xff\x00", "b/4": "y", "c": "2", "\xff": "last", "\xff\xff": "very last"}

// script is a guest that reads what a test says, and fails with what it saw.
type script func(st guest.State) string

func (s script) module() *enginetest.Module {
	return enginetest.FuncModule("script", func(_ abi.Record, st guest.State) error { return enginetest.Refuse("saw %s", s(st)) })
}

func get(key string) script {
	return func(st guest.State) string {
		v, ok, err := st.Get([]byte(key))
		if err != nil {
			panic(err)
		}
		return fmt.Sprintf("%q %v", v, ok)
	}
}

// scan reads at most n rows.
func scan(prefix, after string, n int) script {
	return func(st guest.State) string {
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
	return func(st guest.State) string {
		var all []string
		for _, p := range parts {
			all = append(all, p(st))
		}
		return strings.Join(all, "; ")
	}
}

func put(key, value string) script {
	return func(st guest.State) string { return fmt.Sprint(st.Put([]byte(key), []byte(value))) }
}

func remove(key string) script {
	return func(st guest.State) string { return fmt.Sprint(st.Delete([]byte(key))) }
}

var (
	failed = abi.Record{Sequence: 7, TimeNs: 1, Subject: []byte("s.\xfe"), Data: []byte(`{"n":1}`), Key: []byte("k")}
	wide   = state.TxLimit{Writes: 100, Bytes: 1 << 20}
)

// caseOf is the failure of a module on the event above.
func caseOf(m guest.Module, code []byte) repro.Case {
	return repro.Case{
		Engine: "test", Bytes: code, State: allKinds, AsOf: 6, Limit: wide,
		Spec:   engine.Spec{Name: "p", Module: m, Settings: []byte(`{"limit":3}`), Stream: "S", Memory: 1 << 20, Fuel: 9},
		Letter: state.Letter{Sequence: 7, Status: state.Dead, Key: failed.Key, Event: failed.Append(nil), Error: "apply failed", Module: m.Digest(), Attempts: 2, Time: time.Unix(1, 0)},
	}
}

// digested is a fake module whose digest is that of its code.
type digested struct {
	guest.Module
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
		m := enginetest.FuncModule("other", func(_ abi.Record, st guest.State) (err error) {
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
	if m.Projection != "p" || m.Stream != "S" || m.Sequence != 7 || string(m.Subject) != "s.\xfe" || string(m.Key) != "k" || m.Status != state.Dead ||
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
	c.Spec.Module = withDigest(enginetest.FuncModule("writer", func(_ abi.Record, st guest.State) error {
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
