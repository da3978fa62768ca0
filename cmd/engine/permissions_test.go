package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/cmd/engine/cli"
	"gnomon/internal/testutil/natstest"
)

// documented are the permissions that docs/OPERATIONS.md lists, by their section there, read
// by the server itself.
type documented struct {
	text     string
	sections map[string][]string // "publish run", and so on
}

func readPermissions(t *testing.T) (d documented) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(doc), "```\nauthorization {")
	text, _, closed := strings.Cut(after, "```\n")
	if !ok || !closed {
		t.Fatal("docs/OPERATIONS.md has no authorization")
	}
	d = documented{"authorization {" + text, map[string][]string{}}
	verb, section := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasSuffix(line, ": ["):
			verb = strings.TrimSuffix(line, ": [")
		case strings.HasPrefix(line, "# "):
			section, _, _ = strings.Cut(line[2:], ":")
		case strings.HasPrefix(line, `"`):
			key := verb + " " + section
			d.sections[key] = append(d.sections[key], strings.Trim(line, `"`))
		}
	}
	return d
}

// server runs one with the documented user, without one line of what that may, and an
// administrator.
func (d documented) server(t *testing.T, verb, without string) *natstest.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	text := strings.Replace(d.text, "$GNOMON_NATS_PASSWORD", "secret", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := server.ProcessConfigFile(file)
	if err != nil || len(conf.Users) != 1 {
		t.Fatalf("%v: %v", conf, err)
	}
	user := conf.Users[0]
	of := map[string]*server.SubjectPermission{"publish": user.Permissions.Publish, "subscribe": user.Permissions.Subscribe}
	if verb != "" {
		before := len(of[verb].Allow)
		of[verb].Allow = slices.DeleteFunc(of[verb].Allow, func(s string) bool { return s == without })
		if len(of[verb].Allow) != before-1 {
			t.Fatalf("%s is not among what the user may %s", without, verb)
		}
	}
	return natstest.Start(t, natstest.User("admin", "secret", nil), natstest.With(func(o *server.Options) { o.Users = append(o.Users, user) }))
}

// tenant is a home of an engine of a user of a server.
type tenant struct {
	*home
	t     *testing.T
	conn  *natsgo.Conn // of an administrator
	asked error        // whether the last engine that ran answered over NATS
	kv    bool         // it mirrors into a bucket, which is waited for
}

// mirrored waits until the bucket has something, or the engine was refused something.
func (n *tenant) mirrored(w *printed) {
	js, err := jetstream.New(n.conn)
	if err != nil {
		n.t.Error(err)
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(patience); !w.contains("NATS refuses"); {
		if s, err := js.Stream(n.t.Context(), "KV_ORDERS"); err == nil && s.CachedInfo().State.Msgs > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			n.t.Error("nothing is mirrored, and nothing refused")
			return
		}
	}
}

