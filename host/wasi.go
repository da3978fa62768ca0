package host

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// stubbed says of the system interface's functions that language runtimes import
// what they do here. None lets a restart or a batch boundary show through.
var stubbed = map[string]string{
	"clock_time_get": "the wall clock stands still at 1970-01-01; use the event's time",
	"random_get":     "every instance gets the same bytes; use them for nothing but hash seeds",
	"poll_oneoff":    "sleeping returns at once",
	"path_open":      "there are no files",
	"sock_accept":    "there are no sockets",
	"environ_get":    "the environment is empty",
	"args_get":       "there are no arguments",
}

// moduleConfig gives one instance the least that language runtimes need, and the
// same to every instance with the same surroundings.
func moduleConfig(log guest.Log, around guest.Surroundings) wazero.ModuleConfig {
	clock := &fakeClock{ns: int64(around.Clock)}
	chance := [32]byte([]byte("gnomon gives every instance this"))
	for i := range 8 {
		chance[i] ^= byte(around.Chance >> (8 * i))
	}
	return wazero.NewModuleConfig().
		WithName(""). // names are unique in a runtime
		WithStartFunctions().
		WithStdout(&lineWriter{log: log, level: int(abi.LevelInfo)}).
		WithStderr(&lineWriter{log: log, level: int(abi.LevelWarn)}).
		WithWalltime(func() (int64, int32) {
			return int64(around.Clock / time.Second), int32(around.Clock % time.Second)
		}, 1).
		WithNanotime(clock.now, 1).
		WithNanosleep(clock.sleep).
		WithRandSource(rand.NewChaCha8(chance))
}

// fakeClock is a monotonic clock that moves when it is read or slept on.
type fakeClock struct{ ns int64 }

func (c *fakeClock) now() int64     { c.ns += 1000; return c.ns }
func (c *fakeClock) sleep(ns int64) { c.ns += max(ns, 0) }

// lineWriter logs what a guest writes to its standard output or error, line by
// line. A line that is not ended by the time it is abi.MaxLogLine long is cut.
type lineWriter struct {
	log   guest.Log
	level int
	line  []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		w.line = append(w.line, line[:min(len(line), abi.MaxLogLine-len(w.line))]...)
		if p = rest; ended {
			w.flush()
		}
	}
	return n, nil
}

func (w *lineWriter) flush() {
	if len(w.line) > 0 && w.log != nil {
		w.log.Line(guest.Line{Level: w.level, Text: text(w.line)})
	}
	w.line = w.line[:0]
}

// text makes a string of a guest's bytes that is fit for a log: valid UTF-8, no
// longer than a log line.
func text(b []byte) string {
	return string(bytes.ToValidUTF8(b[:min(len(b), abi.MaxLogLine)], []byte("\uFFFD")))
}
