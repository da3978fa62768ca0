package boundary

import (
	"errors"
	"runtime"
	"strconv"
	"strings"

	"gnomon/sdk/abi"
)

// NoEvent is the index for a failure that is not about an event.
const NoEvent int32 = -1

// Step runs a step of the guest and returns the result of its export: 0, or 1
// after it told the host what went wrong, an error or a panic, and with which
// event. The event is read after the step has failed.
func Step(event *int32, step func() error) (code int32) {
	defer func() {
		if p := recover(); p != nil {
			Fail(*event, "panic: "+panicText(p)+panicPlace())
			code = 1
		}
	}()
	if err := step(); err != nil {
		Fail(*event, err.Error())
		return 1
	}
	return 0
}

func panicText(p any) string {
	switch p := p.(type) {
	case error:
		return p.Error()
	case string:
		return p
	case interface{ String() string }:
		return p.String()
	case int:
		return strconv.Itoa(p)
	}
	return "of a type that is neither error nor string"
}

// panicPlace names the file and line that panicked, when the program was built
// with them. It is called while the panic is being recovered.
func panicPlace() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if f.File != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return " (" + f.File[strings.LastIndexByte(f.File, '/')+1:] + ":" + strconv.Itoa(f.Line) + ")"
		}
		if !more {
			return ""
		}
	}
}

// CodeError is the error for a code that the host returned from a function.
func CodeError(code int32) error {
	switch code {
	case abi.NotFound:
		return errNotFound
	case abi.TooLarge:
		return errTooLarge
	case abi.BadArgument:
		return errBadArgument
	case abi.ReadOnly:
		return errReadOnly
	case abi.OverQuota:
		return errOverQuota
	}
	return errors.New("the host returned code " + strconv.Itoa(int(code)))
}

var (
	errNotFound    = errors.New("not found")
	errTooLarge    = errors.New("too large: a key may have " + strconv.Itoa(abi.MaxKey) + " bytes, a value " + strconv.Itoa(abi.MaxValue))
	errBadArgument = errors.New("bad argument, or not to be used in this call")
	errReadOnly    = errors.New("the state can be used only while an event is handled, a request answered or an older state migrated, and not written for a request")
	errOverQuota   = errors.New("over quota")
)
