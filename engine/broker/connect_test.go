package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"gnomon/engine/broker"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
)

// secret is in every wrong credential of these tests, where it may be chosen.
const secret = "hunter2"

// write puts a file into a folder of the test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// must returns a value whose making has to succeed.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// nkeyPair returns a user's public key, and a file with the seed.
func nkeyPair(t *testing.T) (public, seedFile string) {
	t.Helper()
	pair := must(nkeys.CreateUser())
	return must(pair.PublicKey()), write(t, "seed.nk", string(must(pair.Seed())))
}

// authority is an operator with one account, whose users have credentials files.
type authority struct{ operator, account nkeys.KeyPair }

func newAuthority() authority {
	return authority{must(nkeys.CreateOperator()), must(nkeys.CreateAccount())}
}

// apply makes a server trust the operator.
func (a authority) apply(o *server.Options) {
	o.JetStream = false // which asks for an account of the system in this mode
	operator := jwt.NewOperatorClaims(must(a.operator.PublicKey()))
	account := jwt.NewAccountClaims(must(a.account.PublicKey()))
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(account.Subject, must(account.Encode(a.operator))); err != nil {
		panic(err)
	}
	o.TrustedOperators = []*jwt.OperatorClaims{must(jwt.DecodeOperatorClaims(must(operator.Encode(a.operator))))}
	o.AccountResolver = resolver
}

// credentials makes the file of a new user.
func (a authority) credentials(t *testing.T) string {
	t.Helper()
	pair := must(nkeys.CreateUser())
	claims := jwt.NewUserClaims(must(pair.PublicKey()))
	file := must(jwt.FormatUserConfig(must(claims.Encode(a.account)), must(pair.Seed())))
	return write(t, "user.creds", string(file))
}

// Every way to authenticate connects, and wrong credentials of each kind fail at
// once, without a secret in the error or the log.
func TestCredentials(t *testing.T) {
	public, seed := nkeyPair(t)
	_, otherSeed := nkeyPair(t)
	ours := newAuthority()
	tests := []struct {
		name         string
		server       natstest.Option
		right, wrong broker.Config
	}{
		{"user", natstest.User("alice", "correct", nil),
			broker.Config{User: "alice", Password: "correct"}, broker.Config{User: "alice", Password: secret}},
		{"token", natstest.Token("correct"), broker.Config{Token: "correct"}, broker.Config{Token: secret}},
		{"nkey", natstest.With(func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }),
			broker.Config{NKey: seed}, broker.Config{NKey: otherSeed}},
		{"credentials", natstest.With(ours.apply),
			broker.Config{Credentials: ours.credentials(t)}, broker.Config{Credentials: newAuthority().credentials(t)}},
		{"none given", natstest.Token("correct"), broker.Config{Token: "correct"}, broker.Config{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, tt.server)
			tt.right.URL, tt.wrong.URL = s.URL(), s.URL()
			b := open(t, tt.right)
			if !b.JetStream().Conn().IsConnected() {
				t.Error("not connected with the right credentials")
			}
			b.Close()
			b.Close()
			_, log, err := try(t, tt.wrong)
			if !errors.Is(err, nats.ErrAuthorization) || !strings.Contains(err.Error(), "[nats]") {
				t.Fatalf("with wrong credentials: %v", err)
			}
			if text := err.Error() + log.String(); strings.Contains(text, secret) {
				t.Errorf("a secret shows: %s", text)
			}
		})
	}
}

// Credentials in the URL itself do not show either.
func TestSecretInURL(t *testing.T) {
	s := natstest.Start(t, natstest.User("alice", "correct", nil))
	url := strings.Replace(s.URL(), "nats://", "nats://alice:"+secret+"@", 1)
	_, log, err := try(t, broker.Config{URL: url})
	if !errors.Is(err, nats.ErrAuthorization) || strings.Contains(err.Error()+log.String(), secret) {
		t.Errorf("Open: %v; log: %s", err, log)
	}
	for _, url := range []string{"nats://alice:" + secret + "@[::bad", "nats://alice:" + secret + "@ho st", "nats://alice:" + secret + "%zz@host"} {
		_, log, err := try(t, broker.Config{URL: url})
		if err == nil || strings.Contains(err.Error()+log.String(), secret) {
			t.Errorf("Open: %v; log: %s", err, log)
		}
	}
}

// A file of credentials that is not there, or is none, is named.
func TestUnreadableCredentials(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	junk := write(t, "junk", "no seed: "+secret)
	for _, tt := range []struct {
		config broker.Config
		says   string
	}{
		{broker.Config{Credentials: none}, "nats.credentials " + none},
		{broker.Config{NKey: none}, "nats.nkey " + none},
		{broker.Config{NKey: junk}, "nats.nkey " + junk},
		{broker.Config{Credentials: junk}, junk},
	} {
		tt.config.URL = "nats://127.0.0.1:1"
		if _, _, err := try(t, tt.config); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", tt.config, err)
		}
	}
}

