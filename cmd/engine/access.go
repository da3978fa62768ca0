package main

import (
	"crypto/tls"
	"log/slog"
	"net/netip"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
)

// openAccess reads the tokens that a configuration declares; nil: everybody may do
// everything.
func openAccess(h config.HTTP, log *slog.Logger) (query.Access, error) {
	if !h.Guarded() {
		return nil, nil
	}
	return access.OpenTokens(cli.Grants(h), log)
}

// proxies are those that a configuration, which was checked, names.
func proxies(h config.HTTP) (all []netip.Prefix) {
	for _, text := range h.Proxies {
		if p, err := config.Network(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// openTLS reads the certificates that a configuration declares; nil: there are none.
func openTLS(c config.HTTP, log *slog.Logger) (*tls.Config, error) {
	if c.TLS.Cert == "" {
		return nil, nil
	}
	return access.ServerTLS(access.Certificates{Cert: c.TLS.Cert, Key: c.TLS.Key, ClientCA: c.TLS.ClientCA}, log)
}

// address is where the node serves HTTP, as its data directory names it (cli.BaseOf).
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
	if e := c.NATS.Embedded; cli.Embedded(c) && e.Public() {
		log.Warn("the embedded NATS server is open to everybody who reaches it: it asks for no credentials", "listen", e.Listen, "hint", "set nats.embedded.listen to a loopback address, or use a server of its own")
	}
}
