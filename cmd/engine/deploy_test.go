package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/internal/testutil/natstest"
	"gnomon/plugins/bucket"
)

// Modules are deployed to an external server without an engine, and without a stream
// being declared there.
func TestDeployToAServer(t *testing.T) {
	s := natstest.Start(t)
	dir := t.TempDir()
	text := fmt.Sprintf("[nats]\nurl = %q\n[[stream]]\nname = \"LOG\"\nsubjects = [\"log.>\"]\n[plugins]\nbucket = \"MODULES\"\n", s.URL())
	for name, b := range map[string][]byte{"config.toml": []byte(text), "sound.wasm": sound} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	engine := func(want int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if code := run(t.Context(), append(args, "--config", filepath.Join(dir, "config.toml")), strings.NewReader(""), &out, &out); code != want {
			t.Fatalf("engine %s exits with %d: %s", args, code, out.String())
		}
		return out.String()
	}
	if out := engine(cli.ExitDone, "deploy", filepath.Join(dir, "sound.wasm")); !strings.HasPrefix(out, "sound: deployed to MODULES, which was created\n") {
		t.Errorf("it prints %s", out)
	}
	js := s.JetStream(t)
	objects, err := js.ObjectStore(t.Context(), "MODULES")
	if err != nil {
		t.Fatal(err)
	}
	object, err := objects.GetBytes(t.Context(), "sound")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := bucket.Unpack("sound", object); err != nil || !bytes.Equal(d.Files["sound.wasm"], sound) {
		t.Errorf("what is there: %v", err)
	}
	if _, err := js.Stream(t.Context(), "LOG"); err == nil {
		t.Error("the stream was declared")
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a data directory was made")
	}
	engine(cli.ExitDone, "deploy", "--remove", "sound")
	if out := engine(cli.ExitFailed, "deploy", "--remove", "sound"); !strings.Contains(out, "module sound is not deployed: bucket MODULES holds none") {
		t.Errorf("it prints %s", out)
	}
}
