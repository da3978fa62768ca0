package fuel

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// What is not well-formed, or would reach the counter, is refused with words that say
// what and where.
func TestRefused(t *testing.T) {
	one := func(code ...[]byte) []byte { return funcs(body(0, code...)) }
	offset := cat(bs(0, opGlobalGet, 0, opEnd), vec(nil))
	huge := bs(0xff, 0xff, 0xff, 0xff, 0x0f)
	for _, c := range []struct {
		name   string
		module []byte
		want   string
	}{
		{"empty", nil, "not a WebAssembly module"},
		{"text", []byte("(module)"), "not a WebAssembly module"},
		{"the counter's name", assemble(sect(sectionMemory, bs(0, 1)), sect(sectionExport, expo(Global, kindMemory, 0))), `exports "gnomon_fuel"`},
		{"code that sets the counter", one(i32c(1), bs(opGlobalSet, 0), get0), "function 0: offset 0x2: opcode 0x24: names global 0 of 0"},
		{"code that reads it", one(bs(opGlobalGet, 0)), "names global 0 of 0"},
		{"the same where it is not reached", one(bs(opUnreachable, opGlobalSet, 0)), "names global 0 of 0"},
		{"an export of it", assemble(sect(sectionExport, expo("g", kindGlobal, 0))), "names global 0 of 0"},
		{"data at it", assemble(sect(sectionMemory, bs(0, 1)), sect(sectionData, offset)), "names global 0 of 0"},
		{"elements at it", assemble(sect(sectionTable, bs(typeFuncref, 0, 1)), sect(sectionElement, offset)), "names global 0 of 0"},
		{"elements that are it", assemble(sect(sectionElement, bs(5, typeFuncref, 1, opGlobalGet, 0, opEnd))), "names global 0 of 0"},
		{"a global that is it", assemble(sect(sectionGlobal, bs(typeI64, 0, opGlobalGet, 1, opEnd))), "names global 1 of 1"},
		{"a branch out of the function", one(br(1)), "branches to label 1 of 1"},
		{"a function that is not there", one(call(9)), "calls function 9 of 1"},
		{"an else without an if", one(bs(opElse)), "else without an if"},
		{"code without an end", funcs(vec(bs(0, opLocalGet, 0))), "offset 0x2: opcode 0x00: ends in the middle of a field"},
		{"code behind the end", one(get0, end, get0), "goes on after the end"},
		{"an immediate that is cut off", funcs(vec(bs(0, opI32Const, 0x80))), "ends in the middle of a field"},
		{"an immediate that is too long", one(bs(opLocalGet, 0x80, 0x80, 0x80, 0x80, 0x80, 0)), "more bytes than its type"},
		{"a table of 4 billion branches", one(cat(bs(opBrTable), huge)), "declares 4294967295 entries"},
		{"4 billion functions", assemble(cat(bs(sectionFunction), vec(huge))), "declares 4294967295 entries in 0 bytes"},
		{"4 billion globals", assemble(cat(bs(sectionGlobal), vec(huge))), "declares 4294967295 entries in 0 bytes"},
		{"4 billion locals twice", funcs(vec(cat(bs(2), huge, bs(typeI32), huge, bs(typeI32, opEnd)))), "locals"},
		{"a function of no type", assemble(sect(sectionFunction, bs(0))), "names type 0 of 0"},
		{"functions without code", assemble(sect(sectionType, bs(formFunc, 0, 0)), sect(sectionFunction, bs(0))), "has the code of 0"},
		{"a section past the end", assemble(bs(sectionType, 9)), "section 1: ends in the middle"},
		{"a section of exceptions", assemble(bs(13, 1, 0)), "section 13 is not one of WebAssembly 2.0, which is what this engine runs: build without the proposals after it (here exceptions)"},
		{"a section twice", assemble(sect(sectionType), sect(sectionType)), "section 1 is out of order"},
		{"an imported exception", assemble(sect(sectionImport, bs(0, 0, 4, 0, 0))), "kind 4"},
		{"blocks without end", one(bytes.Repeat(block, maxNesting)), "limit is 100000"},
		{"a function that is too long", one(bytes.Repeat(bs(opNop), maxBody)), "limit is 7654321"},
		{"a module that is too long", make([]byte, maxModule+1), "limit for metering is 67108864"},
		{"a module that would grow too much", one(bytes.Repeat(bs(opMemoryGrow, 0), 50_000)), "grow too much"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Rewrite(c.module, 0); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// Sections that the module lacks are added at their places, custom ones stay, names
// too, but for debugging information; and the counter is the last global.
func TestSections(t *testing.T) {
	custom := func(name string) []byte { return append(bs(sectionCustom), vec(append(vec([]byte(name)), 1, 0))...) }
	module := assemble(
		custom("name"),
		sect(sectionType, bs(formFunc, 1, typeI32, 1, typeI32)),
		sect(sectionImport, cat(vec([]byte("m")), vec([]byte("g")), bs(kindGlobal, typeI32, mutable))),
		sect(sectionFunction, bs(0)),
		custom(".debug_line"),
		sect(sectionCode, body(0, bs(opGlobalGet, 0))),
		custom("producers"),
	)
	rewritten := mustRewrite(t, module)
	l, err := parse(append([]byte(nil), bytes.Replace(rewritten, []byte(Global), []byte("gnomon_full"), 1)...))
	if err != nil {
		t.Fatal(err)
	}
	var ids []byte
	for _, s := range l.sections {
		ids = append(ids, s.id)
	}
	if want := []byte{0, sectionType, sectionImport, sectionFunction, sectionGlobal, sectionExport, sectionCode, 0}; !bytes.Equal(ids, want) {
		t.Errorf("sections %v, want %v", ids, want)
	}
	if l.globals != 2 || !bytes.Contains(rewritten, custom("name")) || !bytes.Contains(rewritten, custom("producers")) || bytes.Contains(rewritten, []byte(".debug")) {
		t.Errorf("%d globals in %q", l.globals, rewritten)
	}
	if again := mustRewrite(t, module); !bytes.Equal(again, rewritten) {
		t.Error("the same module was rewritten to another")
	}
	if _, err := Rewrite(rewritten, 0); err == nil {
		t.Error("a rewritten module was rewritten")
	}
}

// A function of several results is metered too, whether or not it branches to its end.
func TestSeveralResults(t *testing.T) {
	for name, code := range map[string][]byte{
		"falls":    cat(get0, get0, loop, end),
		"returns":  cat(loop, end, get0, get0, ret),
		"branches": cat(loop, end, get0, get0, br(0)),
		"perhaps":  cat(loop, end, get0, get0, get0, brIf(0)),
	} {
		module := mustRewrite(t, assemble(
			sect(sectionType, bs(formFunc, 1, typeI32, 2, typeI32, typeI32)),
			sect(sectionFunction, bs(0)), sect(sectionExport, expo("f", kindFunc, 0)),
			sect(sectionCode, body(0, code))))
		r := start(t, emptyRuntime(t, wazero.NewRuntimeConfigCompiler()), module)
		r.Fill(100)
		out, err := r.module.ExportedFunction("f").Call(context.Background(), 7)
		if err != nil || !slices.Equal(out, []uint64{7, 7}) {
			t.Errorf("%s: %v, %v", name, out, err)
		}
		if r.Fill(0); r.Used() != 0 {
			t.Error("used something before the call")
		}
		if _, err := r.module.ExportedFunction("f").Call(context.Background(), 7); err == nil || !r.Exhausted() {
			t.Errorf("%s: without fuel: %v", name, err)
		}
	}
}

// Labels of the function's body keep their type where code is not reached: the table
// here needs that of both its labels to be the same.
func TestLabelsOfCodeThatIsNotReached(t *testing.T) {
	if !checker(t)(t, funcs(body(0, loop, end, get0, ret, bs(opBlock, typeI32), get0, get0, bs(opBrTable, 1, 0, 1), end))) {
		t.Error("does not compile")
	}
}

// FuzzRewrite: no bytes make it panic or allocate without bound, and what compiles
// does so when it was rewritten.
func FuzzRewrite(f *testing.F) {
	f.Add(funcs(body(1, loop, get0, ifThen, get0, set0, end, br(0), end, get0), body(0, get0, call(0))))
	f.Add(everything(bytes.Join(everyOpcode(), bs(opUnreachable))))
	f.Add(readFile(f, "examples/wasm-projections/count/count.wasm"))
	f.Add(readFile(f, "bench/guests/balance.wasm"))
	f.Add(assemble(sect(sectionExport, expo("g", kindGlobal, 0))))
	check := checker(f)
	f.Fuzz(func(t *testing.T, module []byte) { check(t, module) })
}

// Modules with a few bytes changed do no harm, and those that still compile do so when
// they are rewritten.
func TestMutations(t *testing.T) {
	seeds := [][]byte{
		funcs(body(1, loop, get0, ifThen, get0, set0, end, br(0), end, get0), body(0, get0, call(0))),
		readFile(t, "examples/wasm-projections/count/count.wasm"),
		readFile(t, "bench/guests/balance.wasm"),
	}
	check := checker(t)
	random := rand.New(rand.NewPCG(1, 2))
	valid := 0
	for range 20_000 {
		module := bytes.Clone(seeds[random.IntN(len(seeds))])
		for range 1 + random.IntN(3) {
			module[8+random.IntN(len(module)-8)] = byte(random.IntN(256))
		}
		if check(t, module) {
			valid++
		}
	}
	if valid < 1000 {
		t.Errorf("only %d of the modules were valid", valid)
	}
}

// checker returns a function that rewrites a module and tells whether that compiles,
// which it must if the module did.
func checker(tb testing.TB) func(testing.TB, []byte) bool {
	ctx := context.Background()
	r := emptyRuntime(tb, wazero.NewRuntimeConfigInterpreter())
	return func(tb testing.TB, module []byte) bool {
		rewritten, err := Rewrite(module, 1)
		if err != nil {
			return false // and wazero may not see it: it trusts lengths
		}
		if len(rewritten) > maxGrowth*len(module)+64<<10+1000 {
			tb.Errorf("%d bytes became %d", len(module), len(rewritten))
		}
		if len(module) > 10_000 || !reasonable(module) {
			return false
		}
		c, err := r.CompileModule(ctx, module)
		if err != nil {
			return false
		}
		c.Close(ctx)
		if c, err = r.CompileModule(ctx, rewritten); err != nil {
			tb.Errorf("%x compiles before and not after: %v", module, err)
			return false
		}
		c.Close(ctx)
		return true
	}
}

// reasonable tells whether no function declares so many locals that wazero would take
// seconds.
func reasonable(module []byte) bool {
	l, err := parse(module)
	if err != nil {
		return false
	}
	for _, s := range l.sections {
		if s.id != sectionCode {
			continue
		}
		r := &reader{b: s.body}
		for range r.u32() {
			if n, err := locals(&reader{b: r.take(r.u32())}, 0); err != nil || n > 1000 {
				return false
			}
		}
	}
	return true
}
