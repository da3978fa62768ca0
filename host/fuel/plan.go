package fuel

import (
	"errors"
	"fmt"
)

var (
	errSelect   = errors.New("is a select of more or fewer than one type")
	errHeapType = errors.New("names a type of reference other than funcref and externref")
	errReserved = errors.New("has a reserved byte that is not 0")
)

// What was tuned by measurement.
const (
	// hoist is the most that one charge may contain for code that not every path from
	// it executes. At 0 the fuel used is the number of instructions executed, and Go
	// guests take 12 to 21 % longer instead of 6 to 11; at 64 they get no faster.
	hoist = 32
	// leaf is the most that a function may cost, all of its text together, to be
	// entered without a check, when it calls nothing.
	leaf = 64
	// patience is the most that may run between two checks on any path, apart from
	// one function's way to its first.
	patience = 1 << 14
	// hostCall is what a direct call of an imported function costs: some 50 ns.
	hostCall = 64
	// maxNesting bounds the blocks within each other. Those of a Go function are as
	// many as its resume points.
	maxNesting = 100_000
)

// edit is a change to the code of a function, before the byte at pos: a charge, or
// the charge by size of the instruction there.
type edit struct {
	pos     uint32
	op      byte   // editCharge, or opMemoryGrow, or opMisc
	second  byte   // after opMisc
	checked bool   // a charge that traps when nothing is left
	cost    uint32 // of a charge; 0, unless it is checked: it is not needed
	hoisted uint32 // part of cost that not every path executes
	label   uint32 // of the body of the function, seen from here
}

const editCharge = 0xff

// frame is a block under way.
type frame struct {
	op     byte
	dead   bool // its start cannot be reached
	joined bool // its end can be reached
	charge int  // planner.charge at its start
	above  int  // planner.above at its start
	reach  int  // the outermost frame that a branch within it goes to
	since  int  // planner.since at its start
	atEnd  int  // planner.since at its end, the most of all edges
}

// nothing is where no charge is in force: the next segment needs one.
const nothing = -1

// planner finds out where to charge how much, in one pass over a function.
//
// The code between two branches or labels is a segment: when its first instruction
// runs, all do. A segment is paid by one charge, which all paths to it pass: by the
// one in force, by an earlier one when it is small, or by its own.
type planner struct {
	// Of the module.
	imports, funcs uint32 // functions; funcs has the imported ones too
	globals        uint32

	// Of the function.
	r       reader
	edits   []edit // ordered by pos
	frames  []frame
	total   uint64 // cost of its text
	calls   bool   // it calls something
	bulk    bool   // it has instructions that are charged by size
	toBody  bool   // it branches to the label of its body
	covered bool   // all paths pass a check before they call anything

	// Of the place in it.
	dead   bool // cannot be reached
	charge int  // in force: code from here on runs exactly as often as it is paid; or nothing
	above  int  // the last charge on all paths to here, in the same loop
	since  int  // the most that may have run without a check

	// Of the segment.
	segment int    // the charge at its start, unused so far
	cost    uint32 // of its instructions
	callees int    // what its callees may run without a check
}

// plan reads the code of a function, which ends with its end, and fills in edits.
func (p *planner) plan(code []byte) error {
	p.r = reader{b: code}
	p.edits = append(p.edits[:0], edit{op: editCharge, cost: 1})
	p.frames = append(p.frames[:0], frame{op: opBlock, charge: nothing})
	p.total, p.calls, p.bulk, p.toBody, p.covered = 1, false, false, false, false
	p.dead, p.charge, p.above, p.since = false, 0, 0, 0
	p.segment = 0
	p.open()
	for len(p.frames) > 0 {
		if err := p.instruction(); err != nil {
			return err
		}
	}
	if p.r.more() {
		return fmt.Errorf("offset 0x%x: code goes on after the end of the function", p.r.p)
	}
	if !p.covered && (p.calls || p.total > leaf) {
		p.edits[0].checked = true
	}
	return nil
}

