package repro_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/repro"
	"gnomon/host"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

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
func withDigest(m guest.Module) guest.Module { return digested{m, repro.DigestOf(code)} }

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
	for want, st := range map[string]rows{"apply trapped: unreachable": allKinds, "": {}} {
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
	load := func(fuel uint64) guest.Module {
		module, err := h.Load(t.Context(), m, host.Limits{Fuel: fuel})
		if err != nil {
			t.Fatal(err)
		}
		return module
	}
	c := caseOf(load(1_000_000), m)
	c.Spec.Fuel = 1_000_000
	b, _ := file(t, c)
	if got, err := b.Run(t.Context(), load(b.Manifest.Limits.Fuel), nil); err != nil || got != b.Manifest.Result || !strings.Contains(got, string(guest.OutOfFuel)) {
		t.Errorf("%q, %v; want %q", got, err, b.Manifest.Result)
	}
}