// A context of the nats CLI says where to connect and how.
func TestContext(t *testing.T) {
	s := natstest.Start(t, natstest.User("alice", "correct", nil))
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("HOME", dir)
	public, _ := nkeyPair(t)
	save := func(name string, v any) {
		t.Helper()
		path := filepath.Join(dir, "nats", "context", name+".json")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, must(json.Marshal(v)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save("right", map[string]string{"url": s.URL(), "user": "alice", "password": "correct", "description": "of the CLI only", "inbox_prefix": "_INBOX_alice"})
	save("wrong", map[string]string{"url": s.URL(), "user": "alice", "password": secret})
	save("home", map[string]string{"url": s.URL(), "creds": "~/" + public})
	save("broken", []string{secret})

	b := open(t, broker.Config{Context: "right", URL: broker.Embedded})
	if err := works(t, b); err != nil {
		t.Error(err)
	}
	if inbox := b.JetStream().Conn().NewInbox(); !strings.HasPrefix(inbox, "_INBOX_alice.") {
		t.Errorf("inboxes are like %s", inbox)
	}
	for name, says := range map[string]string{
		"wrong":  "check the credentials that it names",
		"home":   filepath.Join(dir, public),
		"broken": "broken.json",
		"none":   "nats context ls",
	} {
		if _, _, err := try(t, broker.Config{Context: name}); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), secret) {
			t.Errorf("context %s: %v", name, err)
		}
	}
}

// A server that is down when the broker opens is connected to when it is up, and
// again after it was away; requests meanwhile say that it is not there.
func TestServerAway(t *testing.T) {
	s := natstest.Start(t)
	s.Stop()
	b, log, err := try(t, broker.Config{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "trying on") {
		t.Errorf("the log does not tell: %s", log)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patience/100) // requests wait for the server
		_, err := b.JetStream().AccountInfo(ctx)
		cancel()
		if err = b.Explain(err); !errors.Is(err, nats.ErrDisconnected) {
			t.Errorf("a request to nobody: %v", err)
		}
		s.Restart()
		testutil.Until(t, b.JetStream().Conn().IsConnected)
		if err := works(t, b); err != nil {
			t.Error(err)
		}
		if err := b.Explain(context.DeadlineExceeded); errors.Is(err, nats.ErrDisconnected) {
			t.Errorf("an error of a request that was answered: %v", err)
		}
		s.Stop()
		testutil.Until(t, func() bool { return !b.JetStream().Conn().IsConnected() })
	}
}

// The log tells once of each time that the server is away, however often it is tried
// meanwhile.
func TestOutageIsToldOnce(t *testing.T) {
	s := natstest.Start(t)
	url, tries := hangUp(t)
	b, log, err := try(t, broker.Config{URL: s.URL() + "," + url})
	if err != nil {
		t.Fatal(err)
	}
	for outages := 1; outages <= 2; outages++ {
		s.Stop()
		before := tries.Load()
		testutil.Until(t, func() bool { return tries.Load() > before+2 }) // and as often the server, in turns
		s.Restart()
		testutil.Until(t, func() bool { return strings.Count(log.String(), "NATS connection is back") == outages })
		text := log.String()
		if n := strings.Count(text, "NATS cannot be reached, trying on"); n != outages || strings.Contains(text, `msg=""`) {
			t.Errorf("%d outages, told of %d: %s", outages, n, text)
		}
	}
	if err := works(t, b); err != nil {
		t.Error(err)
	}
}

// hangUp is a server that hangs up on whoever calls, and counts the calls.
func hangUp(t *testing.T) (url string, calls *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	calls = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			calls.Add(1)
		}
	}()
	return "nats://" + l.Addr().String(), calls
}

// A request that lacks a permission only times out; Explain adds which one.
func TestPermissionIsExplained(t *testing.T) {
	deny := func(subjects ...string) *server.Permissions {
		return &server.Permissions{Publish: &server.SubjectPermission{Deny: subjects}}
	}
	s := natstest.Start(t, natstest.User("admin", "a", nil), natstest.User("reader", "r", deny("$JS.API.STREAM.INFO.*", "s.secret")))
	create(t, s.JetStream(t), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	b := open(t, broker.Config{URL: s.URL(), User: "reader", Password: "r"})
	calls := map[string]func(ctx context.Context) error{
		"$JS.API.STREAM.INFO.S": func(ctx context.Context) error {
			_, _, err := b.EnsureStream(ctx, broker.StreamSpec{Name: "S"})
			return err
		},
		"s.secret": func(ctx context.Context) error {
			_, _, err := b.Publish(ctx, broker.Event{Subject: "s.secret"})
			return err
		},
	}
	for subject, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), patience/60)
		err := call(ctx)
		cancel()
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), fmt.Sprintf("Publish to %q", subject)) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	if b.Explain(nil) != nil {
		t.Error("there is nothing to explain")
	}
	if err := errors.New("other"); b.Explain(err) != err {
		t.Error("an error that is not a timeout was changed")
	}
}

// Headers given to Publish are the caller's: what publishing adds does not show.
func TestPublishLeavesHeaders(t *testing.T) {
	b := embedded(t)
	create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	e := broker.Event{Stream: "S", Subject: "s", ID: "1", Expect: broker.Expect{LastSubjectSeq: new(uint64)}, Headers: map[string][]string{"a": {"1"}}}
	if _, _, err := b.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if len(e.Headers) != 1 {
		t.Errorf("the headers are now %v", e.Headers)
	}
}
