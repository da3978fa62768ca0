package host

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gnomon/sdk/abi"
)

// Bounds on what a module may declare. They keep the compiler from being led
// into unbounded memory or time by a small file; no toolchain comes near them.
const (
	maxLocals = 5_000 // of one function
	maxTables = 8     //
	maxParams = 1_000 // of one type, and as many results
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
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12

	kindFunc   = 0
	kindTable  = 1
	kindMemory = 2
	kindGlobal = 3

	pageSize = 65536
)

// Signature is the type of a function.
type Signature struct{ Params, Results []abi.ValueType }

// Import is something that a module asks for.
type Import struct {
	Module, Name string
	Kind         byte // 0 function, 1 table, 2 memory, 3 global
	Type         Signature
}

// Export is something that a module offers.
type Export struct {
	Name string
	Kind byte
	Type Signature // of a function
}

// Binary is what a module says of itself.
type Binary struct {
	Imports  []Import
	Exports  []Export
	Memories int
	MinPages uint64 // of the first memory, 64 KiB each
	MaxPages uint64 // 0 when none is declared
	Table    uint64 // entries of the largest table at its start
	Start    bool   // runs code when instantiated

	types []Signature
	funcs []uint32 // type of each function, imported ones first
}

var (
	errShort = errors.New("ends in the middle of a field")
	errLong  = errors.New("has a number of more than five bytes")
)

// Inspect reads the outer structure of a module: sizes, types, imports, exports
// and memories. It trusts no length: every count is held against the bytes that
// are left, so that its cost is linear in the size of the file. It does not
// validate code; the compiler does.
func Inspect(module []byte) (*Binary, error) {
	if err := checkPreamble(module); err != nil {
		return nil, err
	}
	b := &Binary{}
	r := &reader{b: module[8:]}
	for len(r.b) > 0 {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			return nil, fmt.Errorf("section %d: reaches past the end of the file", id)
		}
		s := &reader{b: body}
		if err := b.section(id, s); err != nil {
			return nil, fmt.Errorf("section %d: %w", id, err)
		}
	}
	return b, nil
}

func checkPreamble(module []byte) error {
	switch {
	case len(module) == 0:
		return errors.New("is empty: the build may have failed")
	case module[0] == '(':
		return errors.New("is in the text format: assemble it with wat2wasm")
	case len(module) < 8 || string(module[:4]) != "\x00asm":
		return errors.New("is not a WebAssembly module: it must begin with the bytes 00 61 73 6d")
	}
	if layer := binary.LittleEndian.Uint16(module[6:]); layer != 0 {
		return errors.New("is a WebAssembly component: build a core module instead, without the component step (for Rust the target wasm32-unknown-unknown or wasm32-wasip1)")
	}
	if v := binary.LittleEndian.Uint16(module[4:]); v != 1 {
		return fmt.Errorf("has version %d of the binary format: this engine reads version 1", v)
	}
	return nil
}

// section reads the body of one section.
func (b *Binary) section(id byte, s *reader) error {
	switch id {
	case sectionCustom, sectionDataCount:
		return nil
	case sectionStart:
		b.Start = true
		return nil
	}
	n := s.u32()
	if s.err != nil || n > uint64(len(s.b)) {
		return fmt.Errorf("declares %d entries in %d bytes", n, len(s.b))
	}
	if id == sectionTable && n > maxTables {
		return fmt.Errorf("declares %d tables, the limit is %d", n, maxTables)
	}
	read := b.entryReader(id)
	if read == nil {
		return nil // globals, elements and data: counted above, validated by the compiler
	}
	for range n {
		if err := read(s); err != nil {
			return err
		}
		if s.err != nil {
			return s.err
		}
	}
	return nil
}

func (b *Binary) entryReader(id byte) func(*reader) error {
	switch id {
	case sectionType:
		return b.typeEntry
	case sectionImport:
		return b.importEntry
	case sectionFunction:
		return func(s *reader) error { b.funcs = append(b.funcs, uint32(s.u32())); return nil }
	case sectionTable:
		return b.tableEntry
	case sectionMemory:
		return b.memoryEntry
	case sectionExport:
		return b.exportEntry
	case sectionCode:
		return codeEntry
	}
	return nil
}

