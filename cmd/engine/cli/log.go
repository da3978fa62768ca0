package cli

import (
	"context"
	"io"
	"log/slog"

	"gnomon/engine/config"
	"gnomon/engine/guest"
)

// NewLog makes the log: text for a person, JSON for a machine. What it leaves out is
// level's to say, which may change while it is written to.
func NewLog(w io.Writer, c config.Log, level *slog.LevelVar) *slog.Logger {
	SetLevel(level, c)
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" || c.Format == "auto" && !IsTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// SetLevel gives a log the level of its configuration.
func SetLevel(level *slog.LevelVar, c config.Log) {
	_ = level.UnmarshalText([]byte(c.Level)) // validated
}

// QuietLog is the log of commands that are not run for their log: only what is
// wrong.
func QuietLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelError}))
}

// GuestLog writes the lines of a guest to the log.
type GuestLog struct {
	Log                  *slog.Logger
	Kept                 *guest.Logs // nil: they are not kept
	Projection, Upcaster string      // whose lines these are
}

func (g GuestLog) Enabled(level int) bool {
	return g.Log.Enabled(context.Background(), slog.Level(level))
}

func (g GuestLog) Line(l guest.Line) {
	if g.Kept != nil {
		g.Kept.Add(g.Projection, g.Upcaster, l)
	}
	log := g.Log.With("origin", "guest")
	if l.Generation != "" {
		log = log.With("generation", l.Generation)
	}
	switch {
	case l.First == 0:
	case l.First == l.Last:
		log = log.With("sequence", l.First)
	default: // it does not say about which of them
		log = log.With("first_sequence", l.First, "last_sequence", l.Last)
	}
	log.Log(context.Background(), slog.Level(l.Level), l.Text)
}
