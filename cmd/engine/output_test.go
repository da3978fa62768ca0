package main

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/cmd/engine/cli"
)

var errDiskFull = errors.New("no space left on device")

// fullDisk takes so many bytes, and no more.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	if d.room -= n; n < len(p) {
		return n, errDiskFull
	}
	return n, nil
}

// A command whose output cannot be written has failed, whatever else it did, and says so.
func TestLostOutputIsAFailure(t *testing.T) {
	module := "../../examples/wasm-projections/count/count.wasm"
	for _, args := range [][]string{
		{"version"}, {"--help"}, {"help", "run"}, {"check", module}, {"completion", "bash"},
		{"test", module, "--events", filepath.Join("testdata", "one.jsonl")},
	} {
		var said strings.Builder
		if code := run(t.Context(), args, strings.NewReader(""), io.Discard, &said); code != cli.ExitDone {
			t.Fatalf("engine %s: exit %d\n%s", strings.Join(args, " "), code, said.String())
		}
		for _, room := range []int{0, 5} {
			said.Reset()
			code := run(t.Context(), args, strings.NewReader(""), &fullDisk{room}, &said)
			if code != cli.ExitFailed || !strings.Contains(said.String(), errDiskFull.Error()) {
				t.Errorf("engine %s, with room for %d bytes: exit %d\n%s", strings.Join(args, " "), room, code, said.String())
			}
		}
	}
}
