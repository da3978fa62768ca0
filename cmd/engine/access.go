package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"strings"

	"gnomon/engine/config"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/client"
	"gnomon/engine/store"
)

// grantsOf are those that a configuration declares.
func grantsOf(h config.HTTP) (grants []access.Grant) {
	if h.TokenFile != "" {
		grants = append(grants, access.Grant{File: h.TokenFile, Role: access.Admin})
	}
	for _, t := range h.Tokens {
		grants = append(grants, access.Grant{File: t.File, Role: access.Role(t.Role), Projections: t.Projections, Streams: t.Streams})
	}
	return grants
}

// openAccess reads the tokens that a configuration declares; nil: everybody may do
// everything.
func openAccess(h config.HTTP, log *slog.Logger) (query.Access, error) {
	if !h.Guarded() {
		return nil, nil
	}
	return access.OpenTokens(grantsOf(h), log)
}

// ownToken is the token with which a command asks the engine that runs on the same
// configuration: the first one that may do everything, or else GNOMON_TOKEN.
func ownToken(h config.HTTP) (string, error) {
	other := os.Getenv("GNOMON_TOKEN")
	for _, g := range grantsOf(h) {
		if !g.Everything() {
			continue
		}
		token, err := access.FirstToken(g.File)
		if err != nil && other != "" {
			return other, nil // the file is another user's
		}
		return token, err
	}
	return other, nil
}

// baseOf is the URL of an engine that a data directory names.
func baseOf(h store.Holder) string {
	if strings.Contains(h.HTTP, "://") {
		return h.HTTP
	}
	return "http://" + h.HTTP
}

// ownClient asks the engine that runs on the same configuration.
func ownClient(c config.HTTP, h store.Holder) (*client.Client, error) {
	token, err := ownToken(c)
	if err != nil {
		return nil, err
	}
	cl, err := client.New(baseOf(h), token)
	if err == nil && c.TLS.Cert != "" {
		files := tlsFiles()
		files.Server = c.TLS.Cert
		err = cl.UseTLS(files)
	}
	return cl, err
}

// tlsFiles are those that the environment names.
func tlsFiles() client.TLS {
	return client.TLS{CA: os.Getenv("GNOMON_CA"), Cert: os.Getenv("GNOMON_CERT"), Key: os.Getenv("GNOMON_KEY")}
}

// openTLS reads the certificates that a configuration declares; nil: there are none.
func openTLS(c config.HTTP, log *slog.Logger) (*tls.Config, error) {
	if c.TLS.Cert == "" {
		return nil, nil
	}
	return access.ServerTLS(access.Certificates{Cert: c.TLS.Cert, Key: c.TLS.Key, ClientCA: c.TLS.ClientCA}, log)
}

// address is where the node serves HTTP, as its data directory names it (baseOf).
func (n *node) address() string {
	if n.tls != nil {
		return "https://" + n.listener.Addr().String()
	}
	return n.listener.Addr().String()
}

// warnOfExposure says what others may do or see who should perhaps not.
func warnOfExposure(c *config.Config, log *slog.Logger) {
	if h := c.HTTP; h.Public() && h.TLS.Cert == "" {
		log.Warn("tokens and state cross the network in the clear", "listen", h.Listen, "hint", "set [http.tls], or put a proxy with TLS in front and listen where only that reaches")
	}
	if e := c.NATS.Embedded; embedded(c) && e.Public() {
		log.Warn("the embedded NATS server is open to everybody who reaches it: it asks for no credentials", "listen", e.Listen, "hint", "set nats.embedded.listen to a loopback address, or use a server of its own")
	}
}
