package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/store"
	"gnomon/internal/testutil/certtest"
)

// The command does what the scripts in testdata/script say, as a user would see it:
// what it prints, its exit codes, and the files that it leaves behind.
//
// Scripts have $PLUGINS, the folder of the example modules; $CACHE, these compiled,
// for data/cache; $LEDGERS, ledger.wasm and mended.wasm of testdata/ledger; $GITLOG, the
// shipped log; gitlog.jsonl, its first 50 events; $BINARY, a key that is no text, and
// $ESC, one that is not printable. Beside testscript's own commands:
//
//	exit N COMMAND…    run COMMAND, which must exit with N
//	refused COMMAND…   run COMMAND, which must exit with 1, print one line that begins
//	                   with "engine: ", and at most a hint below it, and create nothing;
//	                   to stdout only what is wrong with a module
//	serving [NAME…]    wait until the engine on data serves, and these projections are
//	                   live, with NAME=N at N at least; sets $GNOMON_SERVER for the
//	                   commands that follow, and $PID
//	reaches NAME STATE wait until a projection of the engine is in a state
//	held               wait until a process has data; sets $PID
//	without FIELD…     print the JSON lines of stdout without these fields
//	profiling FILE     wait until an engine that prints to FILE serves profiles; sets
//	                   $PROFILES, their address
//	httpget PATH       print the status and the body of a GET of the engine, or of a URL
//	certificates       write ca.pem, and server.pem, client.pem, expired.pem that it signed, with
//	                   their keys, such as server.key
//	wasm NAME FILE     write a module of scriptModules to a file
//	broken NAME REGEXP write such a module to a file in modules; run and check must
//	                   refuse it, with this end of the line
func TestScripts(t *testing.T) {
	plugins := exampleModules(t)
	cache := compiledExamples(t)
	ledger, err := ledgers()
	if err != nil {
		t.Fatal(err)
	}
	gitlog, err := filepath.Abs(logFile(t, "gitlog"))
	if err != nil {
		t.Fatal(err)
	}
	short := firstLines(t, gitlog, 50)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("GNOMON_UPDATE") != "",
		RequireUniqueNames:  true,
		RequireExplicitExec: false,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PLUGINS", plugins)
			env.Setenv("CACHE", cache)
			env.Setenv("LEDGERS", ledger)
			env.Setenv("GITLOG", gitlog)
			env.Setenv("BINARY", "\xff\xfe")
			env.Setenv("ESC", "\x1b")
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return os.WriteFile(filepath.Join(env.WorkDir, "gitlog.jsonl"), short, 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exit": scriptExit, "refused": scriptRefused, "serving": scriptServing, "reaches": scriptReaches, "held": scriptHeld,
			"profiling": scriptProfiling, "without": scriptWithout, "httpget": scriptHTTPGet, "certificates": scriptCertificates, "wasm": scriptWasm, "broken": scriptBroken,
		},
	})
}

// compiledExamples compiles what scripts use, so that they do not wait for it all
// at once, and returns the cache.
func compiledExamples(t *testing.T) string {
	t.Helper()
	h := newHome(t, "none", projection("process-map", "process-map.wasm")+projection("count", "count.wasm"))
	h.runOnce()
	return compiled(t)
}

func scriptExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit N COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCode(ts, args[1:]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// exitCode runs a command to its end.
func exitCode(ts *testscript.TestScript, command []string) int {
	err := ts.Exec(command[0], command[1:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%v", err)
	return -1
}

func scriptRefused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: refused COMMAND…")
	}
	before := tree(ts)
	if got := exitCode(ts, args); got != cli.ExitFailed {
		ts.Fatalf("exit code %d, want %d", got, cli.ExitFailed)
	}
	made := slices.DeleteFunc(tree(ts), func(file string) bool { return slices.Contains(before, file) })
	if len(made) > 0 {
		ts.Fatalf("files were made: %q", made)
	}
	if title, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n"); title != "" && !strings.HasSuffix(title, ": refused") {
		ts.Fatalf("stdout is not empty, and does not list problems of a module")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	if !strings.HasPrefix(lines[0], "engine: ") || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "hint: ") {
		ts.Fatalf("stderr is not one line, with a hint below it at most")
	}
}

// tree lists the files of a script.
func tree(ts *testscript.TestScript) []string {
	var files []string
	ts.Check(filepath.WalkDir(ts.Getenv("WORK"), func(path string, _ fs.DirEntry, err error) error {
		files = append(files, path)
		return err
	}))
	return files
}

