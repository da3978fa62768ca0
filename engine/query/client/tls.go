package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// TLS are the paths of what a client of an https server may need, in PEM.
type TLS struct {
	CA        string // certificates to trust, instead of the system's
	Cert, Key string // of the client, where the server asks for one
	// Server is the file of the server's own certificate, for those who have it: then that
	// one is trusted, by whatever name it is reached, and no other.
	Server string
}

// UseTLS sets what a client trusts, and shows. Call it before anything is asked.
func (c *Client) UseTLS(files TLS) error {
	var t tls.Config
	if files.CA != "" {
		b, err := os.ReadFile(files.CA)
		if err != nil {
			return fmt.Errorf("certificates to trust: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(b) {
			return fmt.Errorf("certificates to trust: %s has none in PEM, -----BEGIN CERTIFICATE-----", files.CA)
		}
	}
	if files.Cert != "" || files.Key != "" {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return fmt.Errorf("client certificate %q with key %q: %w", files.Cert, files.Key, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	if files.Server != "" {
		if err := pin(&t, files.Server); err != nil {
			return err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &t
	c.http.Transport = transport
	return nil
}

// pin has a client trust one certificate only.
func pin(t *tls.Config, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("certificate of the server: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return fmt.Errorf("certificate of the server: %s has none in PEM", file)
	}
	t.InsecureSkipVerify = true // not that: no authority vouches for it, it is the one
	t.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
			return fmt.Errorf("the server has another certificate than %s", file)
		}
		return nil
	}
	return nil
}

// A TLSError says that a client and a server do not come to terms, and what to do.
type TLSError struct {
	Err  error
	Hint string
}

func (e *TLSError) Error() string { return e.Err.Error() }
func (e *TLSError) Unwrap() error { return e.Err }

// ofTLS adds what to do to an error of a connection, when it is about TLS.
func ofTLS(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		record  tls.RecordHeaderError
	)
	text, hint := err.Error(), ""
	switch {
	case errors.As(err, &unknown):
		hint = "name the file with the certificate of the server's authority in GNOMON_CA"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "renew the certificate of the server, or set the clock right"
	case errors.As(err, &name):
		hint = "use a name that the certificate of the server has"
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		hint = "the server speaks no TLS: use http://"
	case strings.Contains(text, "tls: certificate required"), strings.Contains(text, "tls: bad certificate"), strings.Contains(text, "tls: unknown certificate"), strings.Contains(text, "tls: expired certificate"):
		hint = "the server asks for a certificate of the client that its authority signed: name the files in GNOMON_CERT and GNOMON_KEY"
	default:
		return err
	}
	return &TLSError{err, hint}
}

// refusal asks once more why a server ended a connection, when an error does not say so: under
// TLS 1.3 it refuses the certificate of a client after that may have begun to send.
func (c *Client) refusal(ctx context.Context, u *url.URL, err error) error {
	transport, ok := c.http.Transport.(*http.Transport)
	if u.Scheme != "https" || strings.Contains(err.Error(), "tls:") || ctx.Err() != nil {
		return err
	}
	d := tls.Dialer{Config: &tls.Config{}}
	if ok {
		d.Config = transport.TLSClientConfig.Clone()
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, why := d.DialContext(ctx, "tcp", address)
	if why == nil {
		defer conn.Close()
		end, _ := ctx.Deadline()
		_ = conn.SetReadDeadline(end)
		_, why = conn.Read(make([]byte, 1))
	}
	if why != nil && strings.Contains(why.Error(), "tls:") {
		return why
	}
	return err
}

// plainToTLS recognises what net/http's server answers when it is asked without TLS.
func plainToTLS(res *http.Response) bool {
	if res.StatusCode != http.StatusBadRequest {
		return false
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, 100))
	return err == nil && strings.Contains(string(b), "HTTP request to an HTTPS server")
}
