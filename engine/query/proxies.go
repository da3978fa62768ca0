package query

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// encrypted reports whether the browser that a request comes from speaks TLS, be it with a proxy
// in front, which says so. Anybody may say so: it makes the own cookie of who does Secure, and
// nothing else.
func encrypted(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(first), "https")
}

// clientOf is the address of who asks. Proxies that are believed (http.proxies) append whom they
// forward for to X-Forwarded-For: it is the last one there that is none of them. What stands
// before that anybody may have written.
func (s *Server) clientOf(r *http.Request) string {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(forwarded) {
		if !s.believes(client) {
			break
		}
		address, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			break
		}
		client = address.Unmap().String()
	}
	return client
}

// believes reports whether an address is one of the proxies.
func (s *Server) believes(client string) bool {
	address, err := netip.ParseAddr(client)
	return err == nil && slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) })
}
