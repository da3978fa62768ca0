package engine

import "testing"

// What helps a generation that is not read is done to that one: its hint names it, whatever the order is.
func TestHintsNameTheRole(t *testing.T) {
	p := &projection{name: "p"}
	for hint, want := range map[string]string{
		"engine dead-letters skip p 7":          "engine dead-letters skip p@previous 7",
		haltHint(&fullError{}, "p"):             haltHint(&fullError{}, "p@previous"),
		"engine dead-letters retry other --all": "engine dead-letters retry other --all",
	} {
		if got := p.hintOf(RolePrevious, hint); got != want {
			t.Errorf("%q is %q", hint, got)
		}
	}
}
