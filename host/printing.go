package host

import (
	"cmp"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// printing logs what a guest prints, and remembers of the call under way what may say why
// it traps: the runtimes of most languages print that and then stop.
type printing struct {
	in  *instance
	log guest.Log // nil: nobody reads it
}

// Enabled implements guest.Log.
func (p printing) Enabled(level int) bool { return p.log != nil && p.log.Enabled(level) }

// Line implements guest.Log. Of a report on standard error the first line says what
// happened, and the others where; what goes to standard output is the guest's own up to
// the last line (TinyGo).
func (p printing) Line(l guest.Line) {
	level, text := l.Level, l.Text
	switch c := &p.in.call; {
	case text == "":
	case level == int(abi.LevelInfo):
		c.printed = text
	case c.complaint == "":
		c.complaint = text
	}
	if p.log != nil {
		p.in.call.log(p.log, level, text)
	}
}

// lastWords is what the guest printed before it trapped, after a colon; empty: nothing.
func (c *call) lastWords() string {
	if words := cmp.Or(c.complaint, c.printed); words != "" {
		return ": " + words
	}
	return ""
}
