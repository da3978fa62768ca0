//go:build unix

package main

import (
	"os"
	"syscall"
)

// hangUpSignals ask a running engine to reload.
var hangUpSignals = []os.Signal{syscall.SIGHUP}
