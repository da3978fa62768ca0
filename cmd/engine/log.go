package main

import (
	"io"
	"log/slog"

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
