package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a process may take to start, and to stop.
const patience = 60 * time.Second

// runWith runs a command with an input and returns its output.
func runWith(c *exec.Cmd, in []byte) ([]byte, error) {
	c.Stdin = bytes.NewReader(in)
	return c.Output()
}

// resident is the memory of a process that is in RAM, in KiB.
type resident struct {
	All  int64
	Anon int64 // its heap and what its guests have
	File int64 // pages of files that it maps: its binary, Badger's tables
}

// memoryOf reads /proc, and so works on Linux only.
func memoryOf(pid int) (m resident, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		var into *int64
		switch name {
		case "VmRSS":
			into = &m.All
		case "RssAnon":
			into = &m.Anon
		case "RssFile":
			into = &m.File
		default:
			continue
		}
		if *into, err = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err != nil {
			return m, fmt.Errorf("/proc/%d/status: %w", pid, err)
		}
	}
	return m, nil
}

// tick is the unit of times in /proc/PID/stat, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuOf is the time that a process has spent on a core.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may have spaces; utime and stime are the 14th and 15th field.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// ownCPU is the time that this process has spent on a core.
func ownCPU() time.Duration {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