func (b *Binary) typeEntry(s *reader) error {
	if form := s.byte(); form != 0x60 {
		return fmt.Errorf("type of form 0x%02x: only functions are supported, without the GC and exception proposals", form)
	}
	params, err := s.valueTypes()
	if err != nil {
		return err
	}
	results, err := s.valueTypes()
	if err != nil {
		return err
	}
	b.types = append(b.types, Signature{params, results})
	return nil
}

func (b *Binary) importEntry(s *reader) error {
	i := Import{Module: s.name(), Name: s.name(), Kind: s.byte()}
	switch i.Kind {
	case kindFunc:
		t := uint32(s.u32())
		b.funcs = append(b.funcs, t)
		i.Type, _ = b.typeAt(t)
	case kindTable:
		if err := b.tableEntry(s); err != nil {
			return err
		}
	case kindMemory:
		s.limits()
	case kindGlobal:
		s.byte()
		s.byte()
	default:
		return fmt.Errorf("import %q has kind %d, which this engine does not know", i.Name, i.Kind)
	}
	b.Imports = append(b.Imports, i)
	return nil
}

func (b *Binary) memoryEntry(s *reader) error {
	lo, hi := s.limits()
	if b.Memories++; b.Memories == 1 {
		b.MinPages, b.MaxPages = lo, hi
	}
	return nil
}

func (b *Binary) exportEntry(s *reader) error {
	e := Export{Name: s.name(), Kind: s.byte()}
	index := s.u32()
	if e.Kind == kindFunc {
		if index >= uint64(len(b.funcs)) {
			return fmt.Errorf("export %q names function %d of %d", e.Name, index, len(b.funcs))
		}
		var ok bool
		if e.Type, ok = b.typeAt(b.funcs[index]); !ok {
			return fmt.Errorf("export %q names type %d of %d", e.Name, b.funcs[index], len(b.types))
		}
	}
	b.Exports = append(b.Exports, e)
	return nil
}

func (b *Binary) typeAt(index uint32) (Signature, bool) {
	if uint64(index) >= uint64(len(b.types)) {
		return Signature{}, false
	}
	return b.types[index], true
}

func (b *Binary) tableEntry(s *reader) error {
	t, err := s.table()
	b.Table = max(b.Table, t.lo)
	return err
}

func codeEntry(s *reader) error {
	f := &reader{b: s.bytes(s.u32())}
	if s.err != nil {
		return s.err
	}
	var locals uint64
	for range f.u32() {
		locals += f.u32()
		f.byte()
		if f.err != nil {
			return f.err
		}
		if locals > maxLocals {
			return fmt.Errorf("declares a function with %d locals or more, the limit is %d", locals, maxLocals)
		}
	}
	return f.err
}

// reader takes fields off the front of b. After an error it yields zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) byte() byte {
	p := r.bytes(1)
	if len(p) == 0 {
		return 0
	}
	return p[0]
}

func (r *reader) bytes(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)) {
		r.err, r.b = errShort, nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// u32 reads an unsigned LEB128 number of at most five bytes.
func (r *reader) u32() uint64 {
	var v uint64
	for i := range 5 {
		c := r.byte()
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v
		}
	}
	r.err, r.b = errLong, nil
	return 0
}

// s32 reads a signed LEB128 number of at most five bytes.
func (r *reader) s32() int32 {
	var v int64
	for i := range 5 {
		c := r.byte()
		v |= int64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c&0x40 != 0 {
				v -= 1 << (7 * (i + 1))
			}
			return int32(v)
		}
	}
	r.err, r.b = errLong, nil
	return 0
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

func (r *reader) limits() (lo, hi uint64) {
	flags := r.byte()
	lo = r.u32()
	if flags&1 != 0 {
		hi = r.u32()
	}
	return lo, hi
}

func (r *reader) valueTypes() ([]abi.ValueType, error) {
	n := r.u32()
	if n > maxParams {
		return nil, fmt.Errorf("declares a type with %d parameters or results, the limit is %d", n, maxParams)
	}
	types := make([]abi.ValueType, 0, n)
	for _, c := range r.bytes(n) {
		types = append(types, abi.ValueType(c))
	}
	return types, r.err
}
