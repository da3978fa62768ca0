package fuel

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Instructions of the tests.
var (
	get0   = bs(opLocalGet, 0)
	set0   = bs(0x21, 0)
	add    = bs(0x6a)
	sub    = bs(0x6b)
	end    = bs(opEnd)
	loop   = bs(opLoop, typeVoid)
	block  = bs(opBlock, typeVoid)
	ifThen = bs(opIf, typeVoid)
	ret    = bs(opReturn)
	drop   = bs(opDrop)
)

func br(label byte) []byte   { return bs(opBr, label) }
func brIf(label byte) []byte { return bs(opBrIf, label) }
func call(f byte) []byte     { return bs(opCall, f) }

// Each instruction costs 1 and each entry of a function 1; labels, nop and drop cost
// nothing. What a branch passes by is paid with the code before it up to 32, and by
// itself beyond.
func TestWhatThingsCost(t *testing.T) {
	padding := bytes.Repeat([]byte{opLocalGet, 0, opDrop}, 40) // 40
	for _, c := range []struct {
		name string
		code [][]byte
		arg  int32
		want uint64
	}{
		{"entry and one instruction", [][]byte{get0}, 0, 2},
		{"nop, drop and blocks are free", [][]byte{bs(opNop), block, i32c(1), drop, end, get0}, 0, 3},
		{"a branch", [][]byte{block, br(0), end, get0}, 0, 3},
		{"code that is not reached", [][]byte{get0, ret, padding}, 0, 2},
		{"an if that is taken", [][]byte{get0, ifThen, i32c(1), drop, end, get0}, 1, 5},
		{"an if that is not: small, paid all the same", [][]byte{get0, ifThen, i32c(1), drop, end, get0}, 0, 5},
		{"an if that is not: large, not paid", [][]byte{get0, ifThen, padding, end, get0}, 0, 4},
		{"the same, taken", [][]byte{get0, ifThen, padding, end, get0}, 1, 44},
		{"five rounds of 5", [][]byte{loop, get0, i32c(1), sub, bs(opLocalTee, 0), brIf(0), end, get0}, 5, 1 + 25 + 1},
		{"two calls, with their entries", [][]byte{get0, call(1), call(1)}, 0, 4 + 2*2},
		{"out of three blocks, past what is in two", [][]byte{block, block, block, get0, brIf(2), end, end, padding, end, get0}, 1, 4},
		{"the same, not taken", [][]byte{block, block, block, get0, brIf(2), end, end, padding, end, get0}, 0, 44},
		{"forty small ifs, of which 32 are paid for nothing", [][]byte{bytes.Repeat(cat(get0, ifThen, i32c(1), drop, end), 40), get0}, 0, 1 + 40*2 + 1 + 32},
		{"an early return", [][]byte{get0, ifThen, i32c(7), ret, end, padding, get0}, 1, 1 + 2 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			module := mustRewrite(t, funcs(body(0, c.code...), body(0, get0)))
			for name, engine := range engines() {
				r := start(t, emptyRuntime(t, engine), module)
				if _, err := r.call(1000, c.arg); err != nil || r.Used() != c.want || r.Exhausted() {
					t.Errorf("%s: used %d, exhausted %t, %v; want %d", name, r.Used(), r.Exhausted(), err, c.want)
				}
			}
		})
	}
}

