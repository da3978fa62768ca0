package wire

import (
	"log/slog"
	"strings"
)

// LogLevels are the levels from which on an engine may log, from the one that tells most.
var LogLevels = []string{"debug", "info", "warn", "error"}

// Log says from which level on an engine logs: one of LogLevels.
type Log struct {
	Level string `json:"level"`
}

// LogAt is the level of a log.
func LogAt(l slog.Level) Log { return Log{strings.ToLower(l.String())} }
