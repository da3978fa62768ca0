package fuel

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Sections and kinds of the binary format (WebAssembly Core Specification 2.0, §5.5).
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12

	kindFunc   = 0
	kindTable  = 1
	kindMemory = 2
	kindGlobal = 3

	formFunc      = 0x60
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeV128      = 0x7b
	typeFuncref   = 0x70
	typeExternref = 0x6f
	mutable       = 1
)

// order is the place of each section in a module: the number of the data count
// section came later than its place.
var order = [...]int{
	sectionType: 1, sectionImport: 2, sectionFunction: 3, sectionTable: 4, sectionMemory: 5, sectionGlobal: 6,
	sectionExport: 7, sectionStart: 8, sectionElement: 9, sectionDataCount: 10, sectionCode: 11, sectionData: 12,
}

// section is a section of the module, where it is in the file.
type section struct {
	id   byte
	body []byte
}

// layout is what the rewriting needs to know of a module outside its code.
type layout struct {
	sections []section
	sigs     []signature
	funcs    []uint32 // type of each function of the module's own
	imported uint32   // functions
	globals  uint32   // imported ones too
	imports  uint32   // of globals
	bodies   uint32   // announced by the code section
}

// signature is the type of a function: how many parameters, and its results.
type signature struct {
	params  uint32
	results []byte
}

// proposal names the proposal that a section of another version is of.
func proposal(id byte) string {
	if id == 13 { // tags
		return " (here exceptions)"
	}
	return ""
}

