package query

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"gnomon/engine/query/wire"
)

// browsers keeps pages of other sites from what the person in front of the browser may:
// they can send requests to this machine, or with a certificate of that person's.
type browsers struct {
	checkHost bool
	probes    bool // may ask for the state of health by any name
	hosts     []string
	origins   []string
	foreign   http.CrossOriginProtection
}

// newBrowsers checks the names of hosts when nothing else tells a page whose own name was
// made to resolve to here (DNS rebinding) from a client: it has no token, and under TLS no
// certificate for its name.
func newBrowsers(o Options) *browsers {
	b := &browsers{checkHost: len(o.Hosts) > 0 || o.Access == nil && o.TLS == nil, probes: o.Access != nil, origins: o.Origins}
	for _, name := range o.Hosts {
		b.hosts = append(b.hosts, strings.ToLower(name))
	}
	for _, origin := range o.Origins {
		if err := b.foreign.AddTrustedOrigin(origin); err != nil {
			panic(err) // the configuration was checked
		}
	}
	return b
}

// answered answers a request that a page may not make, and one that asks whether a page
// may (the Fetch standard, "CORS protocol"): nobody may ask that with a token.
func (b *browsers) answered(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case b.checkHost && !b.named(r.Host) && !(b.probes && healthPath(r.URL.Path)):
		problem(w, http.StatusForbidden, wire.CodeForbiddenHost, "the host "+r.Host+" is not this machine", "use localhost or a loopback address, name the host in http.hosts, or configure a token")
		return true
	case b.fromForeignPage(r):
		problem(w, http.StatusForbidden, wire.CodeCrossOrigin, fmt.Sprintf("a page of another site asks for %s %s", r.Method, r.URL.Path), "ask from a program, or from a page of the same origin; http.origins names others that may")
		return true
	}
	return b.share(w, r)
}

// named reports whether a request names this machine.
func (b *browsers) named(hostport string) bool {
	return localHost(hostport) || slices.Contains(b.hosts, hostOf(hostport))
}

// fromForeignPage reports whether a page of another site sends a request. Reads are refused
// as well, though a browser would keep the answer from the page: they cost what reads cost.
// A link that somebody follows is none.
func (b *browsers) fromForeignPage(r *http.Request) bool {
	probe := *r
	if r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return false
	}
	probe.Method = http.MethodPost // what is safe is not checked
	return b.foreign.Check(&probe) != nil
}

// share lets pages of the origins that are configured have answers. It answers the question
// that a browser asks before a request of theirs.
func (b *browsers) share(w http.ResponseWriter, r *http.Request) (asked bool) {
	h := w.Header()
	if len(b.origins) == 0 {
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		return false
	}
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(b.origins, origin) {
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "*")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, If-None-Match, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// hostOf is the name in a Host header.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return strings.ToLower(host)
}

// localHost reports whether a request names this machine itself. A page of another site
// whose name was made to resolve to here does not, so that it reads nothing.
func localHost(hostport string) bool {
	host := hostOf(hostport)
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
