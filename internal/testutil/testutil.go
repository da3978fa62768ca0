// Package testutil has what tests of several packages need: waiting for a condition, and a
// log that can be read. It imports the standard library only.
package testutil

import (
	"bytes"
	"cmp"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// Until waits for a condition.
func Until(t testing.TB, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(patience); !condition(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("what the test waits for does not come")
		}
	}
}

// Compiled is the folder of compiled modules that the test processes of one run share, for
// compiling a module takes seconds, and ten times that with the race detector: make tests names
// it, in GNOMON_TEST_CACHE. Otherwise it is own, the caller's. Either is private, and made by who
// writes to it.
func Compiled(own string) string { return cmp.Or(os.Getenv("GNOMON_TEST_CACHE"), own) }

// Log is what was logged. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger logs to it, as text.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
