package broker_test

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gnomon/engine/broker"
	"gnomon/internal/testutil/certtest"
	"gnomon/internal/testutil/natstest"
)

// serve makes a server use TLS, and ask clients for a certificate if they have to
// have one.
func serve(a certtest.CA, client tls.ClientAuthType, first bool) natstest.Option {
	pair := must(tls.X509KeyPair(a.Issue("server")))
	return natstest.With(func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: client, ClientCAs: a.Pool()}
		o.TLS, o.TLSTimeout, o.TLSHandshakeFirst = true, patience.Seconds(), first
	})
}

// A server with a private authority is trusted by that authority's certificate, also
// when it greets only under TLS, and gets the client's certificate if it wants one.
func TestTLS(t *testing.T) {
	authority := certtest.New()
	file := authority.File(t)
	certFile, keyFile := authority.Files(t, "client")
	tests := []struct {
		name   string
		server natstest.Option
		tls    broker.TLS
	}{
		{"authority", serve(authority, tls.NoClientCert, false), broker.TLS{CA: file}},
		{"TLS first", serve(authority, tls.NoClientCert, true), broker.TLS{CA: file, First: true}},
		{"client certificate", serve(authority, tls.RequireAndVerifyClientCert, false), broker.TLS{CA: file, Cert: certFile, Key: keyFile}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, tt.server)
			b := open(t, broker.Config{URL: s.URL(), TLS: tt.tls})
			if _, err := b.JetStream().Conn().TLSConnectionState(); err != nil {
				t.Error(err)
			}
			if err := works(t, b); err != nil {
				t.Error(err)
			}
		})
	}
}

// A server that is not trusted is refused at once, with the setting that is missing.
func TestTLSRefused(t *testing.T) {
	authority := certtest.New()
	none, junk := filepath.Join(t.TempDir(), "none.pem"), write(t, "junk.pem", "junk")
	tests := []struct {
		name string
		tls  broker.TLS
		says string
	}{
		{"no authority", broker.TLS{}, "nats.tls.ca"},
		{"another authority", broker.TLS{CA: certtest.New().File(t)}, "nats.tls.ca"},
		{"no such file", broker.TLS{CA: none}, none},
		{"a file without a certificate", broker.TLS{CA: junk}, junk},
		{"no such client certificate", broker.TLS{CA: authority.File(t), Cert: none, Key: none}, none},
	}
	s := natstest.Start(t, serve(authority, tls.NoClientCert, false))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := try(t, broker.Config{URL: s.URL(), TLS: tt.tls})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}
