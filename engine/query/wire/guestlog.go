package wire

import (
	"log/slog"
	"time"

	"gnomon/engine/guest"
)

// LogLine is a line that a guest logged.
type LogLine struct {
	Number     uint64    `json:"n"` // among those of the projection since the engine started, from 1
	Time       time.Time `json:"time"`
	Level      string    `json:"level"` // as log/slog writes it: DEBUG, INFO, WARN, ERROR, WARN+1
	Text       string    `json:"text"`
	Generation string    `json:"generation,omitempty"` // empty: none yet, as when a module is tried
	Upcaster   string    `json:"upcaster,omitempty"`   // whose module logged it; empty: the projection's
	First      uint64    `json:"first_seq,omitempty"`  // of the events that the guest was handed then; 0: none
	Last       uint64    `json:"last_seq,omitempty"`   // of them; the same, if it was one
}

// GuestLog is a page of lines, oldest first. Next is the number to ask for more after.
type GuestLog struct {
	Projection string    `json:"projection"`
	Lines      []LogLine `json:"lines"`
	Next       uint64    `json:"next"`
	Dropped    uint64    `json:"dropped,omitempty"` // lines after the one asked for that are no longer kept
}

// LogLineOf is a line in JSON.
func LogLineOf(k guest.KeptLine) LogLine {
	return LogLine{k.Number, k.Time, slog.Level(k.Level).String(), k.Text, k.Generation, k.Upcaster, k.First, k.Last}
}
