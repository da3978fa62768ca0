//go:build !unix

package main

import "os"

// hangUpSignals ask a running engine to reload: there are none here.
var hangUpSignals []os.Signal
