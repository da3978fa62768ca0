package conformance

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"gnomon/sdk/abi"
)

// Native is the guest probe as a Go program: it does the script of its settings with a
// stand-in for a host. Scenarios that need a sandbox it cannot do.
type Native struct {
	host   abi.Host
	memory []byte
	calls  int
	from   int32 // argument of migrate
}

// NewNative makes an instance.
func NewNative(h abi.Host) *Native { return &Native{host: h, memory: make([]byte, memoryEnd)} }

// Call does what the script says of an export. It returns the result.
func (n *Native) Call(export string) int32 {
	n.calls++
	if n.calls == 1 {
		n.decode()
	}
	for p := uint32(scriptAt); n.memory[p] != 255; p += 8 + opSize*n.load(p+4) {
		if n.memory[p] != exportTags[export] {
			continue
		}
		for p += 8; ; p += opSize {
			if n.load(p) == opReturn {
				return int32(n.load(p + 4))
			}
			n.do(p)
		}
	}
	return 0
}

// From sets the argument of the calls of migrate that follow.
func (n *Native) From(schema int32) { n.from = schema }

func (n *Native) decode() {
	settings := make([]byte, 2*(scriptEnd-scriptAt)+64)
	settings = settings[:n.host.ConfigRead(settings)]
	script, _ := hex.DecodeString(strings.TrimSuffix(strings.TrimPrefix(string(settings), `{"script":"`), `"}`))
	copy(n.memory[scriptAt:], script)
}

func (n *Native) load(p uint32) uint32 { return binary.LittleEndian.Uint32(n.memory[p:]) }

// do does one operation and logs what it gave.
func (n *Native) do(p uint32) {
	arg := func(i uint32) uint32 { return n.load(p + 4 + 4*i) }
	part := func(i uint32) []byte { return n.memory[arg(i) : arg(i)+arg(i+1)] }
	if n.load(p) == opDump {
		n.host.Log(abi.LevelInfo, "# "+hex.EncodeToString(part(0)))
		return
	}
	n.host.Log(abi.LevelInfo, fmt.Sprintf("= %016x", uint64(n.result(n.load(p), arg, part))))
}

func (n *Native) result(op uint32, arg func(uint32) uint32, part func(uint32) []byte) int64 {
	h := n.host
	switch op {
	case opBatchRead:
		return int64(h.BatchRead(part(0)))
	case opStateGet:
		return int64(h.StateGet(string(part(0)), part(2)))
	case opStatePut:
		return int64(h.StatePut(string(part(0)), bytes.Clone(part(2))))
	case opStateDelete:
		return int64(h.StateDelete(string(part(0))))
	case opStateScan:
		return h.StateScan(string(part(0)), string(part(2)), arg(4), part(5))
	case opEmit:
		return int64(h.Emit(arg(0), string(part(1)), part(3), part(5)))
	case opConfigRead:
		return int64(h.ConfigRead(part(0)))
	case opLog:
		h.Log(int32(arg(0)), string(part(1)))
	case opLogEnabled:
		return int64(h.LogEnabled(int32(arg(0))))
	case opFail:
		h.Fail(int32(arg(0)), string(part(1)))
	case opBlobWrite:
		return int64(h.BlobWrite(part(0)))
	case opBlobRead:
		return int64(h.BlobRead(part(0)))
	case opInputRead:
		return int64(h.InputRead(part(0)))
	case opOutputWrite:
		return int64(h.OutputWrite(part(0)))
	case opFieldsDeclare:
		return int64(h.FieldsDeclare(part(0)))
	case opFieldsRead:
		return int64(h.FieldsRead(part(0)))
	case opFill:
		for i := range n.memory[arg(0) : arg(0)+arg(2)] {
			n.memory[int(arg(0))+i] = byte(arg(1))
		}
	case opStore:
		binary.LittleEndian.PutUint32(n.memory[arg(0):], arg(1))
	case opCopy:
		copy(n.memory[arg(0):], n.memory[arg(1):arg(1)+arg(2)])
	case opFrom:
		return int64(n.from)
	case opCalls:
		return int64(n.calls)
	}
	return 0
}
