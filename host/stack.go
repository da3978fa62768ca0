package host

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

// A program has two stacks, either of which recursion may use up. That of calls is the
// engine's, and its end is told for what it is. For variables whose address is taken, and
// that are larger than a register, compilers based on LLVM (of C, C++, Rust, TinyGo, Zig, D)
// lay a stack out in memory, which grows towards address 0. Its pointer is the first global
// of the module (LLVM's tool conventions for WebAssembly, "Linear memory"). Past its end it
// is below 0, an address beyond any memory: what follows is a trap about that. Where the
// linker put variables below the stack (no --stack-first), they are overwritten before.

// stackAlign is the alignment of a stack's start, by the same conventions.
const stackAlign = 16

const (
	callsOverflow = "stack overflow: calls within each other are too deep, as in a recursion that does not end"
	outOfBounds   = "out of bounds memory access"
	stackOverflow = "probably a stack overflow, for the stack pointer is %d bytes below the memory: a recursion that is too deep, or large variables in functions; " +
		"the linker's -z stack-size=BYTES makes the stack larger (clang: -Wl,-z,stack-size=BYTES; rustc: -C link-arg=-zstack-size=BYTES)"
)

// stackPointer is the first global of a module when it can be the pointer of a stack.
func (in *instance) stackPointer() (pointer int32, ok bool) {
	m, ok := in.module.(experimental.InternalModule)
	if !ok || m.NumGlobal() == 0 || m.Global(0).Type() != api.ValueTypeI32 {
		return 0, false
	}
	return int32(uint32(m.Global(0).Get())), true
}

// findStack notes whether the module has a stack in memory, before it has run.
func (in *instance) findStack() {
	p, ok := in.stackPointer()
	in.stacked = ok && p > 0 && p%stackAlign == 0 && uint64(p) <= in.MemoryBytes()
}

// trapText is a trap in one line: the reason, without the wasm stack trace.
func (in *instance) trapText(err error) string {
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		return fmt.Sprintf("exited with code %d", exit.ExitCode())
	}
	reason, _, _ := strings.Cut(err.Error(), "\n")
	reason = strings.TrimSuffix(strings.TrimPrefix(reason, "wasm error: "), " (recovered by wazero)")
	switch reason {
	case "stack overflow":
		return callsOverflow
	case outOfBounds:
		if p, _ := in.stackPointer(); in.stacked && p < 0 {
			return reason + ", " + fmt.Sprintf(stackOverflow, -int64(p))
		}
	}
	return reason
}
