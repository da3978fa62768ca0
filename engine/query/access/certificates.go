package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Certificates are the paths of what TLS needs, in PEM.
type Certificates struct {
	Cert, Key string // of the server: its certificate, with those between it and its authority, and the key
	ClientCA  string // of authorities, one of which has to have signed the client's certificate; empty: none is asked for
}

// ServerTLS is the configuration of a server with these files: TLS 1.2 and later, HTTP/2
// where the client has it. They are read again, within about a second, when their content
// changes; connections that are open stay so. It fails when one cannot be used.
func ServerTLS(c Certificates, log *slog.Logger) (*tls.Config, error) {
	f := &fresh[*tls.Config]{what: "certificates", files: []string{c.Cert, c.Key}, log: log}
	if c.ClientCA != "" {
		f.files = append(f.files, c.ClientCA)
	}
	f.make = func(contents [][]byte) (*tls.Config, error) {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", c.Cert, c.Key, err)
		}
		if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
			log.Warn("the certificate is not valid now: clients refuse it", "file", c.Cert, "from", pair.Leaf.NotBefore, "to", pair.Leaf.NotAfter)
		}
		warnOfModes([]string{c.Key}, log)
		made := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
		if c.ClientCA == "" {
			return made, nil
		}
		made.ClientAuth, made.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !made.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return nil, fmt.Errorf("client_ca %s: %w", c.ClientCA, errNoCertificate)
		}
		// A ticket would let a client in again whose authority is no longer trusted.
		made.SessionTicketsDisabled = true
		return made, nil
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.get(), nil },
	}, nil
}

var errNoCertificate = errors.New("it has no certificate in PEM, -----BEGIN CERTIFICATE-----")
