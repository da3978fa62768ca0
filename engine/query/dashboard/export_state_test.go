package dashboard

import "time"

// RFC3339 is a time of an event as an address has it.
func RFC3339(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