func (p *planner) instruction() error {
	at := p.r.p
	op := p.r.byte()
	kind := plain[op]
	second := -1
	ok := true
	switch op {
	case opMisc:
		var m byte
		if m, ok = p.r.miscOpcode(); ok {
			kind, second = misc[m], int(m)
		}
	case opVector:
		var v byte
		if v, ok = p.r.vectorOpcode(); ok {
			kind, second = vector[v], int(v)
		}
	}
	if p.r.err == nil && (!ok || kind == unknown) {
		return p.unknown(at, op)
	}
	if err := p.step(at, op, kind, second); err != nil {
		return fmt.Errorf("offset 0x%x: opcode 0x%02x: %w", at, op, err)
	}
	if p.r.err != nil {
		return fmt.Errorf("offset 0x%x: opcode 0x%02x: %w", at, op, p.r.err)
	}
	return nil
}

func (p *planner) unknown(at int, op byte) error {
	name := fmt.Sprintf("0x%02x", op)
	if op == opMisc || op == opVector {
		name += fmt.Sprintf(" 0x%02x", p.r.b[at+1])
	}
	return fmt.Errorf("offset 0x%x: opcode %s is not one of WebAssembly 2.0, which is what this engine runs: build without the proposals after it", at, name)
}

// step reads the immediates of an instruction and accounts for it.
func (p *planner) step(at int, op byte, kind immediates, second int) error {
	switch op {
	case opNop, opDrop:
	case opBlock, opLoop, opIf:
		p.r.immediates(kind)
		return p.enter(op)
	case opElse:
		return p.otherwise()
	case opEnd:
		p.leave()
	case opBr, opBrIf:
		p.count(1)
		label := p.r.u32()
		if err := p.branch(label); err != nil {
			return err
		}
		p.split(op == opBr)
	case opBrTable:
		p.count(1)
		if err := p.table(); err != nil {
			return err
		}
		p.split(true)
	case opReturn:
		if !p.dead {
			p.escape(nothing)
		}
		p.split(true)
	case opUnreachable:
		p.split(true)
	case opCall:
		f := p.r.u32()
		if f >= p.funcs {
			return fmt.Errorf("calls function %d of %d", f, p.funcs)
		}
		p.count(1)
		if f < p.imports {
			p.count(hostCall)
		}
		p.called()
	case opCallIndirect:
		p.r.immediates(kind)
		p.count(1)
		p.called()
	case opGlobalGet, opGlobalSet:
		if g := p.r.u32(); g >= p.globals {
			return fmt.Errorf("names global %d of %d", g, p.globals)
		}
		p.count(1)
	case opMemoryGrow:
		p.r.immediates(kind)
		p.sized(at, op, 0)
	case opMisc:
		p.r.immediates(kind)
		switch second {
		case miscMemoryInit, miscMemoryCopy, miscMemoryFill, miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
			p.sized(at, op, byte(second))
		default:
			p.count(1)
		}
	default:
		p.r.immediates(kind)
		p.count(1)
	}
	return nil
}

// count adds instructions to the segment.
func (p *planner) count(n uint32) {
	if !p.dead {
		p.cost += n
		p.total += uint64(n)
	}
}

// checks tells whether anything in the function may trap for want of fuel.
func (p *planner) checks() bool {
	for i := range p.edits {
		if p.edits[i].checked || p.edits[i].op != editCharge {
			return true
		}
	}
	return false
}

// label is that of the body of the function.
func (p *planner) label() uint32 { return uint32(len(p.frames) - 1) }

// called accounts for what a callee may run without a check.
func (p *planner) called() {
	if p.dead {
		return
	}
	p.calls = true
	if p.callees += leaf; p.callees > patience/2 {
		p.close()
		p.open()
	}
}

// sized plans the charge of an instruction by its operand.
func (p *planner) sized(at int, op, second byte) {
	p.count(1)
	if p.dead {
		return
	}
	p.bulk = true
	p.edits = append(p.edits, edit{pos: uint32(at), op: op, second: second, label: p.label()})
}

// open begins a segment: code that runs from its start to its end, once it is entered.
func (p *planner) open() {
	p.cost, p.callees = 0, 0
	if s := p.segment; s == 0 || s != len(p.edits)-1 || p.edits[s].cost > 0 {
		p.segment = len(p.edits)
		p.edits = append(p.edits, edit{})
	}
	p.edits[p.segment] = edit{pos: uint32(p.r.p), op: editCharge, label: p.label()}
}

