package fuel

import "fmt"

// eachInstruction calls fn for each instruction of a function: with its opcode, and, after
// a prefix, what follows that.
func eachInstruction(body []byte, fn func(op, sub byte)) error {
	r := &reader{b: body}
	if _, err := locals(r, 0); err != nil {
		return err
	}
	code := body[r.p:]
	r = &reader{b: code}
	for r.more() {
		at := r.p
		op, sub, ok := r.instruction()
		if !ok {
			return fmt.Errorf("offset 0x%x: opcode 0x%02x is not one of WebAssembly 2.0", at, code[at])
		}
		if r.err != nil {
			return fmt.Errorf("offset 0x%x: opcode 0x%02x: %w", at, code[at], r.err)
		}
		fn(op, sub)
	}
	return r.err
}

// instruction skips an instruction; ok is false when there is no such opcode.
func (r *reader) instruction() (op, sub byte, ok bool) {
	op = r.byte()
	follows := plain[op]
	ok = true
	switch op {
	case opMisc:
		if sub, ok = r.miscOpcode(); ok {
			follows = misc[sub]
		}
	case opVector:
		sub, ok = r.vectorOpcode()
		follows = vector[sub]
	case opBrTable:
		for range r.count() {
			r.u32()
		}
		r.u32()
		return op, sub, true
	}
	r.immediates(follows)
	return op, sub, ok && follows != unknown
}

// ChangesTables tells whether code of a module may change a table, or drop a segment: then
// there is more to an instance than its memory and its globals. Errors are those of Rewrite.
func ChangesTables(module []byte) (bool, error) {
	changes := false
	err := eachFunction(module, func(body []byte) error {
		return eachInstruction(body, func(op, sub byte) { changes = changes || changesTable(op, sub) })
	})
	return changes && err == nil, err
}

// eachFunction hands on the functions of a module one by one, their locals and code, until
// one is refused.
func eachFunction(module []byte, fn func(body []byte) error) error {
	l, err := parse(module)
	if err != nil {
		return err
	}
	for _, s := range l.sections {
		if s.id != sectionCode {
			continue
		}
		r := &reader{b: s.body}
		r.u32()
		for i := range l.funcs {
			if err := fn(r.take(r.u32())); err != nil {
				return fmt.Errorf("function %d: %w", int(l.imported)+i, err)
			}
		}
	}
	return nil
}

func changesTable(op, sub byte) bool {
	const tableSet, dataDrop, elemDrop = 0x26, 9, 13
	if op != opMisc {
		return op == tableSet
	}
	switch sub {
	case dataDrop, elemDrop, miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
		return true
	}
	return false
}
