package fuel

// Floats counts what makes the bits of a NaN matter. Sign and payload of a NaN that an
// operator makes are not determined (WebAssembly Core Specification 2.0, §4.3.3, "NaN
// Propagation"): processors differ in them, and so would a state that holds them.
type Floats struct {
	// Arithmetic are instructions that may make such a NaN: add, sub, mul, div, sqrt, min,
	// max, ceil, floor, trunc, nearest, promote and demote, of scalars and of vectors.
	Arithmetic Places
	// Bits are instructions that show the bits of a float: its store, reinterpret to an
	// integer, copysign; and, where there is such arithmetic with vectors, the store of a
	// vector and what makes integers of one.
	Bits Places
}

// Places are places in the code of a module.
type Places struct{ Instructions, Functions int }

// add counts those of one function.
func (p *Places) add(instructions int) {
	if instructions > 0 {
		p.Instructions += instructions
		p.Functions++
	}
}

// floatKind is what an instruction has to do with the bits of a NaN.
type floatKind byte

const (
	floatNothing floatKind = iota
	floatArithmetic
	floatBits
	vectorArithmetic
	vectorBits
	floatKinds
)

// ReadFloats reads the code of a module. It need not be valid; errors are those of
// Rewrite, for what is not well-formed as far as this reads it.
func ReadFloats(module []byte) (Floats, error) {
	// A vector may hold anything: that it is stored matters only in a module that computes
	// floats with vectors.
	var scalars, all Floats
	vectors := false
	err := eachFunction(module, func(body []byte) error {
		n, err := floatsOf(body)
		if err != nil {
			return err
		}
		scalars.Arithmetic.add(n[floatArithmetic])
		scalars.Bits.add(n[floatBits])
		all.Arithmetic.add(n[floatArithmetic] + n[vectorArithmetic])
		all.Bits.add(n[floatBits] + n[vectorBits])
		vectors = vectors || n[vectorArithmetic] > 0
		return nil
	})
	switch {
	case err != nil:
		return Floats{}, err
	case vectors:
		return all, nil
	}
	return scalars, nil
}

// floatsOf counts the instructions of a function by their kind.
func floatsOf(body []byte) (n [floatKinds]int, err error) {
	err = eachInstruction(body, func(op, sub byte) { n[floatOf(op, sub)]++ })
	return n, err
}

// floatOf says what an instruction has to do with the bits of a NaN.
func floatOf(op, sub byte) floatKind {
	if op == opVector {
		return vectorFloat(sub)
	}
	return scalarFloat(op)
}

// scalarFloat says what an instruction without a prefix is.
func scalarFloat(op byte) floatKind {
	switch {
	case op == 0x38, op == 0x39: // f32.store, f64.store
		return floatBits
	case op == 0x98, op == 0xa6: // copysign, which carries the sign of a NaN to a number
		return floatBits
	case op == 0xbc, op == 0xbd: // i32.reinterpret_f32, i64.reinterpret_f64
		return floatBits
	case op >= 0x8d && op <= 0x97, op >= 0x9b && op <= 0xa5: // ceil to max, of f32 and f64
		return floatArithmetic
	case op == 0xb6, op == 0xbb: // demote, promote
		return floatArithmetic
	}
	return floatNothing
}

// vectorFloat says what an instruction after the prefix for vectors is.
func vectorFloat(op byte) floatKind {
	switch op {
	case 0x67, 0x68, 0x69, 0x6a, // f32x4: ceil, floor, trunc, nearest
		0x74, 0x75, 0x7a, 0x94, // f64x2: ceil, floor, trunc, nearest
		0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, // f32x4: sqrt, add, sub, mul, div, min, max
		0xef, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, // f64x2
		0x5e, 0x5f: // demote, promote
		return vectorArithmetic
	case 0x0b, 0x58, 0x59, 0x5a, 0x5b, // v128.store, of lanes
		0x15, 0x16, 0x18, 0x19, 0x1b, 0x1d, // extract_lane to an integer
		0x53, 0x63, 0x83, 0xa3, 0xc3, // any_true, all_true
		0x64, 0x84, 0xa4, 0xc4: // bitmask
		return vectorBits
	}
	return floatNothing
}
