package fuel

// emitter writes the code of functions with their charges.
type emitter struct {
	out    []byte
	global uint32 // the counter

	// Of the function.
	scratch uint32 // an i32 local, when there are charges by size
	shared  bool   // all checks branch to one trap, behind the body
	trap    uint32 // its label, seen from the outermost block of the body
}

// code writes the code of a function, as the planner saw it, with its edits.
//
// A trap behind each check would lie in the way of what is run, and be some forty
// bytes of machine code each time: the checks share one, outside of a block around
// the body:
//
//	block             ;; to its end go the checks
//	  block (result)  ;; to its end go branches to the label of the body, if any
//	    body
//	  end
//	  return
//	end
//	unreachable
//
// The inner block would need a type of its own for several results; such a
// function, if it has branches to that label, traps behind each check after all.
func (e *emitter) code(code []byte, p *planner, results []byte) {
	e.shared = p.checks() && (!p.toBody || len(results) <= 1)
	if !e.shared {
		e.edited(code, p.edits)
		return
	}
	e.trap = 0
	e.out = append(e.out, opBlock, typeVoid)
	if p.toBody {
		e.trap = 1
		e.out = append(e.out, opBlock)
		if len(results) == 0 {
			e.out = append(e.out, typeVoid)
		}
		e.out = append(e.out, results...)
	}
	e.edited(code[:len(code)-1], p.edits) // without its end
	if p.toBody {
		e.out = append(e.out, opEnd)
	}
	e.out = append(e.out, opReturn, opEnd, opUnreachable, opEnd)
}

func (e *emitter) edited(code []byte, edits []edit) {
	from := 0
	for i := range edits {
		d := &edits[i]
		if d.op == editCharge && d.cost == 0 && !d.checked {
			continue
		}
		e.out = append(e.out, code[from:d.pos]...)
		from = int(d.pos)
		if d.op == editCharge {
			e.charge(d)
		} else {
			e.sized(d)
		}
	}
	e.out = append(e.out, code[from:]...)
}

func (e *emitter) counter(op byte) { e.out = appendU32(append(e.out, op), e.global) }

func (e *emitter) charge(d *edit) {
	if d.cost > 0 {
		e.counter(opGlobalGet)
		e.out = append(appendS64(append(e.out, opI64Const), int64(d.cost)), opI64Sub)
		e.counter(opGlobalSet)
	}
	if d.checked {
		e.check(d.label)
	}
}

// check traps when the counter is below zero.
func (e *emitter) check(label uint32) {
	e.counter(opGlobalGet)
	e.out = append(e.out, opI64Const, 0, opI64LtS)
	if e.shared {
		e.out = appendU32(append(e.out, opBrIf), label+e.trap)
		return
	}
	e.out = append(e.out, opIf, typeVoid, opUnreachable, opEnd)
}

// sized charges an instruction by the operand on top of the stack, which for all of
// them is the number of bytes, pages or entries, before it runs. The operand has 32
// bits and is unsigned, the arithmetic has 64: it cannot overflow.
func (e *emitter) sized(d *edit) {
	e.out = appendU32(append(e.out, opLocalTee), e.scratch)
	e.counter(opGlobalGet)
	e.out = append(appendU32(append(e.out, opLocalGet), e.scratch), opI64ExtendU)
	switch {
	case d.op == opMemoryGrow:
		e.out = append(e.out, opI64Const, pageShift, opI64Shl)
	case d.second == miscTableGrow:
	case d.second == miscTableFill, d.second == miscTableCopy, d.second == miscTableInit:
		e.out = append(e.out, opI64Const, entryShift, opI64ShrU)
	default:
		e.out = append(e.out, opI64Const, byteShift, opI64ShrU)
	}
	e.out = append(e.out, opI64Sub)
	e.counter(opGlobalSet)
	e.check(d.label)
}

// Charges by size, as shifts of the operand.
const (
	pageShift  = 10 // memory.grow: a page is 1024, which is 64 bytes for 1
	byteShift  = 6  // memory.fill, memory.copy, memory.init: 64 bytes are 1
	entryShift = 3  // table.fill, table.copy, table.init: 8 entries are 1; for table.grow one is
)
