package broker_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gnomon/engine/broker"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/certtest"
	"gnomon/internal/testutil/natstest"
)

// A connection that the server no longer accepts is tried again and again, with what the
// file of credentials holds then: it comes back once that was replaced, though it was
// wrong, or missing, for a while. Meanwhile requests say that it is about credentials,
// and no secret shows.
func TestCredentialsReplaced(t *testing.T) {
	trusted, next := newAuthority(), newAuthority()
	s := natstest.Start(t, natstest.With(func(o *server.Options) { trusted.apply(o) }))
	file := trusted.credentials(t)
	b, log, err := try(t, broker.Config{URL: s.URL(), Credentials: file})
	if err != nil {
		t.Fatal(err)
	}
	conn := b.JetStream().Conn()
	for name, between := range map[string]func(){
		"still the old one": func() {},
		"removed":           func() { must(0, os.Remove(file)) },
		"not one at all":    func() { must(0, os.WriteFile(file, []byte(secret), 0o600)) },
	} {
		trusted = next
		between()
		s.Restart()
		testutil.Until(t, func() bool { return !conn.IsConnected() })
		testutil.Until(t, func() bool { return explained(b) })
		must(0, os.WriteFile(file, must(os.ReadFile(next.credentials(t))), 0o600))
		testutil.Until(t, conn.IsConnected)
		if err := b.Explain(context.DeadlineExceeded); errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: when the connection is back: %v", name, err)
		}
		if text := log.String(); strings.Contains(text, secret) || strings.Contains(text, "SEED") {
			t.Errorf("%s: a secret shows: %s", name, text)
		}
		next = newAuthority()
	}
}

// explained reports whether a request that timed out would be told why there is no
// connection.
func explained(b *broker.Broker) bool {
	text := b.Explain(context.DeadlineExceeded).Error()
	return strings.Contains(text, "uthorization") || strings.Contains(text, "credentials") || strings.Contains(text, "user.creds")
}

// A server whose certificate has expired is refused at once, in words that say so.
func TestCertificateExpired(t *testing.T) {
	authority := certtest.New()
	pair := must(tls.X509KeyPair(authority.Issue("server", certtest.Expired)))
	s := natstest.Start(t, natstest.With(func(o *server.Options) {
		o.TLS, o.TLSConfig, o.TLSTimeout = true, &tls.Config{Certificates: []tls.Certificate{pair}}, 10
	}))
	_, _, err := try(t, broker.Config{URL: s.URL(), TLS: broker.TLS{CA: authority.File(t)}})
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("%v, want that the certificate has expired", err)
	}
}
