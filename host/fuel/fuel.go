package fuel

import (
	"fmt"
	"math"
)

// Global is the name under which a rewritten module exports its counter, a mutable
// i64: what is left of the budget. Below zero, it is used up.
const Global = "gnomon_fuel"

// Bounds on what is rewritten. No toolchain comes near the last two.
const (
	maxModule = 64 << 20  // bytes
	maxBody   = 7_654_321 // bytes of one function, what browsers accept (WebAssembly JavaScript Interface)
	maxGrowth = 8         // the rewritten module is at most so many times as large, and 64 KiB
)

// Rewrite returns a module that does what the given one does and counts down the
// global named Global, which is start when it is instantiated: that is the budget of
// its start function, before any other can be set. See the package's documentation
// for what is charged.
//
// The result depends on nothing but the arguments. It is linear in time, and what it
// allocates is bounded by the size of the module. The module need not be valid: what
// is not well-formed as far as Rewrite reads it is refused, the rest is left to the
// compiler. Everything but code is as it was, and no index changes: the counter is
// the last global. Custom sections stay, except for debugging information (.debug_*
// and the like), whose offsets are not true any more.
//
// Errors read as the continuation of the module's name, and name function, offset
// in its code and opcode where they can. Beside what is not WebAssembly 2.0, a
// module is refused that names a global which it does not have, for it would be the
// counter, or that exports something as Global.
func Rewrite(module []byte, start uint64) ([]byte, error) {
	if len(module) > maxModule {
		return nil, fmt.Errorf("has %d bytes: the limit for metering is %d", len(module), maxModule)
	}
	l, err := parse(module)
	if err != nil {
		return nil, err
	}
	w := &writer{
		layout:  l,
		start:   int64(min(start, MaxBudget)),
		limit:   maxGrowth*len(module) + 64<<10,
		emitter: emitter{global: l.globals},
		planner: planner{imports: l.imported, funcs: l.imported + uint32(len(l.funcs)), globals: l.globals},
	}
	w.out = append(make([]byte, 0, len(module)+len(module)/4+256), module[:8]...)
	if err := w.module(); err != nil {
		return nil, err
	}
	return w.out, nil
}

// writer puts the rewritten module together.
type writer struct {
	*layout
	emitter
	planner planner
	start   int64
	limit   int // bytes of the result
	place   int // in the order of sections: those before it are written
}

func (w *writer) module() error {
	for _, s := range w.sections {
		if s.id != sectionCustom {
			w.fillUp(order[s.id])
		}
		switch s.id {
		case sectionGlobal:
			w.globalSection(s.body)
		case sectionExport:
			w.exportSection(s.body)
		case sectionCode:
			if err := w.codeSection(s.body); err != nil {
				return err
			}
		default:
			w.out = append(appendU32(append(w.out, s.id), uint32(len(s.body))), s.body...)
		}
	}
	w.fillUp(math.MaxInt)
	return nil
}

// fillUp writes those of the sections for globals and exports that the module lacks
// before the given place, which is written next.
func (w *writer) fillUp(place int) {
	none := []byte{0}
	if w.place < order[sectionGlobal] && place > order[sectionGlobal] {
		w.globalSection(none)
	}
	if w.place < order[sectionExport] && place > order[sectionExport] {
		w.exportSection(none)
	}
	w.place = place
}

func (w *writer) globalSection(body []byte) {
	w.extend(sectionGlobal, body, append(appendS64([]byte{typeI64, mutable, opI64Const}, w.start), opEnd))
}

func (w *writer) exportSection(body []byte) {
	entry := append(appendU32(nil, uint32(len(Global))), Global...)
	w.extend(sectionExport, body, appendU32(append(entry, kindGlobal), w.global))
}

// extend writes a section with one entry more.
func (w *writer) extend(id byte, body, entry []byte) {
	r := &reader{b: body}
	count := appendU32(nil, r.u32()+1)
	rest := body[r.p:]
	w.out = appendU32(append(w.out, id), uint32(len(count)+len(rest)+len(entry)))
	w.out = append(append(append(w.out, count...), rest...), entry...)
}

func (w *writer) codeSection(body []byte) error {
	w.out = append(w.out, sectionCode)
	begin := w.reserve(lengthBytes)
	r := &reader{b: body}
	w.out = appendU32(w.out, r.u32())
	for i, typ := range w.funcs {
		f := r.take(r.u32())
		err := r.err
		if err == nil {
			err = w.function(f, w.sigs[typ])
		}
		if err != nil {
			return fmt.Errorf("function %d: %w", uint64(w.imported)+uint64(i), err)
		}
	}
	if r.more() {
		return fmt.Errorf("section %d: goes on after its %d functions", sectionCode, len(w.funcs))
	}
	w.measure(begin, lengthBytes)
	return nil
}

// function writes size, locals and code of a function.
func (w *writer) function(body []byte, sig signature) error {
	if len(body) > maxBody {
		return fmt.Errorf("has %d bytes: the limit is %d", len(body), maxBody)
	}
	r := &reader{b: body}
	scratch, err := locals(r, sig.params)
	if err != nil {
		return err
	}
	declared, code := body[:r.p], body[r.p:]
	if err := w.planner.plan(code); err != nil {
		return err
	}
	width := 3 // of the length of most functions
	if len(body) > 1<<(7*3)/maxGrowth-64 {
		width = lengthBytes
	}
	begin := w.reserve(width)
	w.scratch = scratch
	if w.planner.bulk {
		r := &reader{b: declared}
		w.out = appendU32(w.out, r.u32()+1)
		w.out = append(append(w.out, declared[r.p:]...), 1, typeI32)
	} else {
		w.out = append(w.out, declared...)
	}
	w.code(code, &w.planner, sig.results)
	if len(w.out) > w.limit || len(w.out)-begin >= 1<<(7*width) {
		return fmt.Errorf("would grow too much: the limit is %d times the size of the module", maxGrowth)
	}
	w.measure(begin, width)
	return nil
}

// lengthBytes is the width of a length that may be any.
const lengthBytes = 5

// reserve leaves room for a length that is written when it is known: LEB128 numbers
// may be wider than they need to be. It returns where what is measured begins.
func (w *writer) reserve(width int) int {
	for range width {
		w.out = append(w.out, 0)
	}
	return len(w.out)
}

func (w *writer) measure(begin, width int) {
	n := len(w.out) - begin
	for i := range width {
		w.out[begin-width+i] = byte(n>>(7*i))&0x7f | 0x80
	}
	w.out[begin-1] &= 0x7f
}
