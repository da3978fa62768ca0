package host

import (
	"os"
	"slices"
	"strings"
	"testing"

	w "gnomon/internal/testutil/wasmgen"
)

// producersOf is a section of producers: pairs of a field and a name.
func producersOf(list ...string) []byte {
	vec := func(s string) string { return string(rune(len(s))) + s }
	body := vec("producers") + string(rune(len(list)/2))
	for i := 0; i < len(list); i += 2 {
		body += vec(list[i]) + "\x01" + vec(list[i+1]) + vec("1.2")
	}
	return append([]byte{0, byte(len(body))}, body...)
}

// A module's language is known by what its tools wrote into it, or by traces of its runtime.
func TestLanguages(t *testing.T) {
	plain := w.Module{Pages: 1, Funcs: []w.Func{ok}}.Bytes()
	trace := func(text string) []byte { return w.Module{Pages: 1, Funcs: []w.Func{ok}, Data: []byte(text)}.Bytes() }
	for _, tt := range []struct {
		name                string
		module              []byte
		language, toolchain string
	}{
		{"plain", plain, "", ""},
		{"Go", slices.Concat(plain, producersOf("language", "Go", "processed-by", "Go cmd/compile")), LanguageGo, "1.2"},
		{"stripped Go", slices.Concat(plain, []byte("\x00\x0b\x0ago:buildid")), LanguageGo, ""},
		{"TinyGo", slices.Concat(plain, producersOf("language", "C11", "processed-by", "clang", "processed-by", "TinyGo")), LanguageTinyGo, "1.2"},
		{"Rust", slices.Concat(plain, producersOf("language", "Rust", "processed-by", "rustc")), LanguageRust, "1.2"},
		{"Rust by a trace", trace("/rustc/90b35a623/library/core"), LanguageRust, ""},
		{"C", slices.Concat(plain, producersOf("language", "C11", "processed-by", "clang")), LanguageC, "clang 1.2"},
		{"C++", slices.Concat(plain, producersOf("language", "C11", "language", "C_plus_plus_14")), LanguageCPlusPlus, ""},
		{"AssemblyScript", trace("~\x00l\x00i\x00b\x00/\x00r\x00t\x00"), LanguageAssemblyScript, ""},
	} {
		if s := ReadStatic(tt.module); s.Language != tt.language || s.Toolchain != tt.toolchain {
			t.Errorf("%s: %q by %q, want %q by %q", tt.name, s.Language, s.Toolchain, tt.language, tt.toolchain)
		}
	}
}

// Sizes are those of the sections' bodies, and are told of a module that is cut off, too.
func TestSizes(t *testing.T) {
	module := w.Module{Pages: 1, Funcs: []w.Func{ok}, Data: []byte("four")}.Bytes()
	whole := ReadStatic(module)
	if s := whole.Sizes; s.Code == 0 || s.Data != 10 || s.Custom != 0 || s.Other == 0 || whole.Functions != 1 {
		t.Errorf("%+v", whole)
	}
	if s := ReadStatic(module[:len(module)-1]); s.Sizes.Code != whole.Sizes.Code || s.Sizes.Data != 0 {
		t.Errorf("cut off: %+v", s)
	}
}

// What is to be done is said in the language of the module where that matters, and in general
// where it is not known.
func TestFixes(t *testing.T) {
	p := problem(builtAsCommand, "is a command")
	for language, want := range map[string]string{LanguageGo: "-buildmode=c-shared", LanguageC: "-mexec-model=reactor", "": "reactor", LanguageD: "reactor"} {
		if got := p.Fix(language); !strings.Contains(got, want) {
			t.Errorf("%s: %q has no %q", language, got, want)
		}
	}
	if got := problem(otherProblem, "x").Fix(LanguageGo); got != "" {
		t.Errorf("a problem whose text says it has the fix %q", got)
	}
}

// However many imports are wrong, and however long their names are, what is said of a module
// stays short.
func TestRefusalsAreBounded(t *testing.T) {
	m := w.Module{Pages: 1, Funcs: []w.Func{ok}}
	for range 1000 {
		m.Imports = append(m.Imports, w.Import{Module: "env", Name: strings.Repeat("n", 5000)})
	}
	_, err := testHost.Check(m.Bytes(), Limits{})
	if err == nil || len(err.Error()) > 25*mostText || !strings.HasSuffix(err.Error(), "it also imports 980 other things that it may not") {
		t.Errorf("%d bytes: ….%s", len(err.Error()), err.Error()[max(0, len(err.Error())-200):])
	}
}

// FuzzReadStatic holds ReadStatic to its promise: whatever the bytes, it neither panics nor
// tells of more than there is.
func FuzzReadStatic(f *testing.F) {
	count, err := os.ReadFile("testdata/count.wasm")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(count)
	f.Add(append(slices.Clone(count), producersOf("language", "C11", "processed-by", "clang")...))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\x0e\x09producers\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, module []byte) {
		s := ReadStatic(module)
		if n := s.Sizes.Code + s.Sizes.Data + s.Sizes.Custom + s.Sizes.Other; n > len(module) || s.Functions > len(module) || len(s.Toolchain) > len(module)+1 {
			t.Fatalf("%+v of %d bytes", s, len(module))
		}
	})
}
