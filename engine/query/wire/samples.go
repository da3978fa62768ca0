package wire

import "time"

// Samples is what a projection did in the last minutes.
type Samples struct {
	Projection string   `json:"projection"`
	EveryMs    int64    `json:"every_ms"` // that a sample covers
	Samples    []Sample `json:"samples"`  // the oldest first; empty when the engine has just started
}

// Sample is what it did in one interval, and how far it was behind at its end.
type Sample struct {
	Time     time.Time `json:"time"`              // the end of the interval, by the engine's clock
	Rate     float64   `json:"events_per_second"` // applied
	Fuel     uint64    `json:"fuel_per_event"`    // 0: there were no events, or they are not metered
	Behind   uint64    `json:"behind"`            // sequences
	BehindMs int64     `json:"behind_ms"`
}
