package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gnomon/engine/broker"
	"gnomon/internal/testutil/natstest"
)

// ca is an authority that signs certificates.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA() ca {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key))
	return ca{must(x509.ParseCertificate(der)), key}
}

// issue makes a certificate for a server at an address, or a client.
func (a ca) issue(name string, addresses ...net.IP) (cert, key []byte) {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: addresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, c, a.cert, &private.PublicKey, a.key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))})
}

// file is a file with the authority's certificate.
func (a ca) file(t *testing.T) string {
	t.Helper()
	return write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
}

// serve makes a server use TLS, and ask clients for a certificate if they have to
// have one.
func (a ca) serve(client tls.ClientAuthType, first bool) natstest.Option {
	pair := must(tls.X509KeyPair(a.issue("server", net.IPv4(127, 0, 0, 1))))
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return natstest.With(func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: client, ClientCAs: pool}
		o.TLS, o.TLSTimeout, o.TLSHandshakeFirst = true, patience.Seconds(), first
	})
}

// A server with a private authority is trusted by that authority's certificate, also
// when it greets only under TLS, and gets the client's certificate if it wants one.
func TestTLS(t *testing.T) {
	authority := newCA()
	file := authority.file(t)
	cert, key := authority.issue("client")
	certFile, keyFile := write(t, "cert.pem", string(cert)), write(t, "key.pem", string(key))
	tests := []struct {
		name   string
		server natstest.Option
		tls    broker.TLS
	}{
		{"authority", authority.serve(tls.NoClientCert, false), broker.TLS{CA: file}},
		{"TLS first", authority.serve(tls.NoClientCert, true), broker.TLS{CA: file, First: true}},
		{"client certificate", authority.serve(tls.RequireAndVerifyClientCert, false), broker.TLS{CA: file, Cert: certFile, Key: keyFile}},
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
	authority := newCA()
	none, junk := filepath.Join(t.TempDir(), "none.pem"), write(t, "junk.pem", "junk")
	tests := []struct {
		name string
		tls  broker.TLS
		says string
	}{
		{"no authority", broker.TLS{}, "nats.tls.ca"},
		{"another authority", broker.TLS{CA: newCA().file(t)}, "nats.tls.ca"},
		{"no such file", broker.TLS{CA: none}, none},
		{"a file without a certificate", broker.TLS{CA: junk}, junk},
		{"no such client certificate", broker.TLS{CA: authority.file(t), Cert: none, Key: none}, none},
	}
	s := natstest.Start(t, authority.serve(tls.NoClientCert, false))
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
