package repro_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/repro"
	"gnomon/sdk/abi"
)

// upcastCode are the bytes of the upcasters' modules, as far as a bundle is concerned.
var upcastCode = [][]byte{[]byte("first upcaster"), []byte("second upcaster")}

// upcastCase is the case of a module behind two upcasters: the first makes two records of
// an event, and the second, which has settings, fails on one of them, if it is told to.
func upcastCase(m guest.Module, fails bool) repro.Case {
	c := caseOf(m, code)
	twice := enginetest.Upcaster("twice", func(e abi.Record, out func(abi.Record)) error {
		out(e)
		e.Data = []byte("second")
		out(e)
		return nil
	})
	second := enginetest.Upcaster("second", func(e abi.Record, out func(abi.Record)) error {
		if fails && string(e.Data) == "second" {
			return enginetest.Refuse("no second of %d", e.Sequence)
		}
		out(e)
		return nil
	})
	c.Spec.Upcasters = []engine.Upcaster{
		{Name: "twice", Module: digested{twice, repro.DigestOf(upcastCode[0])}},
		{Name: "keeps", Module: digested{second, repro.DigestOf(upcastCode[1])}, Settings: []byte(`{"up":1}`), Memory: 2 << 20, Fuel: 11},
	}
	c.Spec.KeyOf = func(e abi.Record) []byte { return e.Data }
	c.Upcasters = upcastCode
	stored := failed
	stored.Key = nil
	c.Letter.Event = stored.Append(nil)
	return c
}

// A module that fails on what upcasters made of an event is given all of that, with its
// keys, so that neither the upcasters nor the declared key are needed.
func TestModuleBehindUpcasters(t *testing.T) {
	m := withDigest(enginetest.FuncModule("m", func(e abi.Record, st guest.State) error {
		if _, ok, err := st.Get([]byte("a")); err != nil || !ok {
			return fmt.Errorf("%t, %w", ok, err)
		}
		if string(e.Key) == "second" {
			return enginetest.Refuse("no %s of %d", e.Key, e.Sequence)
		}
		return nil
	}))
	b, whole := file(t, upcastCase(m, false))
	if b.Manifest.Result != "apply returned an error: no second of 7" || b.Manifest.Upcaster != "" || b.Manifest.Version != 2 || len(b.Facts) != 1 {
		t.Errorf("%+v", b.Manifest)
	}
	read, err := repro.Read(whole)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read.Run(t.Context(), m, nil); got != b.Manifest.Result || err != nil {
		t.Errorf("%q, %v; want %q", got, err, b.Manifest.Result)
	}
}

// A failure of an upcaster is one of that module, with its settings and limits, on what it
// was handed: it can be mended and run again by itself.
func TestUpcasterFails(t *testing.T) {
	c := upcastCase(ofScript(get("a")).Spec.Module, true)
	b, whole := file(t, c)
	if b.Manifest.Result != "upcaster keeps: upcast returned an error: no second of 7" {
		t.Errorf("result %q", b.Manifest.Result)
	}
	read, err := repro.Read(whole)
	if err != nil {
		t.Fatal(err)
	}
	m := read.Manifest
	if m.Upcaster != "keeps" || !bytes.Equal(read.Module, upcastCode[1]) || string(read.Settings) != `{"up":1}` || m.Limits.Memory != 2<<20 || m.Limits.Fuel != 11 || len(read.Facts) != 0 {
		t.Errorf("%+v, module %q, settings %s", m, read.Module, read.Settings)
	}
	if got, err := read.Run(t.Context(), c.Spec.Upcasters[1].Module, nil); got != m.Result || err != nil {
		t.Errorf("%q, %v; want %q", got, err, m.Result)
	}
	if got, err := read.Run(t.Context(), upcastCase(c.Spec.Module, false).Spec.Upcasters[1].Module, nil); got != "" || err != nil {
		t.Errorf("with a mended one: %q, %v", got, err)
	}
}

// What cannot be reproduced is not made into a bundle, and an event is whole in it.
func TestNoBundleOfUpcasters(t *testing.T) {
	c := upcastCase(ofScript(get("a")).Spec.Module, true)
	c.Upcasters = [][]byte{upcastCode[0], []byte("another")}
	if _, err := repro.Make(t.Context(), c); !errors.Is(err, repro.ErrModule) || !strings.Contains(err.Error(), "upcaster keeps has the SHA-256") {
		t.Errorf("another upcaster: %v", err)
	}
	c = upcastCase(ofScript(get("a")).Spec.Module, false)
	c.Spec.Filter = func([]byte) bool { return false }
	if _, err := repro.Make(t.Context(), c); err == nil || !strings.Contains(err.Error(), "there is nothing to reproduce") {
		t.Errorf("nothing made of it: %v", err)
	}
	for name, change := range map[string]func(b *repro.Bundle){
		"none":                       func(b *repro.Bundle) { b.Event = nil },
		"cut off":                    func(b *repro.Bundle) { b.Event = b.Event[:len(b.Event)-8] },
		"with another":               func(b *repro.Bundle) { b.Event = (&abi.Record{Sequence: 8, Subject: []byte("s")}).Append(b.Event) },
		"two, before upcasters were": func(b *repro.Bundle) { b.Manifest.Version = 1 },
	} {
		b, _ := file(t, upcastCase(ofScript(get("a")).Spec.Module, false))
		change(b)
		var out bytes.Buffer
		if err := b.Write(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := repro.Read(out.Bytes()); !errors.Is(err, repro.ErrDamaged) || !strings.Contains(err.Error(), "event.bin is not the event 7") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
