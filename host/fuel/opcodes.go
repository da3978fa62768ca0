package fuel

// Opcodes that the rewriting looks at (WebAssembly Core Specification 2.0, §5.4).
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opLocalGet     = 0x20
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI64LtS       = 0x53
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd

	miscMemoryInit = 0x08
	miscMemoryCopy = 0x0a
	miscMemoryFill = 0x0b
	miscTableInit  = 0x0c
	miscTableCopy  = 0x0e
	miscTableGrow  = 0x0f
	miscTableFill  = 0x11

	vectorConst = 0x0c

	typeVoid = 0x40 // of a block without parameters and results
)

// immediates says what follows an opcode.
type immediates byte

const (
	unknown    immediates = iota // not an opcode of WebAssembly 2.0
	none                         //
	blockType                    // s33
	index                        // u32
	twoIndices                   // u32 u32
	s32                          //
	s64                          //
	bytes4                       //
	bytes8                       //
	bytes16                      //
	memArg                       // u32 alignment, u32 offset
	lane                         // one byte
	memArgLane                   // both
	zero                         // a byte that is 0
	zeroZero                     // two of them
	indexZero                    // u32 and a byte that is 0
	labels                       // vec(u32) u32
	types                        // vec of one type
	heapType                     // funcref or externref
	prefix                       // another opcode
)

var plain = plainOpcodes()

func plainOpcodes() (t [256]immediates) {
	fill := func(kind immediates, from, to int) {
		for op := from; op <= to; op++ {
			t[op] = kind
		}
	}
	fill(none, 0x00, 0x01) // unreachable, nop
	fill(blockType, 0x02, 0x04)
	fill(none, 0x05, 0x05) // else
	fill(none, 0x0b, 0x0b) // end
	fill(index, 0x0c, 0x0d)
	fill(labels, 0x0e, 0x0e)
	fill(none, 0x0f, 0x0f)       // return
	fill(index, 0x10, 0x10)      // call
	fill(twoIndices, 0x11, 0x11) // call_indirect
	fill(none, 0x1a, 0x1b)       // drop, select
	fill(types, 0x1c, 0x1c)      // select with a type
	fill(index, 0x20, 0x26)      // locals, globals, table.get, table.set
	fill(memArg, 0x28, 0x3e)     // loads, stores
	fill(zero, 0x3f, 0x40)       // memory.size, memory.grow
	fill(s32, 0x41, 0x41)
	fill(s64, 0x42, 0x42)
	fill(bytes4, 0x43, 0x43)
	fill(bytes8, 0x44, 0x44)
	fill(none, 0x45, 0xc4) // comparisons, arithmetic, conversions, sign extension
	fill(heapType, 0xd0, 0xd0)
	fill(none, 0xd1, 0xd1) // ref.is_null
	fill(index, 0xd2, 0xd2)
	fill(prefix, 0xfc, 0xfd)
	return t
}

// misc are the opcodes after 0xfc.
var misc = [18]immediates{
	none, none, none, none, none, none, none, none, // saturating conversions
	indexZero,  // memory.init
	index,      // data.drop
	zeroZero,   // memory.copy
	zero,       // memory.fill
	twoIndices, // table.init
	index,      // elem.drop
	twoIndices, // table.copy
	index,      // table.grow
	index,      // table.size
	index,      // table.fill
}

var vector = vectorOpcodes()

// vectorOpcodes are the opcodes after 0xfd: 256 numbers, of which twenty are free.
func vectorOpcodes() (t [256]immediates) {
	for op := range t {
		switch {
		case op <= 0x0b, op == 0x5c, op == 0x5d:
			t[op] = memArg
		case op == vectorConst, op == 0x0d: // and shuffle
			t[op] = bytes16
		case op >= 0x15 && op <= 0x22:
			t[op] = lane
		case op >= 0x54 && op <= 0x5b:
			t[op] = memArgLane
		default:
			t[op] = none
		}
	}
	for _, op := range []byte{
		0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb,
		0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee,
	} {
		t[op] = unknown
	}
	return t
}

// vectorOpcode reads the number after 0xfd. Only its shortest form is accepted:
// wazero reads the first byte alone, takes the second of a number from 0x80 on,
// which is then 1, for a nop, and would read any other form as another instruction.
func (r *reader) vectorOpcode() (op byte, ok bool) {
	op = r.byte()
	if op >= 0x80 && r.byte() != 1 {
		return op, false
	}
	return op, true
}

// miscOpcode reads the number after 0xfc. Only its shortest form is accepted too:
// wazero's interpreter cannot run any other.
func (r *reader) miscOpcode() (op byte, ok bool) {
	op = r.byte()
	return op, int(op) < len(misc)
}

// immediates skips what follows an opcode; blockType, index and labels are read by
// those who need them.
func (r *reader) immediates(kind immediates) {
	switch kind {
	case none:
	case index:
		r.u32()
	case twoIndices, memArg:
		r.u32()
		r.u32()
	case memArgLane:
		r.u32()
		r.u32()
		r.byte()
	case blockType, s32:
		r.leb(5)
	case s64:
		r.leb(10)
	case bytes4:
		r.skip(4)
	case bytes8:
		r.skip(8)
	case bytes16:
		r.skip(16)
	case lane:
		r.byte()
	case zero:
		r.zero()
	case zeroZero:
		r.zero()
		r.zero()
	case indexZero:
		r.u32()
		r.zero()
	case types:
		if r.byte() != 1 {
			r.fail(errSelect)
		}
		r.byte()
	case heapType:
		if t := r.byte(); t != typeFuncref && t != typeExternref {
			r.fail(errHeapType)
		}
	}
}

func (r *reader) zero() {
	if r.byte() != 0 {
		r.fail(errReserved)
	}
}