// close ends a segment and has it paid: by the charge in force, when that leaves it
// within what may be paid for nothing, or by a charge of its own at its start.
func (p *planner) close() {
	if p.dead || p.cost == 0 {
		return
	}
	p.since += int(p.cost) + p.callees
	switch {
	case p.since > patience:
		p.own()
		p.edits[p.charge].checked = true
		p.since = p.callees
	case p.charge != nothing:
		p.edits[p.charge].cost += p.cost
	case p.edits[p.above].hoisted+p.cost <= hoist:
		p.edits[p.above].cost += p.cost
		p.edits[p.above].hoisted += p.cost
	default:
		p.own()
	}
	p.cost, p.callees = 0, 0
}

// own gives the segment a charge of its own.
func (p *planner) own() {
	p.charge, p.above = p.segment, p.segment
	p.edits[p.segment].cost = p.cost
}

// enter begins a block.
func (p *planner) enter(op byte) error {
	if len(p.frames) == maxNesting {
		return fmt.Errorf("begins a block within %d others: the limit is %d", maxNesting, maxNesting)
	}
	if op == opIf {
		p.count(1)
	}
	p.close()
	p.frames = append(p.frames, frame{op: op, dead: p.dead, charge: p.charge, above: p.above, reach: len(p.frames), since: p.since})
	if p.dead {
		return nil
	}
	switch op {
	case opIf:
		p.charge = nothing
	case opLoop:
		p.head()
	}
	p.open()
	return nil
}

// head charges at the head of a loop, each time round.
func (p *planner) head() {
	if p.charge == 0 && !p.calls {
		p.covered = true
	}
	p.charge, p.above = len(p.edits), len(p.edits)
	p.edits = append(p.edits, edit{pos: uint32(p.r.p), op: editCharge, checked: true, label: p.label()})
	p.since = 0
}

// branch accounts for an edge to a label.
func (p *planner) branch(label uint32) error {
	if uint64(label) >= uint64(len(p.frames)) {
		return fmt.Errorf("branches to label %d of %d", label, len(p.frames))
	}
	target := len(p.frames) - 1 - int(label)
	p.toBody = p.toBody || target == 0
	if p.dead {
		return nil
	}
	p.close()
	p.escape(target)
	if f := &p.frames[target]; f.op != opLoop {
		p.join(f)
	}
	return nil
}

// escape notes that a path leaves the blocks inside the one with this index.
func (p *planner) escape(to int) {
	f := &p.frames[len(p.frames)-1]
	f.reach = min(f.reach, to)
}

// join adds an edge from here to the end of f.
func (p *planner) join(f *frame) {
	f.joined = true
	f.atEnd = max(f.atEnd, p.since)
}

func (p *planner) table() error {
	for n := p.r.count(); ; n-- {
		label := p.r.u32()
		if p.r.err != nil {
			return nil
		}
		if err := p.branch(label); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// split ends a segment at a branch, after which the code is reached on fewer paths,
// or on none.
func (p *planner) split(dead bool) {
	if p.dead {
		return
	}
	p.close()
	p.charge = nothing
	if p.dead = dead; !dead {
		p.open()
	}
}

// otherwise goes from the first arm of an if to the second.
func (p *planner) otherwise() error {
	f := &p.frames[len(p.frames)-1]
	if f.op != opIf {
		return errors.New("is an else without an if")
	}
	p.close()
	if !p.dead {
		p.join(f)
	}
	f.op = opElse
	p.dead, p.charge, p.above, p.since = f.dead, nothing, f.above, f.since
	if !p.dead {
		p.open()
	}
	return nil
}

// leave ends a block.
func (p *planner) leave() {
	f := &p.frames[len(p.frames)-1]
	p.close()
	if !p.dead {
		p.join(f)
	}
	if f.op == opIf && !f.dead { // without an else, it may be passed by
		p.since = f.since
		p.join(f)
	}
	p.dead, p.since, p.charge, p.above = !f.joined, f.atEnd, f.charge, f.above
	if f.reach < len(p.frames)-1 {
		p.charge = nothing
	}
	if len(p.frames) > 1 {
		outer := &p.frames[len(p.frames)-2]
		outer.reach = min(outer.reach, f.reach)
	}
	p.frames = p.frames[:len(p.frames)-1]
	if len(p.frames) > 0 && !p.dead {
		p.open()
	}
}
