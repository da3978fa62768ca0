package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
)

// Whoever starts an engine a second time is told that it runs, and not to take another address, with which the data
// directory would be refused next.
func TestSecondEngineIsTold(t *testing.T) {
	c := &config.Config{DataDir: t.TempDir()}
	hint := func() string {
		var said strings.Builder
		cli.PrintError(&said, notListening(c, errors.New("address already in use")))
		return said.String()
	}
	if got := hint(); !strings.Contains(got, "another program has the address") {
		t.Errorf("while no engine runs it says\n%s", got)
	}
	dir, err := openDir(c.DataDir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	if got := hint(); !strings.Contains(got, "an engine runs on this data directory already, as process ") {
		t.Errorf("while one runs it says\n%s", got)
	}
}
