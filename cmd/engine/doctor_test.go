package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/broker"
	"gnomon/engine/store"
	"gnomon/internal/testutil/certtest"
	"gnomon/internal/testutil/natstest"
)

// patient is a folder with all that an engine needs, a NATS server, and a doctor for them.
type patient struct {
	*doctor
	t      *testing.T
	dir    string
	text   string // of the configuration
	server *natstest.Server
	stream jetstream.StreamConfig // "": it is not created
}

// newPatient is healthy.
func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t, dir: t.TempDir(), stream: jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, AllowAtomicPublish: true}}
	p.doctor = newDoctor(p.file("config.toml"))
	p.disk = func(dir string) (store.Disk, error) { // whatever tests are run on
		disk, err := store.DiskOf(dir)
		disk.Memory, disk.Network = false, ""
		return disk, err
	}
	module, err := os.ReadFile("../../examples/wasm-projections/count/count.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"data", "plugins"} {
		if err := os.Mkdir(p.file(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.write("plugins/count.wasm", string(module))
	p.write("tokens", "a-token-of-an-admin\n")
	p.text = `data_dir = "data"
disk_reserve = "1MiB"
[http]
listen = "127.0.0.1:0"
token_file = "tokens"
[nats]
url = "URL"
[plugins]
dir = "plugins"
[[stream]]
name = "EVENTS"
subjects = ["events.>"]
[[projection]]
name = "count"
module = "count.wasm"
stream = "EVENTS"
`
	return p
}

func (p *patient) file(name string) string { return filepath.Join(p.dir, name) }

func (p *patient) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.file(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// replace changes the configuration.
func (p *patient) replace(old, text string) {
	p.t.Helper()
	if !strings.Contains(p.text, old) {
		p.t.Fatalf("the configuration has no %q", old)
	}
	p.text = strings.Replace(p.text, old, text, 1)
}

// runs starts the server, with the stream.
func (p *patient) runs(options ...natstest.Option) {
	p.t.Helper()
	p.server = natstest.Start(p.t, options...)
	if p.stream.Name == "" {
		return
	}
	if _, err := p.server.JetStream(p.t).CreateStream(p.t.Context(), p.stream); err != nil {
		p.t.Fatal(err)
	}
}

// examined is what the doctor finds that is not ok.
func (p *patient) examined() (bad []finding) {
	p.t.Helper()
	if p.server == nil && strings.Contains(p.text, `"URL"`) {
		p.runs()
	}
	if p.server != nil {
		p.text = strings.Replace(p.text, "URL", p.server.URL(), 1)
	}
	p.write("config.toml", p.text)
	p.examine(p.t.Context())
	if len(p.findings) < 2 && p.findings[0].Level == levelOK {
		p.t.Fatalf("hardly anything is examined: %v", p.findings)
	}
	for _, f := range p.findings {
		if f.Level != levelOK {
			bad = append(bad, f)
		}
	}
	return bad
}

// Nothing is wrong with an engine that has what it needs, on a server of its own or on the embedded one.
func TestDoctorOfTheHealthy(t *testing.T) {
	for name, change := range map[string]func(p *patient){
		"external": func(*patient) {},
		"embedded": func(p *patient) { p.replace(`"URL"`, `"embedded"`) },
		"with TLS": func(p *patient) { p.certified(365 * 24 * time.Hour) },
		"a password of the environment that is a word of the configuration": func(p *patient) {
			p.runs(natstest.User("gnomon", "count", nil))
			p.replace(`url = "URL"`, "url = \"URL\"\nuser = \"gnomon\"\npassword = \"${PASSWORD}\"")
			p.t.Setenv("PASSWORD", "count")
			p.write("config.toml", "")
			p.mode("config.toml", 0o644)
		},
		"emitting to a stream that it creates": func(p *patient) {
			p.text += "[projection.emit]\nsubjects = [\"alerts.low.>\"]\n[[stream]]\nname = \"ALERTS\"\nsubjects = [\"alerts.>\"]\n"
		},
		"first start": func(p *patient) { // neither folder nor stream is there yet
			p.stream.Name = ""
			if err := os.Remove(p.file("data")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		p := newPatient(t)
		change(p)
		if bad := p.examined(); len(bad) > 0 {
			t.Errorf("%s: %+v", name, bad)
		}
	}
}

// planted are misconfigurations, each the only one: what plants it, and what the doctor says.
var planted = []struct {
	name  string
	plant func(p *patient)
	check string
	level level
	found string // a part of it
	do    string // likewise
}{
	{"a configuration with a key that there is not", func(p *patient) { p.replace("disk_reserve", "disk_reserved") }, "configuration", levelFail, `unknown key "disk_reserved"`, "config.toml"},
	{"a data directory in memory", func(p *patient) {
		dir, err := os.MkdirTemp("/dev/shm", "gnomon-doctor-")
		if err != nil {
			p.t.Skip("there is no file system in memory")
		}
		p.t.Cleanup(func() { os.RemoveAll(dir) })
		p.disk = store.DiskOf
		p.replace(`data_dir = "data"`, fmt.Sprintf("data_dir = %q", dir))
	}, "disk", levelWarn, "file system in memory", "to a disk"},
	{"a reserve that the disk does not have", func(p *patient) { p.replace(`"1MiB"`, `"1PiB"`) }, "disk", levelFail, "disk_reserve is 1.0 PiB", "make room"},
	{"a data directory that others write", func(p *patient) { p.mode("data", 0o777) }, "data_dir", levelFail, "may be written by others", "chmod 700"},
	{"tokens that everybody reads", func(p *patient) { p.mode("tokens", 0o644) }, "secrets", levelWarn, "http.token_file: ", "chmod 600"},
	{"a password that everybody reads", func(p *patient) {
		p.runs(natstest.User("gnomon", "secret", nil))
		p.replace(`url = "URL"`, "url = \"URL\"\nuser = \"gnomon\"\npassword = 'secret'")
		p.write("config.toml", "")
		p.mode("config.toml", 0o644)
	}, "secrets", levelWarn, "the password or token in the configuration", "chmod 600"},
	{"few file descriptors", func(p *patient) { p.openFiles = func() uint64 { return 256 } }, "open files", levelWarn, "256 at most; 1 projection and http.max_connections = 512 may need 676", "LimitNOFILE=1024"},
	{"little memory", func(p *patient) { p.memory = func() uint64 { return 128 << 20 } }, "memory", levelWarn, "128 MiB at most, and guests and caches may take 136 MiB", "projection.limits.memory"},
	{"a folder of modules that there is not", func(p *patient) { p.replace(`dir = "plugins"`, `dir = "plugin"`) }, "modules", levelFail, "no such file", "plugins.dir"},
	{"a file that is no module", func(p *patient) { p.write("plugins/count.wasm", "none") }, "modules", levelFail, "projection count: ", "engine check"},
	{"a module that is not the pinned one", func(p *patient) {
		p.replace(`module = "count.wasm"`, `module = "count.wasm"`+"\nsha256 = \""+strings.Repeat("0", 64)+`"`)
	}, "modules", levelFail, "is pinned", "engine check"},
	{"an address that another program has", func(p *patient) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(func() { l.Close() })
		p.replace("127.0.0.1:0", l.Addr().String())
	}, "http", levelFail, "address already in use", "127.0.0.1:0"},
	{"an address that others reach, without TLS", func(p *patient) { p.replace("127.0.0.1:0", "0.0.0.0:0") }, "http", levelWarn, "without TLS", "[http.tls]"},
	{"a server that is away", func(p *patient) { p.runs(); p.server.Stop() }, "nats", levelFail, "no server answers", "start the server"},
	{"a wrong password", func(p *patient) {
		p.runs(natstest.User("gnomon", "right", nil))
		p.replace(`url = "URL"`, "url = \"URL\"\nuser = \"gnomon\"\npassword = \"${PASSWORD}\"")
		p.t.Setenv("PASSWORD", "wrong")
	}, "nats", levelFail, "authorization violation", "credentials"},
	{"a server without JetStream", func(p *patient) {
		p.stream.Name = ""
		p.runs(natstest.With(func(o *server.Options) { o.JetStream = false }))
	}, "account", levelFail, "JetStream is not enabled", "enable jetstream"},
	{"a server that takes small messages only", func(p *patient) {
		p.runs(natstest.With(func(o *server.Options) { o.MaxPayload = 64 << 10 }))
	}, "nats", levelWarn, "max_payload is 64 KiB", "max_payload"},
	{"an embedded server that syncs seldom", func(p *patient) { p.replace(`"URL"`, "\"embedded\"\nembedded.sync_interval = \"5m\"") }, "nats", levelWarn, "sync_interval is 5m0s", `"1s"`},
	{"a clock that is wrong", func(p *patient) { p.now = func() time.Time { return time.Now().Add(time.Hour) } }, "clock", levelFail, "off that of the server", "NTP"},
	{"a stream that there is not", func(p *patient) { p.replace(`stream = "EVENTS"`, `stream = "OTHER"`) }, "stream OTHER", levelFail, "there is none", "[[stream]]"},
	{"a stream whose events go when they are acknowledged", func(p *patient) { p.stream.Retention = jetstream.WorkQueuePolicy }, "stream EVENTS", levelFail, "work-queue retention", "retention limits"},
	{"a stream with other subjects", func(p *patient) { p.stream.Subjects = []string{"other.>"} }, "stream EVENTS", levelWarn, "subjects is other.>, the configuration says events.>", "nats stream edit"},
	{"a stream that removes events", func(p *patient) { p.stream.MaxAge = time.Hour }, "stream EVENTS", levelWarn, "max_age 1h0m0s", "no outage"},
	{"a stream that forgets ids", func(p *patient) {
		p.stream.Duplicates = time.Second
		p.replace(`subjects = ["events.>"]`, "subjects = [\"events.>\"]\nduplicate_window = \"1s\"")
	}, "stream EVENTS", levelWarn, "duplicate_window is 1s", "2m"},
	{"a stream in memory", func(p *patient) {
		p.stream.Storage = jetstream.MemoryStorage
		p.replace(`subjects = ["events.>"]`, "subjects = [\"events.>\"]\nstorage = \"memory\"")
	}, "stream EVENTS", levelWarn, "events are in memory", `"file"`},
	{"a stream that acknowledges before it writes", func(p *patient) {
		p.stream.PersistMode, p.stream.AllowAtomicPublish = jetstream.AsyncPersistMode, false
		p.replace(`subjects = ["events.>"]`, "subjects = [\"events.>\"]\nallow_atomic = false")
	}, "stream EVENTS", levelWarn, "persist_mode async", "default persist_mode"},
	{"a token that is too short", func(p *patient) { p.write("tokens", "short\n") }, "http", levelFail, "token file", "16 characters"},
	{"a certificate that is none", func(p *patient) {
		p.write("key.pem", "none")
		p.replace("token_file", "tls.cert = \"key.pem\"\ntls.key = \"key.pem\"\ntoken_file")
	}, "http", levelFail, "certificate ", "in PEM"},
	{"a certificate that ends", func(p *patient) { p.certified(24 * time.Hour) }, "http", levelWarn, "ends at ", "renew it"},
	{"a certificate that has ended", func(p *patient) { p.certified(-time.Minute) }, "http", levelFail, "ended at ", "renew it"},
	{"a stream that acknowledges nothing", func(p *patient) {
		p.stream.NoAck, p.stream.AllowAtomicPublish = true, false
		p.replace(`subjects = ["events.>"]`, "subjects = [\"events.>\"]\nallow_atomic = false")
	}, "stream EVENTS", levelWarn, "no_ack", "no_ack = false"},
	{"a stream that is full", func(p *patient) {
		p.stream.MaxMsgs, p.stream.Discard = 1, jetstream.DiscardNew
		p.runs()
		if _, err := p.server.JetStream(p.t).Publish(p.t.Context(), "events.a", nil); err != nil {
			p.t.Fatal(err)
		}
	}, "stream EVENTS", levelWarn, "max_msgs 1, and has 1", "raise the limit"},
	{"a stream without room for consumers", func(p *patient) {
		p.stream.MaxConsumers = 1
		p.runs()
		if _, err := p.server.JetStream(p.t).CreateConsumer(p.t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "other"}); err != nil {
			p.t.Fatal(err)
		}
	}, "stream EVENTS", levelWarn, "1 of at most 1 consumers", "max_consumers"},
	{"a stream with subjects of another", func(p *patient) {
		p.text += "[[stream]]\nname = \"OTHER\"\nsubjects = [\"events.a.>\"]\n"
	}, "stream OTHER", levelFail, "stored by stream EVENTS already", "leave the subject"},
	{"a stream with more replicas than servers", func(p *patient) {
		p.text += "[[stream]]\nname = \"OTHER\"\nsubjects = [\"other.>\"]\nreplicas = 3\n"
	}, "stream OTHER", levelFail, "the server is in no cluster", "replicas = 1"},
	{"a seed that there is not", func(p *patient) {
		p.replace(`subjects = ["events.>"]`, "subjects = [\"events.>\"]\nseed = \"none.jsonl\"")
	}, "stream EVENTS", levelWarn, "its seed: ", "put the file there"},
	{"events that are emitted to no stream", func(p *patient) {
		p.text += "[projection.emit]\nsubjects = [\"nowhere.>\"]\n"
	}, "emit", levelWarn, `no stream stores "nowhere.>"`, "[[stream]]"},
	{"events that are emitted to a stream that acknowledges nothing", func(p *patient) { p.emitsTo(func(c *jetstream.StreamConfig) { c.NoAck = true }) }, "emit", levelWarn, "stream ALERTS acknowledges nothing", "nats stream edit ALERTS"},
	{"events that are emitted to a full stream", func(p *patient) {
		p.emitsTo(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew })
		if _, err := p.server.JetStream(p.t).Publish(p.t.Context(), "alerts.a", nil); err != nil {
			p.t.Fatal(err)
		}
	}, "emit", levelWarn, "refuses events beyond max_msgs 1", "nats stream edit ALERTS"},
	{"events that are emitted to a stream that forgets ids", func(p *patient) {
		p.emitsTo(func(c *jetstream.StreamConfig) { c.Duplicates = time.Second })
	}, "emit", levelWarn, "duplicate_window of 1s", "10s or more"},
	{"an embedded stream whose events go when they are acknowledged", func(p *patient) {
		p.embeds(func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy })
	}, "stream EVENTS", levelFail, "work-queue retention", "retention limits"},
	{"an embedded stream that removes events", func(p *patient) {
		p.embeds(func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	}, "stream EVENTS", levelWarn, "max_age 1h0m0s", "no outage"},
	{"an embedded stream with other subjects", func(p *patient) {
		p.embeds(func(c *jetstream.StreamConfig) { c.Subjects = []string{"other.>"} })
	}, "stream EVENTS", levelWarn, "subjects is other.>, the configuration says events.>", "nats stream edit"},
	{"an embedded stream that there is not", func(p *patient) {
		p.embeds(func(*jetstream.StreamConfig) {})
		p.replace(`stream = "EVENTS"`, `stream = "OTHER"`)
	}, "stream OTHER", levelFail, "there is none", "[[stream]]"},
}

// emitsTo has the projection emit to a stream ALERTS.
func (p *patient) emitsTo(change func(*jetstream.StreamConfig)) {
	p.t.Helper()
	p.runs()
	c := jetstream.StreamConfig{Name: "ALERTS", Subjects: []string{"alerts.>"}}
	change(&c)
	if _, err := p.server.JetStream(p.t).CreateStream(p.t.Context(), c); err != nil {
		p.t.Fatal(err)
	}
	p.text += "[projection.emit]\nsubjects = [\"alerts.>\"]\n"
}

// embeds has an embedded server, which is stopped, with a stream EVENTS.
func (p *patient) embeds(change func(*jetstream.StreamConfig)) {
	p.t.Helper()
	p.replace(`"URL"`, `"embedded"`)
	b, err := broker.Open(p.t.Context(), broker.Config{URL: broker.Embedded, Server: broker.Server{Dir: p.file("data/nats"), SyncInterval: time.Minute}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	defer b.Close()
	change(&p.stream)
	if _, err := b.JetStream().CreateStream(p.t.Context(), p.stream); err != nil {
		p.t.Fatal(err)
	}
}

// certified gives the address a certificate that ends after so long.
func (p *patient) certified(ends time.Duration) {
	p.t.Helper()
	cert, key := certtest.New().Files(p.t, "server", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(ends)
	})
	p.replace("token_file", fmt.Sprintf("tls.cert = %q\ntls.key = %q\ntoken_file", cert, key))
}

// mode changes who may do what with a file.
func (p *patient) mode(name string, mode os.FileMode) {
	p.t.Helper()
	if err := os.Chmod(p.file(name), mode); err != nil {
		p.t.Fatal(err)
	}
}

// Each planted misconfiguration is found, with what to change, and nothing else is.
func TestDoctorFindsWhatIsPlanted(t *testing.T) {
	for _, tt := range planted {
		t.Run(tt.name, func(t *testing.T) {
			p := newPatient(t)
			tt.plant(p)
			bad := p.examined()
			if len(bad) != 1 {
				t.Fatalf("%d findings: %+v", len(bad), bad)
			}
			f := bad[0]
			if f.Check != tt.check || f.Level != tt.level || !strings.Contains(f.Found, tt.found) || !strings.Contains(f.Do, tt.do) || f.Why == "" {
				t.Errorf("%+v, want %s %s with %q and %q", f, tt.level, tt.check, tt.found, tt.do)
			}
		})
	}
}

// The manual has all of these, by their names here.
func TestDoctorsManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range planted {
		if !strings.Contains(string(text), "| "+tt.name+" | "+string(tt.level)+" |") {
			t.Errorf("docs/OPERATIONS.md has no row for %s: %s", tt.name, tt.level)
		}
	}
}

// With the permissions that docs/OPERATIONS.md lists the doctor finds nothing, and without one that
// reading takes it names that subject.
func TestDoctorTriesPermissions(t *testing.T) {
	d := readPermissions(t)
	for _, tt := range []struct{ verb, without string }{
		{"", ""}, {"publish", "$JS.API.STREAM.INFO.EVENTS"}, {"publish", "$JS.API.STREAM.MSG.GET.EVENTS"},
		{"publish", "$JS.API.CONSUMER.CREATE.EVENTS.>"}, {"publish", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.>"},
		{"publish", "$JS.API.CONSUMER.INFO.EVENTS.>"}, {"publish", "$JS.API.CONSUMER.DELETE.EVENTS.>"},
		{"subscribe", "gnomon.v1.>"}, {"subscribe", "$SRV.>"}, {"subscribe", "_INBOX.>"}, {"publish", "$JS.API.STREAM.CREATE.EVENTS"},
	} {
		p := newPatient(t)
		p.server = d.server(t, tt.verb, tt.without)
		conn := p.server.Connect(t)
		if !strings.Contains(tt.without, "STREAM.CREATE") {
			js, err := jetstream.New(conn)
			if err == nil {
				_, err = js.CreateStream(t.Context(), p.stream)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PASSWORD", "secret")
		p.replace(`url = "URL"`, "url = \"URL\"\nuser = \"gnomon\"\npassword = \"${PASSWORD}\"")
		bad := p.examined()
		if tt.without == "" {
			if len(bad) > 0 {
				t.Errorf("with all permissions: %+v", bad)
			}
			continue
		}
		says := fmt.Sprintf("the user may not %s %q", tt.verb, tt.without)
		if !slices.ContainsFunc(bad, func(f finding) bool { return f.Check == "permissions" && f.Level == levelFail && f.Found == says }) {
			t.Errorf("without %s: %+v, want %s", tt.without, bad, says)
		}
		for _, f := range bad {
			if f.Check != "permissions" {
				t.Errorf("without %s: %+v", tt.without, f)
			}
		}
	}
}

// An engine is asked how it is, and whether it is of the same version.
func TestDoctorAsksTheEngine(t *testing.T) {
	for _, tt := range []struct {
		version, projection string
		want                string // level, check and a part of what was found, of the one that is not ok
	}{
		{version, `{"projection":"p","state":"live"}`, ""},
		{"v9.9.9", `{"projection":"p","state":"live"}`, "warn version the engine is v9.9.9"},
		{version, `{"projection":"p","state":"halted","reason":"event 7: \u001b[2J","hint":"see it"}`, "fail engine projection p is halted: event 7"},
		{version, `{"projection":"p","state":"stalled","reason":"none come"}`, "warn engine projection p is stalled"},
		{version, `{"projection":"p","state":"live","refused":"no such file"}`, "warn engine projection p: its newest declaration is refused"},
		{version, `{"projection":"p","state":"catching-up","behind":20000}`, "warn engine projection p is catching-up, 20000 behind"},
	} {
		engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/openapi.json" {
				fmt.Fprintf(w, `{"info":{"version":%q}}`, tt.version)
				return
			}
			fmt.Fprintf(w, `{"projections":[%s]}`, tt.projection)
		}))
		t.Cleanup(engine.Close)
		var out, said strings.Builder
		code := run(t.Context(), []string{"doctor", "--config", filepath.Join(t.TempDir(), "none.toml"), "--server", engine.URL}, strings.NewReader(""), &out, &said)
		if want := map[bool]int{true: cli.ExitFailed, false: cli.ExitDone}[strings.HasPrefix(tt.want, "fail")]; code != want {
			t.Errorf("%s: exit %d, want %d: %s", tt.projection, code, want, said.String())
		}
		var bad []string
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "ok") && !strings.HasPrefix(line, " ") {
				bad = append(bad, strings.Join(strings.Fields(line), " "))
			}
		}
		if got := strings.ReplaceAll(strings.Join(bad, "\n"), `"`, ""); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") || len(bad) > 1 {
			t.Errorf("%s: %q, want %q", tt.projection, bad, tt.want)
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("the words of a guest reach the terminal: %q", out.String())
		}
	}
}

// With --json there is an object with all checks and their numbers, whatever is found.
func TestDoctorJSON(t *testing.T) {
	var out, said strings.Builder
	code := run(t.Context(), []string{"doctor", "--json", "--config", filepath.Join(t.TempDir(), "none.toml")}, strings.NewReader(""), &out, &said)
	var got struct {
		Checks         []finding
		OK, Warn, Fail int
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || code != cli.ExitFailed {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out.String(), said.String())
	}
	if len(got.Checks) != got.OK+got.Warn+got.Fail || got.Fail != 1 || got.Checks[0].Check != "configuration" || got.Checks[0].Do == "" {
		t.Errorf("%s", out.String())
	}
	if want := "engine: 1 check failed\n"; said.String() != want {
		t.Errorf("says %q, want %q", said.String(), want)
	}
}

// Versions are compared by their numbers; what is none is not older.
func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{"2.9.25": true, "2.11.9": true, "2.12.0": false, "2.15.2": false, "2.12.0-beta.1": false, "3.0.0": false, "": false, "main": false} {
		if got := older(version, atomicSince); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