// parse reads the outer structure. Every count is held against the bytes that are
// left before anything is allocated for it.
func parse(module []byte) (*layout, error) {
	if len(module) < 8 || string(module[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, errors.New("is not a WebAssembly module of version 1")
	}
	l := &layout{}
	r := &reader{b: module, p: 8}
	last := 0
	for r.more() {
		id := r.byte()
		body := r.take(r.u32())
		if r.err != nil {
			return nil, fmt.Errorf("section %d: %w", id, r.err)
		}
		if int(id) >= len(order) {
			return nil, fmt.Errorf("section %d is not one of WebAssembly 2.0, which is what this engine runs: build without the proposals after it%s", id, proposal(id))
		}
		if id != sectionCustom {
			if order[id] <= last {
				return nil, fmt.Errorf("section %d is out of order", id)
			}
			last = order[id]
		}
		s := section{id, body}
		if stale(s) {
			continue
		}
		if err := l.read(s); err != nil {
			return nil, fmt.Errorf("section %d: %w", id, err)
		}
		l.sections = append(l.sections, s)
	}
	if int(l.bodies) != len(l.funcs) {
		return nil, fmt.Errorf("declares %d functions and has the code of %d", len(l.funcs), l.bodies)
	}
	return l, nil
}

// stale tells what is not true any more of rewritten code: debugging information,
// which names places in it.
func stale(s section) bool {
	if s.id != sectionCustom {
		return false
	}
	r := &reader{b: s.body}
	name := string(r.take(r.u32()))
	return strings.HasPrefix(name, ".debug_") || strings.HasPrefix(name, "reloc.") || name == "sourceMappingURL" || name == "linking"
}

func (l *layout) read(s section) error {
	r := &reader{b: s.body}
	switch s.id {
	case sectionCustom, sectionStart, sectionDataCount, sectionTable, sectionMemory:
		return nil
	}
	n := r.count()
	switch s.id {
	case sectionCode:
		l.bodies = n
		return r.err
	case sectionGlobal:
		l.globals += n
	case sectionType:
		l.sigs = make([]signature, 0, n)
	case sectionFunction:
		l.funcs = make([]uint32, 0, n)
	}
	for range n {
		if err := l.entry(s.id, r); err != nil {
			return err
		}
		if r.err != nil {
			return r.err
		}
	}
	if r.err == nil && r.more() {
		return fmt.Errorf("goes on after its %d entries", n)
	}
	return r.err
}

func (l *layout) entry(id byte, r *reader) error {
	switch id {
	case sectionType:
		return l.typeEntry(r)
	case sectionImport:
		return l.importEntry(r)
	case sectionFunction:
		t := r.u32()
		if r.err == nil && uint64(t) >= uint64(len(l.sigs)) {
			return fmt.Errorf("names type %d of %d", t, len(l.sigs))
		}
		l.funcs = append(l.funcs, t)
	case sectionGlobal:
		r.skip(2)
		return l.constant(r)
	case sectionExport:
		return l.exportEntry(r)
	case sectionElement:
		return l.elementEntry(r)
	case sectionData:
		return l.dataEntry(r)
	}
	return nil
}

func (l *layout) typeEntry(r *reader) error {
	if form := r.byte(); r.err == nil && form != formFunc {
		return fmt.Errorf("type of form 0x%02x: only functions are supported", form)
	}
	params := r.count()
	r.skip(params)
	l.sigs = append(l.sigs, signature{params, r.take(r.count())})
	return nil
}

func (l *layout) importEntry(r *reader) error {
	r.skip(r.u32())
	r.skip(r.u32())
	switch kind := r.byte(); kind {
	case kindFunc:
		r.u32()
		l.imported++
	case kindTable:
		r.byte()
		r.limits()
	case kindMemory:
		r.limits()
	case kindGlobal:
		r.skip(2)
		l.globals++
		l.imports++
	default:
		return fmt.Errorf("imports something of kind %d, which is not of WebAssembly 2.0", kind)
	}
	return nil
}

func (l *layout) exportEntry(r *reader) error {
	name := r.take(r.u32())
	kind := r.byte()
	i := r.u32()
	if kind == kindGlobal && i >= l.globals {
		return fmt.Errorf("export %q names global %d of %d", name, i, l.globals)
	}
	if string(name) == Global {
		return fmt.Errorf("exports %q, a name that is the engine's own: rename it", name)
	}
	return nil
}

// elementEntry skips a segment of a table (§5.5.12).
func (l *layout) elementEntry(r *reader) error {
	flags := r.u32()
	if flags > 7 {
		return fmt.Errorf("has an element segment of kind %d", flags)
	}
	if flags&1 == 0 {
		if flags&2 != 0 {
			r.u32() // table
		}
		if err := l.constant(r); err != nil {
			return err
		}
	}
	if flags&3 != 0 {
		r.byte() // kind or type
	}
	for range r.count() {
		if flags&4 == 0 {
			r.u32()
		} else if err := l.constant(r); err != nil {
			return err
		}
		if r.err != nil {
			break
		}
	}
	return nil
}

// dataEntry skips a segment of a memory (§5.5.14).
func (l *layout) dataEntry(r *reader) error {
	flags := r.u32()
	if flags > 2 {
		return fmt.Errorf("has a data segment of kind %d", flags)
	}
	if flags == 2 {
		r.u32() // memory
	}
	if flags != 1 {
		if err := l.constant(r); err != nil {
			return err
		}
	}
	r.skip(r.u32())
	return nil
}

// constant skips a constant expression (§3.3.10).
func (l *layout) constant(r *reader) error {
	for {
		switch op := r.byte(); op {
		case opEnd:
			return nil
		case opGlobalGet:
			if g := r.u32(); r.err == nil && g >= l.globals {
				return fmt.Errorf("names global %d of %d", g, l.globals)
			}
		case opI32Const, opI64Const, opF32Const, opF64Const, opRefNull, opRefFunc:
			r.immediates(plain[op])
		case opVector:
			if r.byte() != vectorConst {
				return errors.New("has a constant expression that is not one of WebAssembly 2.0")
			}
			r.skip(16)
		default:
			if r.err == nil {
				return fmt.Errorf("has opcode 0x%02x in a constant expression", op)
			}
		}
		if r.err != nil {
			return r.err
		}
	}
}

// locals reads the locals that a function declares and returns how many there are,
// with its parameters.
func locals(r *reader, params uint32) (uint32, error) {
	total := uint64(params)
	for range r.count() {
		total += uint64(r.u32())
		r.byte()
		if r.err != nil {
			break
		}
	}
	if r.err == nil && total >= math.MaxUint32 {
		return 0, fmt.Errorf("declares %d locals", total)
	}
	return uint32(total), r.err
}