func newTenant(t *testing.T, s *natstest.Server, user string) *tenant {
	t.Helper()
	h := newHome(t, "events.>", strings.ReplaceAll(projection("count", "count.wasm"), `"LOG"`, `"EVENTS"`))
	text, err := os.ReadFile(h.config)
	if err == nil {
		changed := strings.NewReplacer(`name = "LOG"`, `name = "EVENTS"`, "[plugins]", "[plugins]\nbucket = \"GNOMON_MODULES\"").Replace(string(text))
		err = os.WriteFile(h.config, fmt.Appendf(nil, "[nats]\nurl = %q\nuser = %q\npassword = \"secret\"\n%s", s.URL(), user, changed), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := `{"subject":"events.a","id":"1","type":"t","time":"2026-01-01T00:00:00Z","data":1}` + "\n"
	if err := os.WriteFile(filepath.Join(h.dir, "lines.jsonl"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tenant{home: h, t: t, conn: s.Connect(t)}
}

// printed is what a command prints. It ends the command when that is what is waited for.
type printed struct {
	mu    sync.Mutex
	text  bytes.Buffer
	until *regexp.Regexp
	end   func()
}

func (w *printed) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	if w.until.Match(w.text.Bytes()) {
		w.end()
	}
	return n, err
}

// exampleOf is a subject that a test uses, of those with which the documents show how it is for
// all that have it as their beginning.
var exampleOf = map[string]string{"events.>": "events.a"}

// unheard are permissions whose lack nothing here tells of: what is asked when a reader is
// silent for seconds (engine/ingest tests that), when a listing is long, and as the command ends.
var unheard = []string{"$JS.API.CONSUMER.INFO.EVENTS.>", "$JS.FC.KV_ORDERS.>", "$JS.API.CONSUMER.DELETE.OBJ_SNAPSHOTS.>"}

func (w *printed) contains(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

// do runs a command until it ends, or prints something, and returns what it printed.
func (n *tenant) do(until string, args ...string) (out string, code int) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	w := &printed{until: regexp.MustCompile(until)}
	w.end = sync.OnceFunc(func() {
		go func() { // the command goes on meanwhile
			defer cancel()
			if args[0] == "run" {
				_, n.asked = n.conn.Request("gnomon.v1.list", nil, time.Second)
				if n.kv {
					n.mirrored(w)
				}
			}
		}()
	})
	code = run(ctx, args, strings.NewReader(""), w, w)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == context.DeadlineExceeded {
		n.t.Errorf("engine %s: does not end", strings.Join(args, " "))
	}
	return w.text.String(), code
}

// operations are what an engine does with a server, by the sections of the permissions that
// they need.
var operations = map[string]func(n *tenant) [][]string{
	"create": func(n *tenant) [][]string { return [][]string{{"publish", "events.a", "1", "--config", n.config}} },
	"append": func(n *tenant) [][]string {
		return append([][]string{{"publish", "events.a", "1", "--config", n.config}}, []string{"import", "--config", n.config, "--stream", "EVENTS", filepath.Join(n.dir, "lines.jsonl")})
	},
	"run": func(n *tenant) [][]string {
		return [][]string{{"run", "--config", n.config}, {"run", "--config", n.config}}
	},
	"service": func(n *tenant) [][]string { return [][]string{{"run", "--config", n.config}} },
	"mirror": func(n *tenant) [][]string {
		n.kv = true
		n.configure("", "[projection.kv]\nbucket = \"ORDERS\"") // of the last projection
		return [][]string{{"run", "--config", n.config}}
	},
	"deploy": func(n *tenant) [][]string {
		module := filepath.Join(exampleModules(n.t), "count.wasm")
		other := filepath.Join(n.dir, "other.wasm")
		b, err := os.ReadFile(module)
		if err == nil {
			err = os.WriteFile(other, b, 0o600)
		}
		if err != nil {
			n.t.Fatal(err)
		}
		return [][]string{{"deploy", other, "--config", n.config}, {"deploy", other, "--config", n.config}, {"run", "--config", n.config}, {"deploy", "--remove", "other", "--config", n.config}}
	},
	"archive": func(n *tenant) [][]string {
		return [][]string{
			{"run", "--once", "--config", n.config},
			{"snapshot", "export", "count", "--data-dir", n.data(), "--bucket", "SNAPSHOTS", "--config", n.config},
			{"snapshot", "import", "count", "--candidate", "--bucket", "SNAPSHOTS", "count.gnar", "--config", n.config},
		}
	},
}

// With the permissions that docs/OPERATIONS.md lists an engine and its commands do all that
// they do with an external server, and nothing is refused.
func TestDocumentedPermissions(t *testing.T) {
	s := readPermissions(t).server(t, "", "")
	n := newTenant(t, s, "gnomon")
	for _, section := range []string{"create", "append", "run", "service", "deploy", "mirror", "archive"} {
		for _, args := range operations[section](n) {
			out, code := n.do("Serving on ", args...)
			said := strings.ReplaceAll(out, t.Name(), "") // folders are named after the test
			if code != cli.ExitDone || strings.Contains(said, "ermissions") {
				t.Errorf("engine %s: exit %d\n%s", strings.Join(args, " "), code, out)
			}
			if n.asked != nil {
				t.Errorf("engine %s: asked over NATS: %v", strings.Join(args, " "), n.asked)
			}
		}
	}
}

// Without any of these permissions what needs it says which one is missing.
func TestMissingPermissions(t *testing.T) {
	long(t)
	d := readPermissions(t)
	for key, subjects := range d.sections {
		verb, section, _ := strings.Cut(key, " ")
		if operations[section] == nil {
			continue
		}
		for _, subject := range subjects {
			if slices.Contains(unheard, subject) {
				continue
			}
			t.Run(key+" "+subject, func(t *testing.T) {
				s := d.server(t, verb, subject)
				n := newTenant(t, s, "gnomon")
				if section != "create" {
					admin := newTenant(t, s, "admin")
					admin.engine("publish", "events.a", "1", "--config", admin.config)
				}
				says := fmt.Sprintf(`add \\?"%s\\?" to the subjects that the user may %s`, regexp.QuoteMeta(cmp.Or(exampleOf[subject], subject)), verb)
				var all strings.Builder
				for _, args := range operations[section](n) {
					out, _ := n.do(says+"|Serving on ", args...)
					fmt.Fprintf(&all, "engine %s\n%s", strings.Join(args, " "), out)
				}
				if !regexp.MustCompile(says).MatchString(all.String()) {
					t.Errorf("nobody says that %s is missing:\n%s", subject, all.String())
				}
			})
		}
	}
}
