package gnomon_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// An upcaster that is written in a few lines, and compiled as its author does, rewrites
// events in the sandbox: into one, several or none, and it keeps the rest as they are. As a
// projection it is refused, and an event that it fails on is named.
func TestUpcasterInTheSandbox(t *testing.T) {
	upcasts := inSandbox(t, "upcasts", `{"suffix":".v2"}`)
	headers, _ := abi.AppendHeader(nil, "Trace", "1")
	headers, _ = abi.AppendHeader(headers, "ce-time", "2026-03-01T10:00:00Z")
	headers, _ = abi.AppendHeader(headers, "ce-type", "named")
	var batch []byte
	for i, e := range []abi.Record{
		{Subject: []byte("named.1"), Headers: headers, Data: []byte(`{"name":"Ada Lovelace"}`)},
		{Subject: []byte("batch"), Data: []byte("x y z")},
		{Subject: []byte("test.1")},
		{Subject: []byte("other"), Headers: headers, Data: []byte("\x00\xff")},
	} {
		e.Sequence, e.TimeNs = uint64(i+1), int64(i+1)
		batch = e.Append(batch)
	}
	made, err := upcasts(batch)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for len(made) > 0 {
		var r abi.Record
		if r, made, err = abi.Next(made); err != nil || r.TimeNs != int64(r.Sequence) {
			t.Fatalf("%+v, %v", r, err)
		}
		kind, _ := r.Header("ce-type")
		_, traced := r.Header("trace")
		lines = append(lines, fmt.Sprintf("%d %s %s %t %q", r.Sequence, r.Subject, kind, traced, r.Data))
	}
	want := []string{
		`1 named.1.v2 named.v2 false "{\"first\":\"Ada\",\"last\":\"Lovelace\"}"`,
		`2 item.x  false "x"`, `2 item.y  false "y"`, `2 item.z  false "z"`,
		`4 other named true "\x00\xff"`,
	}
	if got, twice := strings.Join(lines, "\n"), strings.Join(append(want, want...), "\n"); got != twice {
		t.Errorf("got\n%s\nwant\n%s", got, twice)
	}
	bad := abi.Record{Sequence: 9, Subject: []byte("named.1"), Data: []byte(`{}`)}
	if _, err = upcasts(bad.Append(batch)); err == nil || !strings.Contains(err.Error(), `event 4: upcast returned an error: the event's data has no such field: "name"`) {
		t.Errorf("error = %v", err)
	}
}

// inSandbox builds a module of testdata, and returns a function that runs it in the
// sandbox.
func inSandbox(t *testing.T, name, settings string) func(batch []byte) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	module, sandbox := filepath.Join(dir, "module.wasm"), filepath.Join(dir, "sandbox")
	if err := os.WriteFile(module, compile(t, name), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("go", "build", "-o", sandbox, "./testdata/sandbox").CombinedOutput(); err != nil {
		t.Fatalf("build sandbox: %v\n%s", err, text)
	}
	return func(batch []byte) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), sandbox, module, settings, testutil.Compiled(filepath.Join(dir, "cache")))
		cmd.Stdin = bytes.NewReader(batch)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(string(exit.Stderr))
		}
		return out, err
	}
}
