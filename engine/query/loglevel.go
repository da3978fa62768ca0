package query

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"gnomon/engine/query/wire"
)

// LogLevel is the level of the engine's log, which may be changed at any time. A
// *slog.LevelVar is one.
type LogLevel interface {
	Level() slog.Level
	Set(slog.Level)
}

// logLevel answers from which level on is logged, and changes it: until the next start or
// reload, which take what the configuration says.
func (s *Server) logLevel(w http.ResponseWriter, r *http.Request) {
	if _, ok := parameters(w, r); !ok {
		return
	}
	if r.Method == http.MethodPut {
		var ask wire.Log
		if !body(w, r, &ask) {
			return
		}
		if !slices.Contains(wire.LogLevels, ask.Level) {
			bad(w, "level is %q; there are: %s", ask.Level, strings.Join(wire.LogLevels, ", "))
			return
		}
		var level slog.Level
		_ = level.UnmarshalText([]byte(ask.Level)) // it is one
		was := s.level.Level()
		s.level.Set(min(was, level)) // the log tells of its last line before it tells less
		s.log.Info("log level changed", "from", wire.LogAt(was).Level, "to", ask.Level)
		s.level.Set(level)
	}
	answer(w, http.StatusOK, wire.LogAt(s.level.Level()))
}
