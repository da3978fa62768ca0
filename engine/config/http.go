package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	stdpath "path"
	"strconv"
	"strings"
)

func (v *validator) http(h HTTP) {
	p := path{"http"}
	v.exists(p.add("token_file"), h.TokenFile)
	v.httpTLS(p.add("tls"), h.TLS)
	v.hosts(p, h)
	for i, t := range h.Tokens {
		v.httpToken(p.add("token").element(i), t)
	}
	if h.Listen == "" {
		return
	}
	v.between(p.add("max_connections"), int64(h.MaxConnections), 1, 100_000)
	v.between(p.add("max_watches"), int64(h.MaxWatches), 1, 100_000)
	p = p.add("listen")
	host, port, err := net.SplitHostPort(h.Listen)
	v.require(p, err == nil, "http.listen is %q: use HOST:PORT, such as \"127.0.0.1:7780\"", h.Listen)
	_, perr := strconv.ParseUint(port, 10, 16)
	v.require(p, err != nil || perr == nil, "http.listen is %q: %q is no port", h.Listen, port)
	v.require(p, err != nil || loopback(host) || h.Guarded() || h.TLS.ClientCA != "",
		"http.listen is %q, which others can reach: set http.token_file, or listen on 127.0.0.1", h.Listen)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// public reports whether an address is one that others may reach.
func public(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err == nil && !loopback(host)
}

func (v *validator) httpTLS(p path, t HTTPTLS) {
	v.require(p.add("cert"), (t.Cert == "") == (t.Key == ""), "http.tls.cert and http.tls.key come together")
	v.require(p.add("client_ca"), t.ClientCA == "" || t.Cert != "", "http.tls.client_ca needs http.tls.cert and http.tls.key: certificates of clients are shown under TLS only")
	v.exists(p.add("cert"), t.Cert)
	v.exists(p.add("key"), t.Key)
	v.exists(p.add("client_ca"), t.ClientCA)
}

// hosts checks the names that clients call the engine by, and the pages that may read it.
func (v *validator) hosts(p path, h HTTP) {
	for _, name := range h.Hosts {
		u, err := url.Parse("//" + name)
		ok := err == nil && name != "" && u.Port() == "" && (u.Host == name || net.ParseIP(name) != nil)
		v.require(p.add("hosts"), ok, "http.hosts: %q is no name of a host: use one such as \"gnomon.example.com\", without scheme and port", name)
	}
	for _, proxy := range h.Proxies {
		_, err := Network(proxy)
		v.require(p.add("proxies"), err == nil, "http.proxies: %q is neither an address nor a network: use one such as \"127.0.0.1\" or \"10.0.0.0/8\"", proxy)
	}
	for _, origin := range h.Origins {
		u, err := url.Parse(origin)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == origin
		v.require(p.add("origins"), ok, "http.origins: %q is no origin: use one such as \"https://app.example.com\", without a path; there is none for all", origin)
	}
}

// Network reads a network, such as 10.0.0.0/8, or an address, which is one with nobody else.
func Network(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}

// httpToken checks what the tokens of a file may do. A list that a role does not heed
// would seem to bound what it may.
func (v *validator) httpToken(p path, t HTTPToken) {
	v.require(p.add("file"), t.File != "", "[[http.token]] names no file: file = \"PATH\", with one token a line")
	v.exists(p.add("file"), t.File)
	v.oneOf(p.add("role"), t.Role, "read", "append", "admin")
	v.require(p.add("projections"), t.Role != "append" || t.Projections == nil, "http.token.projections is not for the role append, which is about streams: set streams, or take it out")
	v.require(p.add("streams"), t.Role != "read" || t.Streams == nil, "http.token.streams is not for the role read, which is about projections: set projections, or take it out")
	v.globs(p.add("projections"), t.Projections)
	v.globs(p.add("streams"), t.Streams)
}

// globs checks patterns of names. A list without one could mean all or nothing.
func (v *validator) globs(p path, globs []string) {
	v.require(p, globs == nil || len(globs) > 0, "%s is an empty list: name some, or take it out, which means all", p.key())
	for _, g := range globs {
		_, err := stdpath.Match(g, "")
		v.require(p, err == nil && g != "", "%s: %q is no pattern of names: use a name, or one with * in it, such as \"eu-*\"", p.key(), g)
	}
}

// exists checks that the file that a key names is there.
func (v *validator) exists(p path, file string) {
	if file != "" {
		_, err := os.Stat(file)
		v.require(p, err == nil, "%s: %v", p.key(), err)
	}
}