// Operations on memory and tables cost by their size, read as unsigned, and one that
// the budget does not cover does not run.
func TestOperationsCostByTheirSize(t *testing.T) {
	three := func(op ...byte) [][]byte { return [][]byte{i32c(0), i32c(0), get0, op, get0} }
	for _, c := range []struct {
		name  string
		code  [][]byte
		unit  uint64 // cost of 6400 bytes, 100 pages or 80 entries
		n     int32
		fixed uint64
	}{
		{"memory.fill", three(opMisc, miscMemoryFill, 0), 100, 6400, 6},
		{"memory.copy", three(opMisc, miscMemoryCopy, 0, 0), 100, 6400, 6},
		{"memory.init", three(opMisc, miscMemoryInit, 0, 0), 10, 640, 6},
		{"table.copy", three(opMisc, miscTableCopy, 0, 0), 1, 8, 6},
		{"table.init", three(opMisc, miscTableInit, 0, 0), 0, 0, 6},
		{"table.fill", [][]byte{i32c(0), bs(opRefNull, typeFuncref), get0, bs(opMisc, miscTableFill, 0), get0}, 1, 8, 6},
		{"table.grow", [][]byte{bs(opRefNull, typeFuncref), get0, bs(opMisc, miscTableGrow, 0)}, 80, 80, 4},
		{"memory.grow", [][]byte{get0, bs(opMemoryGrow, 0)}, 1024, 1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			module := mustRewrite(t, funcs(body(0, c.code...)))
			for name, engine := range engines() {
				r := start(t, emptyRuntime(t, engine), module)
				want := c.unit + c.fixed
				if _, err := r.call(1<<40, c.n); err != nil || r.Used() != want {
					t.Errorf("%s: used %d, %v; want %d", name, r.Used(), err, want)
				}
				if c.unit > 0 {
					before := r.module.Memory().Size()
					r = start(t, emptyRuntime(t, engine), module)
					if _, err := r.call(want-1, c.n); err == nil || !r.Exhausted() || r.Used() != want || r.module.Memory().Size() > before {
						t.Errorf("%s: with too little: used %d, %v", name, r.Used(), err)
					}
				}
				// -1 is the largest number there is.
				if _, err := r.call(1<<24, -1); err == nil || !r.Exhausted() {
					t.Errorf("%s: of the largest size: used %d, %v", name, r.Used(), err)
				}
			}
		})
	}
}

// Whatever does not end by itself, or goes straight on for too long, ends when the
// budget does, soon and at the same number in both engines.
func TestEndlessGuestsAreStopped(t *testing.T) {
	table := bs(opBrTable, 2, 0, 1, 0)
	leaf := body(0, bytes.Repeat(cat(get0, drop), 60), get0)
	for _, c := range []struct {
		name   string
		bodies [][]byte
	}{
		{"loop", [][]byte{body(0, loop, br(0), end, get0)}},
		{"loop with a parameter", [][]byte{body(0, get0, bs(opLoop, 0), br(0), end)}},
		{"nested loops", [][]byte{body(0, loop, loop, loop, get0, brIf(0), end, br(1), end, br(0), end, get0)}},
		{"loop through its outer label", [][]byte{body(0, loop, loop, br(1), end, end, get0)}},
		{"table of branches", [][]byte{body(0, loop, loop, get0, table, end, end, get0)}},
		{"loop around a leaf", [][]byte{body(0, loop, get0, call(1), drop, br(0), end, get0), body(0, get0)}},
		{"bulk operations", [][]byte{body(0, loop, i32c(0), i32c(0), i32c(65536), bs(opMisc, miscMemoryFill, 0), br(0), end, get0)}},
		{"memory.grow by nothing", [][]byte{body(0, loop, i32c(0), bs(opMemoryGrow, 0), drop, br(0), end, get0)}},
		{"straight line of leaves", [][]byte{body(0, get0, bytes.Repeat(call(1), 20_000)), leaf}},
		{"many branches ahead", [][]byte{body(0, block, bytes.Repeat(cat(bytes.Repeat(cat(get0, drop), 360), i32c(0), brIf(0)), 250), end, get0)}},
	} {
		c.bodies = append(c.bodies, leaf)
		t.Run(c.name, func(t *testing.T) {
			module := mustRewrite(t, funcs(c.bodies...))
			var used []uint64
			for name, engine := range engines() {
				r := start(t, emptyRuntime(t, engine), module)
				_, err := r.call(30_000, 0)
				if err == nil || !strings.Contains(err.Error(), "unreachable") || !r.Exhausted() {
					t.Errorf("%s: %v, exhausted %t", name, err, r.Exhausted())
				}
				used = append(used, r.Used())
			}
			if used[0] != used[1] || used[0] > 30_000+2*patience {
				t.Errorf("used %d of 30000", used)
			}
		})
	}
}

