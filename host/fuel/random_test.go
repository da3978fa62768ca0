package fuel

import (
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
)

// A node is a piece of a random program, which can be written as WebAssembly and be
// run in Go, where its instructions are counted one by one.
type node interface {
	code() []byte
	run(s *simulation) exit
}

// exit says how a piece was left: onward, by the label of a branch, or otherwise.
type exit int

const (
	onward    exit = -1
	returned  exit = 1000
	tooLong   exit = 1001
	maxChoice      = 5000
)

type simulation struct {
	x       uint32 // the parameter, a generator of random numbers
	count   uint64 // of instructions
	choices int
}

// choose draws a number below 1<<bits, in chooseCost instructions.
func (s *simulation) choose(bits int) int {
	s.choices++
	s.count += chooseCost
	s.x = s.x*1664525 + 1013904223
	return int(s.x >> (32 - bits))
}

const chooseCost = 8

func chooseCode(bits int) []byte {
	return cat(get0, i32c(1664525), bs(0x6c), i32c(1013904223), add, bs(opLocalTee, 0), i32c(int32(32-bits)), bs(0x76))
}

type work int // instructions

func (w work) code() (b []byte) {
	for range w {
		b = append(b, opLocalGet, 0, opDrop)
	}
	return b
}

func (w work) run(s *simulation) exit { s.count += uint64(w); return onward }

// called is a call of the other function, which has one instruction.
type called struct{}

func (called) code() []byte           { return cat(get0, call(1), drop) }
func (called) run(s *simulation) exit { s.count += 2 + 2; return onward }

type jump struct {
	op     byte
	labels []byte // of br_table: four
}

func (j jump) code() []byte {
	switch j.op {
	case opBrIf:
		return cat(chooseCode(1), brIf(j.labels[0]))
	case opBrTable:
		return cat(chooseCode(2), bs(opBrTable, 3), j.labels)
	case opReturn:
		return cat(get0, ret)
	}
	return br(j.labels[0])
}

func (j jump) run(s *simulation) exit {
	s.count++
	switch j.op {
	case opBrIf:
		if s.choose(1) == 0 {
			return onward
		}
	case opBrTable:
		return exit(j.labels[s.choose(2)])
	case opReturn:
		return returned // it costs nothing, but its operand did
	}
	return exit(j.labels[0])
}

type nest struct {
	op          byte
	inner, more []node // more: the else of an if
}

func (n nest) code() []byte {
	b := bs(n.op, typeVoid)
	if n.op == opIf {
		b = cat(chooseCode(1), b)
	}
	b = cat(b, sequence(n.inner))
	if n.more != nil {
		b = cat(b, bs(opElse), sequence(n.more))
	}
	return append(b, opEnd)
}

func sequence(list []node) (b []byte) {
	for _, n := range list {
		b = append(b, n.code()...)
	}
	return b
}

func runAll(list []node, s *simulation) exit {
	for _, n := range list {
		if e := n.run(s); e != onward {
			return e
		}
	}
	return onward
}

func (n nest) run(s *simulation) exit {
	list := n.inner
	if n.op == opIf {
		s.count++
		if s.choose(1) == 0 {
			list = n.more
		}
	}
	for {
		e := runAll(list, s)
		switch {
		case s.choices > maxChoice || s.count > 1e6:
			return tooLong
		case e == 0 && n.op == opLoop:
			continue
		case e == 0:
			return onward
		case e > 0 && e < returned:
			return e - 1
		}
		return e
	}
}

// generate makes a random sequence of nodes within depth blocks.
func generate(r *rand.Rand, depth int) (list []node) {
	label := func() byte { return byte(r.IntN(depth + 1)) }
	for range 1 + r.IntN(5) {
		switch k := r.IntN(10); {
		case k < 3:
			list = append(list, work([]int{1, 3, 10, 40}[r.IntN(4)]))
		case k == 3:
			list = append(list, called{})
		case k == 4 && depth > 0:
			list = append(list, jump{opBrIf, []byte{byte(r.IntN(depth))}})
		case k == 5 && depth > 0 && r.IntN(3) == 0:
			d := byte(depth)
			list = append(list, jump{[]byte{opBr, opBrTable, opReturn}[r.IntN(3)], []byte{label() % d, label() % d, label() % d, label() % d}})
		case depth < 6:
			n := nest{op: []byte{opBlock, opLoop, opIf}[r.IntN(3)], inner: generate(r, depth+1)}
			if n.op == opIf && r.IntN(2) == 0 {
				n.more = generate(r, depth+1)
			}
			list = append(list, n)
		}
	}
	return list
}

// Random programs of all kinds of blocks and branches give the results that they give
// unmetered, are charged for every instruction that they execute, and for not much
// more; the same in both engines.
func TestEveryInstructionIsPaid(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var counted, used uint64
	finite, endless := 0, 0
	for finite < 400 {
		program := generate(random, 0)
		original := funcs(body(0, sequence(program), get0), body(0, get0))
		module := mustRewrite(t, original)
		s := &simulation{x: random.Uint32()}
		seed := int32(s.x)
		e := runAll(program, s)
		engine := wazero.NewRuntimeConfigInterpreter()
		if finite%20 == 0 {
			engine = wazero.NewRuntimeConfigCompiler()
		}
		r := start(t, emptyRuntime(t, engine), module)
		if e == tooLong {
			if _, err := r.call(10_000, seed); err == nil || !r.Exhausted() {
				t.Fatalf("%x: endless, and not stopped: %v", original, err)
			}
			endless++
			continue
		}
		s.count++ // the entry
		if e != returned {
			s.count++ // the result
		}
		got, err := r.call(1<<40, seed)
		if err != nil || got != int32(s.x) {
			t.Fatalf("%x of %d: %d, %v; want %d", original, seed, got, err, int32(s.x))
		}
		if r.Used() < s.count || r.Used() > s.count*(1+hoist) {
			t.Fatalf("%x of %d: used %d for %d instructions", original, seed, r.Used(), s.count)
		}
		counted, used, finite = counted+s.count, used+r.Used(), finite+1
	}
	if endless < 10 || counted < 25_000 {
		t.Errorf("%d endless programs, %d instructions: the programs are too simple", endless, counted)
	}
	if used > 2*counted {
		t.Errorf("charged %d for %d instructions", used, counted)
	}
	t.Logf("%d programs and %d endless ones: charged %.2f an instruction", finite, endless, float64(used)/float64(counted))
}
