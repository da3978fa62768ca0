package host

import (
	"github.com/tetratelabs/wazero/api"

	"gnomon/sdk/abi"
)

// Called is a call of a function of the contract by a guest, when it is over. One that ended
// the call of the export is not told.
type Called struct {
	Export   string // under way
	Function string
	Args     []uint64 // as on the stack; valid until the watch returns, as what Memory gives is
	Result   int64    // 0 of a function without
	Memory   func(ptr, length uint64) []byte
}

// watched calls a function of the contract and tells of it.
func (c *call) watched(is abi.Func, f function, m api.Module, stack []uint64) {
	args := append([]uint64(nil), stack[:len(is.Params)]...)
	f(c, m, stack)
	told := Called{Export: c.name, Function: is.Name, Args: args, Memory: func(ptr, length uint64) []byte {
		b, _ := m.Memory().Read(uint32(ptr), uint32(length))
		return b
	}}
	if len(is.Results) > 0 {
		told.Result = int64(int32(stack[0]))
		if is.Results[0] == abi.I64 {
			told.Result = int64(stack[0])
		}
	}
	c.in.watch(told)
}
