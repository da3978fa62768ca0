//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// denied makes this test program one that runs a command without executable memory.
const denied = "GNOMON_ENGINE_TEST_DENIED"

// Where the system refuses executable memory, as systemd does for
// MemoryDenyWriteExecute=true, run and check say that modules are interpreted, and work;
// where it does not, neither says so.
func TestNoExecutableMemory(t *testing.T) {
	if command := os.Getenv(denied); command != "" {
		runDenied(t, strings.Split(command, "\n"))
		return
	}
	h := newHome(t, "seed.>", projection("count", "count.wasm"))
	events := filepath.Join(h.dir, "events.jsonl")
	if err := os.WriteFile(events, []byte(seedLine(1)+seedLine(2)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.edit("name = \"LOG\"\n", fmt.Sprintf("name = \"LOG\"\nseed = %q\n", events))
	for _, tt := range []struct{ command, works, says string }{
		{"run\n--once\n--config\n" + h.config, "count  ", "modules are interpreted, some 70 times slower: the system refuses executable memory (systemd: MemoryDenyWriteExecute)"},
		{"check\n" + filepath.Join(exampleModules(t), "count.wasm") + "\n--events\n" + events, "2 of " + events, "interpreted, some 70 times slower"},
	} {
		for _, denies := range []bool{true, false} {
			c := exec.CommandContext(t.Context(), "engine", strings.Split(tt.command, "\n")...)
			if denies {
				c = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoExecutableMemory$")
				c.Env = append(os.Environ(), denied+"="+tt.command)
			}
			out, err := c.CombinedOutput()
			switch {
			case strings.Contains(string(out), "cannot be denied"):
				t.Skip("the kernel is older than 6.3")
			case err != nil || !strings.Contains(string(out), tt.works):
				t.Errorf("%s: %v\n%s", tt.command, err, out)
			case strings.Contains(string(out), tt.says) != denies:
				t.Errorf("%s: with memory denied (%v) it says\n%s", tt.command, denies, out)
			}
		}
	}
}

// runDenied runs a command in a process that cannot make memory executable: it inherits
// that.
func runDenied(t *testing.T, command []string) {
	const setMDWE, refuseExecGain = 65, 1 // prctl(2), since Linux 6.3
	switch _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setMDWE, refuseExecGain, 0, 0, 0, 0); {
	case errors.Is(errno, syscall.EINVAL):
		fmt.Println("cannot be denied")
		return
	case errno != 0:
		t.Fatal(errno)
	}
	c := exec.CommandContext(t.Context(), "engine", command...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}