// A tree of calls without a loop is stopped, and so is recursion, direct or through a
// table: by fuel, where it lasts less long than the engine's stack.
func TestCallTreesAreStopped(t *testing.T) {
	var tree [][]byte
	for i := range byte(60) {
		tree = append(tree, body(0, get0, call(i+1), call(i+1)))
	}
	tree = append(tree, body(0, get0))
	for _, c := range []struct {
		name   string
		module []byte
	}{
		{"tree of 60 levels", funcs(tree...)},
		{"recursion", funcs(body(0, get0, call(0)))},
		{"recursion through a table", funcs(body(0, get0, i32c(3), bs(opCallIndirect, 0, 0)))},
		{"recursion past a loop", funcs(body(0, get0, ifThen, loop, end, end, get0, call(0)))},
		{"recursion before a loop", funcs(body(0, get0, call(0), loop, end))},
		{"recursion behind a loop", funcs(body(0, block, loop, get0, brIf(1), get0, bs(0x45), brIf(1), br(0), end, end, get0, call(0)))},
	} {
		t.Run(c.name, func(t *testing.T) {
			module := mustRewrite(t, c.module)
			for name, engine := range engines() {
				r := start(t, emptyRuntime(t, engine), module)
				if _, err := r.call(4_000, 0); err == nil || !r.Exhausted() {
					t.Errorf("%s: %v, exhausted %t", name, err, r.Exhausted())
				}
			}
		})
	}
}

// A guest's own trap is not taken for the end of the budget, and a budget that is just
// enough is.
func TestExhaustionIsToldFromOtherTraps(t *testing.T) {
	r := start(t, emptyRuntime(t, wazero.NewRuntimeConfigCompiler()), mustRewrite(t, funcs(
		body(0, loop, get0, bs(0x45), ifThen, bs(opUnreachable), end, get0, i32c(1), sub, set0, br(0), end, get0))))
	_, err := r.call(1000, 3)
	if err == nil || r.Exhausted() {
		t.Fatalf("trap of its own: %v, exhausted %t", err, r.Exhausted())
	}
	need := r.Used()
	if _, err := r.call(need, 3); err == nil || r.Exhausted() || r.Used() != need {
		t.Errorf("with just enough: %v, exhausted %t, used %d of %d", err, r.Exhausted(), r.Used(), need)
	}
	if _, err := r.call(need-1, 3); err == nil || !r.Exhausted() {
		t.Errorf("with one less: %v, exhausted %t", err, r.Exhausted())
	}
}

// The start function runs on the budget that Rewrite was given.
func TestStartFunctionIsMetered(t *testing.T) {
	module := assemble(
		sect(sectionType, bs(formFunc, 0, 0)), sect(sectionFunction, bs(0)), bs(sectionStart, 1, 0),
		sect(sectionCode, body(0, loop, br(0), end)))
	rewritten, err := Rewrite(module, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	r := emptyRuntime(t, wazero.NewRuntimeConfigCompiler())
	if _, err := r.Instantiate(t.Context(), rewritten); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("instantiated: %v", err)
	}
}

// Functions of the host charge for their own work, and see when it is too much; a
// direct call of one costs 64 more than another instruction.
func TestHostFunctionsCharge(t *testing.T) {
	module := mustRewrite(t, assemble(
		sect(sectionType, bs(formFunc, 1, typeI32, 1, typeI32)),
		sect(sectionImport, cat(vec([]byte("h")), vec([]byte("work")), bs(kindFunc, 0))),
		sect(sectionFunction, bs(0)),
		sect(sectionExport, expo("f", kindFunc, 1)),
		sect(sectionCode, body(0, get0, call(0)))))
	rt := emptyRuntime(t, wazero.NewRuntimeConfigCompiler())
	var r *running
	work := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		if !r.Charge(stack[0]) {
			panic("no fuel")
		}
	})
	i32 := []api.ValueType{api.ValueTypeI32}
	if _, err := rt.NewHostModuleBuilder("h").NewFunctionBuilder().WithGoModuleFunction(work, i32, i32).Export("work").Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = start(t, rt, module)
	if _, err := r.call(1000, 500); err != nil || r.Used() != 1+2+hostCall+500 {
		t.Errorf("used %d, %v", r.Used(), err)
	}
	if _, err := r.call(1000, 1000); err == nil || !r.Exhausted() {
		t.Errorf("work for 1000 of what is left of them: %v, exhausted %t", err, r.Exhausted())
	}
}

// A meter without a counter meters nothing.
func TestMeterOfAnUnmeteredModule(t *testing.T) {
	var m Meter
	m.Fill(10)
	if !m.Charge(100) || m.Exhausted() || m.Used() != 0 {
		t.Errorf("used %d, exhausted %t", m.Used(), m.Exhausted())
	}
}
