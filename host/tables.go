package host

import (
	"encoding/binary"
	"fmt"
)

// table is the type of a table (WebAssembly Core Specification 2.0, §5.3.9).
type table struct {
	element byte
	lo, hi  uint64 // entries
	bounded bool   // it has a maximum, which is hi
}

const (
	typeFuncref   = 0x70
	typeExternref = 0x6f
)

// table reads the type of a table.
func (r *reader) table() (t table, err error) {
	t.element = r.byte()
	flags := r.byte()
	switch {
	case r.err != nil:
		return t, r.err
	case t.element != typeFuncref && t.element != typeExternref:
		return t, fmt.Errorf("declares a table of type 0x%02x: only funcref and externref are supported", t.element)
	case flags > 1:
		return t, fmt.Errorf("declares a table with limits of kind %d: shared and 64-bit tables are not supported", flags)
	}
	t.lo = r.u32()
	if t.bounded = flags == 1; t.bounded {
		t.hi = r.u32()
	}
	return t, r.err
}

// boundedTables is the body of a section of tables with their maxima bounded.
func boundedTables(body []byte, limit uint64) []byte {
	r := &reader{b: body}
	n := r.u32()
	out := binary.AppendUvarint(nil, n)
	for range n {
		t, err := r.table()
		if err != nil {
			return body // which Inspect does not let pass
		}
		if !t.bounded || t.hi > limit {
			t.hi = limit
		}
		out = binary.AppendUvarint(append(out, t.element, 1), t.lo)
		out = binary.AppendUvarint(out, t.hi)
	}
	return append(out, r.b...)
}
