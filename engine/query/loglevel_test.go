package query_test

import (
	"log/slog"
	"strings"
	"testing"

	"gnomon/engine/query"
	"gnomon/internal/testutil"
)

// The level of the log is told and changed while the engine runs; the log tells of the change,
// also of one after which it tells less, and what is no level is refused.
func TestLogLevel(t *testing.T) {
	var level slog.LevelVar
	var log testutil.Log
	r := newRigWith(t, query.Options{LogLevel: &level, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: &level}))}).start()
	for _, tt := range []struct {
		request, body string
		status        int
		answer        string
		level         slog.Level
	}{
		{"GET", "", 200, `{"level":"info"}`, slog.LevelInfo},
		{"PUT", `{"level":"debug"}`, 200, `{"level":"debug"}`, slog.LevelDebug},
		{"PUT", `{"level":"error"}`, 200, `{"level":"error"}`, slog.LevelError},
		{"PUT", `{"level":"loud"}`, 400, "there are: debug, info, warn, error", slog.LevelError},
		{"PUT", `{"level":"INFO"}`, 400, "there are: debug, info, warn, error", slog.LevelError},
		{"PUT", `{}`, 400, "there are: debug, info, warn, error", slog.LevelError},
		{"PUT", `{"levels":"info"}`, 400, "unknown field", slog.LevelError},
		{"POST", `{"level":"info"}`, 405, "use GET or PUT", slog.LevelError},
		{"GET", "", 200, `{"level":"error"}`, slog.LevelError},
	} {
		a := r.ask(tt.request, "/v1/log", tt.body)
		if a.StatusCode != tt.status || !strings.Contains(a.body, tt.answer) || level.Level() != tt.level {
			t.Errorf("%s %s: %s, and the level is %s", tt.request, tt.body, a, level.Level())
		}
	}
	if text := log.String(); !strings.Contains(text, "from=info to=debug") || !strings.Contains(text, "from=debug to=error") {
		t.Errorf("the log says %q", text)
	}
}
