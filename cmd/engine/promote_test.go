package main

import (
	"strings"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
)

// Who cannot go back to a generation that is behind is sent to look at that one, and not to promote another.
func TestRollbackHint(t *testing.T) {
	for code, want := range map[string]string{
		wire.CodeBehind:       "\nhint: engine status orders@previous says why, ",
		wire.CodeNoGeneration: "\nhint: engine status orders says which there are, ",
	} {
		var said strings.Builder
		cli.PrintError(&said, explainRollback(&wire.Problem{Code: code, Detail: "no"}, "orders"))
		if got := said.String(); !strings.Contains(got, want) || strings.Contains(got, "engine promote") {
			t.Errorf("%s: %s", code, got)
		}
	}
}
