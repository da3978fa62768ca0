package js

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// pageSize is that of WebAssembly's memory, in bytes.
const pageSize = 64 << 10

// Sections of a module, by their number in the binary format.
const (
	sectionImport   = 2
	sectionFunction = 3
	sectionMemory   = 5
	sectionExport   = 7
	sectionCode     = 10
	sectionData     = 11
)

// attach makes a module of the runtime and sources. They lie behind the memory that the
// linker laid out, where the runtime looks for them, in pages that are there from the
// start: the heap begins before them, and goes on behind them.
func attach(f flags, sources []source) ([]byte, error) {
	m, err := readModule(quickjs)
	if err != nil {
		return nil, fmt.Errorf("the runtime of JavaScript: %w", err)
	}
	attached := encodeSources(f, sources)
	at, err := m.reserve(len(attached))
	if err != nil {
		return nil, fmt.Errorf("the runtime of JavaScript: %w", err)
	}
	m.addData(at, attached)
	if f&flagEmit == 0 {
		if err := m.replaceLastImport("emit"); err != nil {
			return nil, fmt.Errorf("the runtime of JavaScript: %w", err)
		}
	}
	m.dropExports(f.absent()...)
	return m.bytes(), nil
}

// absent are the exports of the runtime that a module does not have.
func (f flags) absent() (names []string) {
	for _, e := range []struct {
		there bool
		names []string
	}{
		{f&flagQuery != 0, []string{"query"}},
		{f&flagMemory != 0, []string{"snapshot", "restore"}},
		{f&flagMigrate != 0, []string{"migrate"}},
		{f&flagUpcast != 0, []string{"upcast"}},
		{f&flagUpcast == 0, []string{"apply"}},
	} {
		if !e.there {
			names = append(names, e.names...)
		}
	}
	return names
}

// module is a module as a list of sections, of which it can change a few: those of the
// runtime, which is known to be well formed.
type module struct{ sections []section }

type section struct {
	id   byte
	body []byte
}

func readModule(b []byte) (*module, error) {
	const header = "\x00asm\x01\x00\x00\x00"
	b, ok := bytes.CutPrefix(b, []byte(header))
	if !ok {
		return nil, fmt.Errorf("no WebAssembly")
	}
	m := &module{}
	for len(b) > 0 {
		size, n := binary.Uvarint(b[1:])
		body := b[1+n:]
		if n <= 0 || size > uint64(len(body)) {
			return nil, fmt.Errorf("section %d is cut off", b[0])
		}
		m.sections = append(m.sections, section{b[0], body[:size]})
		b = body[size:]
	}
	return m, nil
}

func (m *module) bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range m.sections {
		out = binary.AppendUvarint(append(out, s.id), uint64(len(s.body)))
		out = append(out, s.body...)
	}
	return out
}

func (m *module) section(id byte) *section {
	i := slices.IndexFunc(m.sections, func(s section) bool { return s.id == id })
	if i < 0 {
		return &section{id: id, body: []byte{0}}
	}
	return &m.sections[i]
}

// heapHeader is what the runtime leaves of the last page to the allocator, in bytes: see
// keep in runtime/main.c.
const heapHeader = 4 << 10

// reserve adds pages for so many bytes, and returns their address.
func (m *module) reserve(size int) (at uint64, err error) {
	s := m.section(sectionMemory)
	if len(s.body) < 3 || s.body[0] != 1 || s.body[1] != 0 {
		return 0, fmt.Errorf("one memory without a maximum is expected")
	}
	pages, _ := binary.Uvarint(s.body[2:])
	more := (uint64(size) + heapHeader + pageSize - 1) / pageSize
	s.body = binary.AppendUvarint([]byte{1, 0}, pages+more)
	return pages * pageSize, nil
}

// addData adds an active segment.
func (m *module) addData(at uint64, data []byte) {
	s := m.section(sectionData)
	segment := append([]byte{0, 0x41}, signed(int64(at))...) // i32.const at
	segment = binary.AppendUvarint(append(segment, 0x0b), uint64(len(data)))
	s.body = appended(s.body, append(segment, data...))
}

// appended appends an entry to a vector: a count and its entries.
func appended(vector, entry []byte) []byte {
	count, n := binary.Uvarint(vector)
	out := append(binary.AppendUvarint(nil, count+1), vector[n:]...)
	return append(out, entry...)
}

// prepended puts an entry before those of a vector.
func prepended(vector, entry []byte) []byte {
	count, n := binary.Uvarint(vector)
	out := append(binary.AppendUvarint(nil, count+1), entry...)
	return append(out, vector[n:]...)
}

// signed is a number in signed LEB128.
func signed(v int64) (out []byte) {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// replaceLastImport puts a function of the module in the place of the last function that
// it imports, of the same type: one that answers "there is no state" (-4). Functions are
// numbered imports first, so no other number changes.
func (m *module) replaceLastImport(name string) error {
	imports := m.section(sectionImport)
	count, n := binary.Uvarint(imports.body)
	rest, last := imports.body[n:], []byte(nil)
	for range count {
		size := importSize(rest)
		if size == 0 {
			return fmt.Errorf("it imports something else than functions")
		}
		last, rest = rest[:size], rest[size:]
	}
	if !bytes.Contains(last, append([]byte{byte(len(name))}, name...)) {
		return fmt.Errorf("the last function that it imports is not %s", name)
	}
	entries := imports.body[n : len(imports.body)-len(last)]
	imports.body = append(binary.AppendUvarint(nil, count-1), entries...)

	kind := bytes.LastIndexByte(last[:len(last)-1], 0) // before the type's number
	functions := m.section(sectionFunction)
	functions.body = prepended(functions.body, last[kind+1:])
	code := m.section(sectionCode)
	code.body = prepended(code.body, []byte{4, 0, 0x41, 0x7c, 0x0b}) // size, no locals, i32.const -4, end
	return nil
}

// importSize is the size of an entry of the section of imports; 0 when it is no function.
func importSize(b []byte) int {
	at := 0
	for range 2 {
		size, n := binary.Uvarint(b[at:])
		at += n + int(size)
	}
	if b[at] != 0 {
		return 0
	}
	_, n := binary.Uvarint(b[at+1:])
	return at + 1 + n
}

func (m *module) dropExports(names ...string) {
	s := m.section(sectionExport)
	count, n := binary.Uvarint(s.body)
	rest, kept := s.body[n:], []byte(nil)
	left := uint64(0)
	for range count {
		size, n := binary.Uvarint(rest)
		name := string(rest[n : n+int(size)])
		end := n + int(size) + 1 // kind
		_, n = binary.Uvarint(rest[end:])
		end += n
		if !slices.Contains(names, name) {
			kept = append(kept, rest[:end]...)
			left++
		}
		rest = rest[end:]
	}
	s.body = append(binary.AppendUvarint(nil, left), kept...)
}
