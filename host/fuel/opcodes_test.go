package fuel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// sample is an instruction with immediates that are valid in the module of all
// opcodes. Where it can be, an index is 5, which read as an opcode is an else that
// belongs to no if: whoever reads too few immediates fails.
func sample(opcode []byte, kind immediates) []byte {
	op := opcode[0]
	switch kind {
	case none:
		return opcode
	case blockType:
		return cat(opcode, bs(typeVoid, opEnd))
	case index:
		if op == opBr || op == opBrIf {
			return cat(opcode, bs(0))
		}
		return cat(opcode, bs(5))
	case twoIndices:
		return cat(opcode, bs(5, 5))
	case labels:
		return cat(opcode, bs(2, 0, 0, 0))
	case s32, s64:
		return cat(opcode, bs(0x85, 0x7f))
	case bytes4:
		return cat(opcode, bytes.Repeat(bs(5), 4))
	case bytes8:
		return cat(opcode, bytes.Repeat(bs(5), 8))
	case bytes16:
		return cat(opcode, bytes.Repeat(bs(5), 16))
	case memArg:
		return cat(opcode, bs(0, 5))
	case memArgLane:
		return cat(opcode, bs(0, 5, 0))
	case lane, zero:
		return cat(opcode, bs(0))
	case zeroZero:
		return cat(opcode, bs(0, 0))
	case indexZero:
		return cat(opcode, bs(5, 0))
	case types:
		return cat(opcode, bs(1, typeI32))
	case heapType:
		return cat(opcode, bs(typeExternref))
	}
	panic(fmt.Sprintf("no sample of kind %d", kind))
}

// everyOpcode lists an instruction for each opcode there is.
func everyOpcode() (all [][]byte) {
	for op, kind := range plain {
		if kind != unknown && kind != prefix && op != opElse && op != opEnd {
			all = append(all, sample(bs(byte(op)), kind))
		}
	}
	all = append(all, cat(bs(opIf, typeVoid, opElse, opEnd)))
	for op, kind := range misc {
		all = append(all, sample(bs(opMisc, byte(op)), kind))
	}
	for op, kind := range vector {
		code := bs(opVector, byte(op))
		if op >= 0x80 {
			code = append(code, 1)
		}
		if kind != unknown {
			all = append(all, sample(code, kind))
		}
	}
	return all
}

// everything is a module that has six of everything, and a function of type () → ()
// with this code.
func everything(code []byte) []byte {
	six := func(entry ...byte) (all [][]byte) {
		for range 6 {
			all = append(all, entry)
		}
		return all
	}
	return assemble(
		sect(sectionType, six(formFunc, 0, 0)...),
		sect(sectionFunction, six(0)...),
		sect(sectionTable, six(typeFuncref, 0, 10)...),
		sect(sectionMemory, bs(0, 1)),
		sect(sectionGlobal, six(typeI32, mutable, opI32Const, 0, opEnd)...),
		sect(sectionElement, six(1, 0, 1, 5)...),
		bs(sectionDataCount, 1, 6),
		sect(sectionCode, append(six(2, 0, opEnd)[:5], body(6, code))...),
		sect(sectionData, six(1, 1, 0)...),
	)
}

// Every opcode of WebAssembly 2.0 is read with exactly its immediates: a module of all
// of them, and of each one, compiles before and after.
func TestEveryOpcode(t *testing.T) {
	r := emptyRuntime(t, wazero.NewRuntimeConfigInterpreter())
	compiles := func(module []byte) error {
		c, err := r.CompileModule(context.Background(), module)
		if err == nil {
			c.Close(context.Background())
		}
		return err
	}
	opcodes := everyOpcode()
	if len(opcodes) < 430 {
		t.Fatalf("only %d opcodes", len(opcodes))
	}
	var together []byte
	for _, op := range opcodes {
		// What follows an unreachable may take any operands from the stack.
		alone := cat(bs(opUnreachable), op, bs(opUnreachable))
		together = append(together, alone...)
		if err := compiles(everything(alone)); err != nil {
			t.Fatalf("sample %x does not compile: %v", op, err)
		}
		if rewritten, err := Rewrite(everything(alone), 0); err != nil {
			t.Errorf("%x: %v", op, err)
		} else if err := compiles(rewritten); err != nil {
			t.Errorf("%x, rewritten: %v", op, err)
		}
		// Where it can be reached, all of it is still read: the end comes where it is.
		p := planner{funcs: 6, globals: 6}
		if err := p.plan(cat(op, bs(opEnd))); err != nil {
			t.Errorf("%x, reached: %v", op, err)
		}
	}
	if err := compiles(mustRewrite(t, everything(together))); err != nil {
		t.Errorf("all together: %v", err)
	}
}

// An opcode that is not of WebAssembly 2.0, or is not written in its shortest form, is
// refused with its function, its place and its number.
func TestUnknownOpcodes(t *testing.T) {
	refuse := func(code ...byte) {
		t.Helper()
		_, err := Rewrite(everything(cat(i32c(1), bs(opDrop), code, bs(opEnd))), 0)
		want := fmt.Sprintf("function 5: offset 0x3: opcode 0x%02x", code[0])
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("% x: %v; want %q", code, err, want)
		}
	}
	for op, kind := range plain {
		if kind == unknown {
			refuse(byte(op))
		}
	}
	for op := len(misc); op < 256; op++ {
		refuse(opMisc, byte(op), 0)
	}
	for op, kind := range vector {
		if kind == unknown {
			refuse(opVector, byte(op), 1)
		}
	}
	// v128.const in two bytes: wazero takes the first for another opcode, i16x8.shr_s,
	// and would run the constant.
	refuse(cat(bs(opVector, 0x8c, 0), make([]byte, 16))...)
	refuse(opVector, 0x8c, 0x81, 0)
	refuse(opVector, 0x80, 2) // 0x100: of the relaxed proposal
	refuse(opMisc, 0x8b, 0, 0)
}

// The modules of WebAssembly's own test suite that compile do so when rewritten.
func TestSpecificationSuite(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest", "v2", "testdata", "*.wasm"))
	if len(files) < 500 {
		t.Skipf("the module cache has only %d files of the suite", len(files))
	}
	ctx := context.Background()
	r := emptyRuntime(t, wazero.NewRuntimeConfigInterpreter())
	compiled := 0
	for i, file := range files {
		if testing.Short() && i%5 != 0 {
			continue
		}
		module, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.CompileModule(ctx, module)
		if err != nil {
			continue
		}
		c.Close(ctx)
		compiled++
		rewritten, err := Rewrite(module, 0)
		if filepath.Base(file) == "binary-leb128.81.wasm" { // i32.trunc_sat_f64_s in its long form
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		if c, err = r.CompileModule(ctx, rewritten); err != nil {
			t.Errorf("%s, rewritten: %v", filepath.Base(file), err)
			continue
		}
		c.Close(ctx)
	}
	if compiled < 50 {
		t.Errorf("only %d of %d modules compile", compiled, len(files))
	}
	t.Logf("%d modules of %d files", compiled, len(files))
}
