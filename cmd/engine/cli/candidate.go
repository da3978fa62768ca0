package cli

import (
	"fmt"
	"io"

	"gnomon/engine"
)

// printBeside prints a line for each generation that there is beside the one that is read,
// and why a declaration is refused.
func printBeside(w io.Writer, s engine.Status) {
	if g := s.Candidate; g != nil {
		fmt.Fprintf(w, "%s: candidate %s is %s; %s\n", s.Projection, g.ID, candidateProgress(g), candidateNext(s.Projection, g))
	}
	if g := s.Previous; g != nil {
		fmt.Fprintf(w, "%s: previous %s is %s\n", s.Projection, g.ID, previousNext(s.Projection, g))
	}
	printBesideReasons(w, s)
}

// printBesideReasons prints why a candidate or the previous generation is in its state, and
// why a declaration is refused.
func printBesideReasons(w io.Writer, s engine.Status) {
	for _, o := range []struct {
		role engine.Role
		g    *engine.GenerationStatus
	}{{engine.RoleCandidate, s.Candidate}, {engine.RolePrevious, s.Previous}} {
		if o.g != nil {
			PrintReason(w, engine.Status{Projection: s.Projection + "@" + string(o.role), State: o.g.State, Reason: o.g.Reason, Hint: o.g.Hint})
		}
	}
	if s.Refused != "" && s.Refused != s.Reason {
		fmt.Fprintf(w, "%s: its newest declaration is refused, and what ran goes on: %s\n", s.Projection, Readable([]byte(s.Refused)))
		fmt.Fprintln(w, "  hint: mend it: it is taken within a second; engine plan says what it would do")
	}
}

// candidateProgress says how far a candidate is.
func candidateProgress(g *engine.GenerationStatus) string {
	text := fmt.Sprintf("%s at %d, %d behind", g.State, g.Position, g.Behind)
	if g.State == engine.CatchingUp {
		text += fmt.Sprintf(", %.0f events/s, time left: %s", g.Rate, timeLeft(engine.Status{LeftMs: g.LeftMs}))
	}
	return text
}

// candidateNext says how a candidate takes over.
func candidateNext(projection string, g *engine.GenerationStatus) string {
	switch {
	case g.Auto:
		return "it takes over by itself once it has caught up"
	case g.State == engine.Offline:
		return "an engine that runs goes on with it"
	case g.State == engine.Live:
		return fmt.Sprintf("promote it with: engine promote %s; compare it with: engine diff %s", projection, projection)
	}
	return fmt.Sprintf("promote it, once it has caught up, with: engine promote %s", projection)
}

// previousNext says how long there is a previous generation, and what for.
func previousNext(projection string, g *engine.GenerationStatus) string {
	text := fmt.Sprintf("%s at %d", g.State, g.Position)
	if !g.Until.IsZero() {
		text += fmt.Sprintf(", kept until %s", g.Until.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	if g.State == engine.Live {
		text += "; go back to it with: engine rollback " + projection
	}
	return text
}
