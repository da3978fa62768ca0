package host

import (
	"fmt"

	"gnomon/host/fuel"
)

// FloatWarning is a sentence about a module that passed Load and whose state may hold the
// bits of NaNs, which differ between processors; empty when it has not what that takes.
// Language runtimes come with such code, whether or not it is used: it says what to do in
// the code that writes the state.
func FloatWarning(module []byte) string {
	f, err := fuel.ReadFloats(module)
	if err != nil || f.Arithmetic.Instructions == 0 || f.Bits.Instructions == 0 {
		return ""
	}
	return fmt.Sprintf("computes with floats (%s) and takes their bits (%s): the bits of a NaN differ between processors, so write floats to the state as decimal text, or test for NaN (x != x) and write one fixed value for it",
		places(f.Arithmetic), places(f.Bits))
}

func places(p fuel.Places) string {
	return fmt.Sprintf("%d %s in %d %s", p.Instructions, plural("instruction", p.Instructions), p.Functions, plural("function", p.Functions))
}

func plural(noun string, n int) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
