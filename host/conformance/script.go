package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"gnomon/sdk/abi"
)

// What the guest probe can do; the numbers are those of guests/probe.wat.
const (
	opReturn = iota
	opBatchRead
	opStateGet
	opStatePut
	opStateDelete
	opStateScan
	opEmit
	opConfigRead
	opLog
	opLogEnabled
	opFail
	opBlobWrite
	opBlobRead
	opInputRead
	opOutputWrite
	opFieldsDeclare
	opFieldsRead
	opTrap
	opSpin
	opGrow
	opFill
	opDump
	opCalls
	opTableGrow
	opStore
	opCopy
	opFrom
)

// Where things are in the memory of probe, which has 64 pages.
const (
	scriptAt  = 0x10000
	scriptEnd = 0x40000
	bufferAt  = 0x100000 // scripts use it as they like
	memoryEnd = 64 << 16
	opSize    = 40
)

// exportTags number the exports that have a section in a script.
var exportTags = map[string]byte{
	abi.ExportInit: 2, abi.ExportApply: 3, abi.ExportUpcast: 4, abi.ExportQuery: 5,
	abi.ExportSnapshot: 6, abi.ExportRestore: 7, abi.ExportMigrate: 8,
}

// Step is one operation of a script, and what it must give.
type Step struct {
	op     uint32
	args   []arg
	result *int64 // nil: any
	bytes  []byte // of a dump
	says   string // what it is, for a report
}

// arg is an argument: a number, or bytes that lie in the script, by their address.
type arg struct {
	number  uint32
	literal *string
}

func number(n int) arg       { return arg{number: uint32(n)} }
func literal(s string) []arg { return []arg{{literal: &s}, number(len(s))} }

// Is says what a step must give.
func (s Step) Is(result int64) Step {
	s.result = &result
	return s
}

func step(op uint32, says string, args ...[]arg) Step {
	s := Step{op: op, says: says}
	for _, a := range args {
		s.args = append(s.args, a...)
	}
	return s
}

func numbers(list ...int) []arg {
	args := make([]arg, len(list))
	for i, n := range list {
		args[i] = number(n)
	}
	return args
}

// Steps. A function that reads reads to bufferAt.

func batchRead(capacity int) Step {
	return step(opBatchRead, "batch_read", numbers(bufferAt, capacity))
}
func get(key string, capacity int) Step {
	return step(opStateGet, fmt.Sprintf("state_get %.40q", key), literal(key), numbers(bufferAt, capacity))
}
func put(key, value string) Step {
	return step(opStatePut, fmt.Sprintf("state_put %.40q", key), literal(key), literal(value))
}
func remove(key string) Step {
	return step(opStateDelete, fmt.Sprintf("state_delete %.40q", key), literal(key))
}
func scan(prefix, after string, limit, capacity int) Step {
	return step(opStateScan, fmt.Sprintf("state_scan %.40q after %.40q", prefix, after), literal(prefix), literal(after), numbers(limit, bufferAt, capacity))
}
func emit(event int, subject, headers, data string) Step {
	return step(opEmit, fmt.Sprintf("emit for %d", event), numbers(event), literal(subject), literal(headers), literal(data))
}
func configRead(capacity int) Step {
	return step(opConfigRead, "config_read", numbers(bufferAt, capacity))
}
func logLine(level int32, text string) Step {
	return step(opLog, "log", numbers(int(level)), literal(text)).Is(0)
}
func logEnabled(level int32) Step { return step(opLogEnabled, "log_enabled", numbers(int(level))) }
func fail(event int, text string) Step {
	return step(opFail, "fail", numbers(event), literal(text)).Is(0)
}
func blobWrite(blob string) Step { return step(opBlobWrite, "blob_write", literal(blob)) }
func blobRead(capacity int) Step { return step(opBlobRead, "blob_read", numbers(bufferAt, capacity)) }
func inputRead(capacity int) Step {
	return step(opInputRead, "input_read", numbers(bufferAt, capacity))
}
func outputWrite(text string) Step { return step(opOutputWrite, "output_write", literal(text)) }
func declare(names string) Step    { return step(opFieldsDeclare, "fields_declare", literal(names)) }
func fieldsRead(capacity int) Step {
	return step(opFieldsRead, "fields_read", numbers(bufferAt, capacity))
}
func trap() Step                 { return step(opTrap, "trap") }
func spin(rounds int) Step       { return step(opSpin, "spin", numbers(rounds)).Is(0) }
func grow(pages int) Step        { return step(opGrow, "memory.grow", numbers(pages)) }
func tableGrow(entries int) Step { return step(opTableGrow, "table.grow", numbers(entries)) }
func calls() Step                { return step(opCalls, "calls of this instance") }
func migrateFrom() Step          { return step(opFrom, "argument of migrate") }
func returns(code int) Step      { return step(opReturn, "return", numbers(code)) }

// fill sets bytes of the memory.
func fill(at int, b byte, length int) Step {
	return step(opFill, "memory.fill", numbers(at, int(b), length)).Is(0)
}

// raw calls a function with numbers alone.
func raw(op uint32, says string, args ...int) Step { return step(op, says, numbers(args...)) }

// has requires bytes at the beginning of the buffer.
func has(want string) Step { return hasAt(bufferAt, want) }

// hasAt requires bytes in memory: at most 2,000, which fit a line of the log.
func hasAt(at int, want string) Step {
	s := step(opDump, fmt.Sprintf("memory at %d", at), numbers(at, len(want)))
	s.bytes = []byte(want)
	return s
}

// Script is what a guest does in the calls of its exports.
type Script map[string][]Step

// compile lays a script out as guests/probe.wat reads it. Its bytes are for address
// scriptAt.
func (s Script) compile() ([]byte, error) {
	size := opSize
	for _, steps := range s {
		size += 8 + (len(steps)+1)*opSize
	}
	var code, literals []byte
	for export, tag := range exportTags {
		steps, ok := s[export]
		if !ok {
			continue
		}
		if n := len(steps); n == 0 || steps[n-1].op != opReturn {
			steps = append(steps[:n:n], returns(0))
		}
		code = binary.LittleEndian.AppendUint32(append(code, tag, 0, 0, 0), uint32(len(steps)))
		for _, st := range steps {
			var fields [opSize / 4]uint32
			fields[0] = st.op
			for i, a := range st.args {
				fields[1+i] = a.number
				if a.literal != nil {
					fields[1+i] = uint32(scriptAt + size + len(literals))
					literals = append(literals, *a.literal...)
				}
			}
			for _, f := range fields {
				code = binary.LittleEndian.AppendUint32(code, f)
			}
		}
	}
	code = append(code, 255)
	code = append(code, make([]byte, size-len(code))...)
	code = append(code, literals...)
	if len(code) > scriptEnd-scriptAt {
		return nil, fmt.Errorf("script has %d bytes, the room for it is %d: fill memory instead", len(code), scriptEnd-scriptAt)
	}
	return code, nil
}

// settings are what makes probe do the script.
func (s Script) settings() (string, error) {
	code, err := s.compile()
	if err != nil {
		return "", err
	}
	return `{"script":"` + hex.EncodeToString(code) + `"}`, nil
}