func scriptServing(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serving [NAME[=N]…]")
	}
	var holder store.Holder
	await(ts, "an engine to serve", func(context.Context) bool {
		holder, _ = store.Running(ts.MkAbs("data"))
		return holder.HTTP != ""
	})
	ts.Setenv("GNOMON_SERVER", cli.BaseOf(holder))
	ts.Setenv("PID", strconv.Itoa(holder.PID))
	cl := scriptClient(ts)
	for _, arg := range args {
		name, seq, _ := strings.Cut(arg, "=")
		reached, _ := strconv.ParseUint(seq, 10, 64)
		await(ts, arg, func(ctx context.Context) bool {
			s, err := cl.Projection(ctx, name)
			return err == nil && s.State == engine.Live && s.Position >= max(reached, s.StreamLast)
		})
	}
}

// scriptClient asks the engine as the commands of a script do.
func scriptClient(ts *testscript.TestScript) *client.Client {
	cl, err := client.New(ts.Getenv("GNOMON_SERVER"), ts.Getenv("GNOMON_TOKEN"))
	ts.Check(err)
	if ca := ts.Getenv("GNOMON_CA"); ca != "" {
		ts.Check(cl.UseTLS(client.TLS{CA: ts.MkAbs(ca), Cert: ts.MkAbs(ts.Getenv("GNOMON_CERT")), Key: ts.MkAbs(ts.Getenv("GNOMON_KEY"))}))
	}
	return cl
}

func scriptCertificates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: certificates")
	}
	ca := certtest.New()
	files := map[string][]byte{"ca.pem": ca.PEM()}
	files["server.pem"], files["server.key"] = ca.Issue("server")
	files["client.pem"], files["client.key"] = ca.Issue("client")
	files["expired.pem"], files["expired.key"] = ca.Issue("expired", certtest.Expired)
	for name, b := range files {
		ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o600))
	}
}

func scriptReaches(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: reaches NAME STATE")
	}
	cl := scriptClient(ts)
	await(ts, strings.Join(args, " to be "), func(ctx context.Context) bool {
		s, err := cl.Projection(ctx, args[0])
		return err == nil && string(s.State) == args[1]
	})
}

func scriptHeld(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: held")
	}
	await(ts, "a process to have the data directory", func(context.Context) bool {
		holder, running := store.Running(ts.MkAbs("data"))
		ts.Setenv("PID", strconv.Itoa(holder.PID))
		return running && holder.PID != 0
	})
}

func scriptProfiling(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: profiling FILE")
	}
	await(ts, "an engine to serve profiles", func(context.Context) bool {
		out, _ := os.ReadFile(ts.MkAbs(args[0]))
		for line := range strings.Lines(string(out)) {
			if url, ok := strings.CutPrefix(line, "profiles: "); ok && strings.HasSuffix(url, "\n") {
				ts.Setenv("PROFILES", strings.TrimSpace(url))
				return true
			}
		}
		return false
	})
}

// await asks again and again until a condition holds.
func await(ts *testscript.TestScript, what string, holds func(context.Context) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("waited for %s in vain", what)
		}
	}
}

func scriptWithout(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: without FIELD…")
	}
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		var v any
		ts.Check(d.Decode(&v))
		b, err := json.Marshal(removed(v, args))
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "%s\n", b)
	}
}

// removed is a JSON value without some fields, at any depth.
func removed(v any, fields []string) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			if slices.Contains(fields, k) {
				delete(v, k)
			} else {
				v[k] = removed(v[k], fields)
			}
		}
	case []any:
		for i := range v {
			v[i] = removed(v[i], fields)
		}
	}
	return v
}

func scriptHTTPGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: httpget PATH")
	}
	url := args[0]
	if strings.HasPrefix(url, "/") {
		url = ts.Getenv("GNOMON_SERVER") + url
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	ts.Check(err)
	if token := ts.Getenv("GNOMON_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d\n%s", res.StatusCode, body)
}

// firstLines returns the beginning of a compressed log.
func firstLines(t *testing.T, log string, n int) []byte {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	for s := bufio.NewScanner(z); n > 0 && s.Scan(); n-- {
		fmt.Fprintf(&head, "%s\n", s.Bytes())
	}
	return head.Bytes()
}
