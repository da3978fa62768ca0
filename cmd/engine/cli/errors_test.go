package cli

import (
	"errors"
	"strings"
	"testing"
)

// What an error quotes of a guest does not reach the terminal as an order, and other errors
// are printed as they are.
func TestErrorsAreReadable(t *testing.T) {
	for text, want := range map[string]string{
		"init returned an error: \x1b[2J":   `engine: "init returned an error: \x1b[2J"` + "\n",
		"init returned an error: \xff":      `engine: "init returned an error: \xff"` + "\n",
		"two lines\nwith a tab\tand “é”: 5": "engine: two lines\nwith a tab\tand “é”: 5\n",
	} {
		var out strings.Builder
		PrintError(&out, errors.New(text))
		if got := out.String(); got != want {
			t.Errorf("%q is printed as %q, want %q", text, got, want)
		}
	}
}
