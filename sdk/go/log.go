package gnomon

import (
	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

// Log writes to the engine's log, under the projection's name. Lines are cut at
// 4 KiB, and the engine drops those of a projection that writes too many.
var Log Logger

// Logger writes lines of one projection.
type Logger struct{}

// Level says how much a line matters, in the numbers of log/slog.
type Level int32

// The levels of a log line.
const (
	LevelDebug = Level(abi.LevelDebug)
	LevelInfo  = Level(abi.LevelInfo)
	LevelWarn  = Level(abi.LevelWarn)
	LevelError = Level(abi.LevelError)
)

// Enabled reports whether a line of the level would be kept. Ask it before a line
// that is costly to make. Nothing but the log may depend on the answer.
func (Logger) Enabled(l Level) bool { return boundary.LogEnabled(int32(l)) != 0 }

// Debug writes a line for those who look for a fault.
func (Logger) Debug(line string) { boundary.Log(abi.LevelDebug, line) }

// Info writes a line about what happens.
func (Logger) Info(line string) { boundary.Log(abi.LevelInfo, line) }

// Warn writes a line about something that may be wrong.
func (Logger) Warn(line string) { boundary.Log(abi.LevelWarn, line) }

// Error writes a line about something that is wrong. It does not make the event
// fail: return an error for that.
func (Logger) Error(line string) { boundary.Log(abi.LevelError, line) }
