package main

import (
	"context"
	"io"
	"log/slog"

	"gnomon/engine"
	"gnomon/engine/config"
)

// newLog makes the log: text for a person, JSON for a machine. What it leaves out is
// level's to say, which may change while it is written to.
func newLog(w io.Writer, c config.Log, level *slog.LevelVar) *slog.Logger {
	setLevel(level, c)
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" || c.Format == "auto" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// setLevel gives a log the level of its configuration.
func setLevel(level *slog.LevelVar, c config.Log) {
	_ = level.UnmarshalText([]byte(c.Level)) // validated
}

// quietLog is the log of commands that are not run for their log: only what is
// wrong.
func quietLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelError}))
}

// guestLog writes the lines of a guest to the log.
type guestLog struct {
	log                  *slog.Logger
	kept                 *engine.GuestLogs // nil: they are not kept
	projection, upcaster string            // whose lines these are
}

func (g guestLog) Enabled(level int) bool {
	return g.log.Enabled(context.Background(), slog.Level(level))
}

func (g guestLog) Line(l engine.GuestLine) {
	if g.kept != nil {
		g.kept.Add(g.projection, g.upcaster, l)
	}
	log := g.log.With("origin", "guest")
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
