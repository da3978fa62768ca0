package wire

import "gnomon/engine"

// Declared is what a declaration of a projection did, or would do.
type Declared struct {
	Projection string        `json:"projection"`
	Action     engine.Action `json:"action"`
	Why        string        `json:"why,omitempty"`
	Refused    string        `json:"refused,omitempty"` // why it cannot be taken: what ran goes on
}

// Reloaded is the answer to a reload, and to a plan.
type Reloaded struct {
	Projections []Declared `json:"projections"`
	Notes       []string   `json:"notes,omitempty"` // what else is worth knowing, such as settings that take effect at the next start
}

// Changes reports whether something was, or would be, done.
func (r *Reloaded) Changes() bool {
	for _, p := range r.Projections {
		if p.Action != engine.ActNothing || p.Refused != "" {
			return true
		}
	}
	return false
}
