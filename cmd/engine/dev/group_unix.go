//go:build unix

package dev

import (
	"os/exec"
	"syscall"
)

// inOwnGroup has a command end with all the processes that it started.
func inOwnGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
}
