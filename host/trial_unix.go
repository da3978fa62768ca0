//go:build unix

package host

import (
	"math"
	"os/exec"
	"syscall"
	"time"
)

// limitProcess bounds the address space of this process, in bytes, and its time on the
// processor. The system kills a process that goes over the latter.
func limitProcess(memory uint64, cpu time.Duration) error {
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: memory, Max: memory}); err != nil {
		return err
	}
	seconds := uint64(math.Ceil(cpu.Seconds()))
	return syscall.Setrlimit(syscall.RLIMIT_CPU, &syscall.Rlimit{Cur: seconds, Max: seconds})
}

// overCPU reports whether a process was ended for its time on the processor.
func overCPU(e *exec.ExitError) bool {
	s, ok := e.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && (s.Signal() == syscall.SIGXCPU || s.Signal() == syscall.SIGKILL)
}
