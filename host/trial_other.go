//go:build !unix

package host

import (
	"os/exec"
	"time"
)

// limitProcess does nothing here: only the clock bounds a trial.
func limitProcess(uint64, time.Duration) error { return nil }

func overCPU(*exec.ExitError) bool { return false }
