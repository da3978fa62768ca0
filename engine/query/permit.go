package query

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"gnomon/engine"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
)

// Access says what a token may do. *access.Tokens implements it.
type Access interface {
	// Rights returns what a token may do; ok is false when it is none.
	Rights(token string) (r access.Rights, ok bool)
}

// warnings are what is wrong with the engine though it serves: for who may do everything.
func (s *Server) warnings(r *http.Request) (all []string) {
	if !rightsOf(r).MayEverything() {
		return nil
	}
	if t, ok := s.access.(interface{ Trouble() string }); ok && t.Trouble() != "" {
		all = append(all, "tokens are as they were, for what is there now cannot be taken: "+t.Trouble())
	}
	return all
}

// rightsKey is the key of the rights of a request in its context.
type rightsKey struct{}

// rightsOf are the rights of the client of a request; nobody that the guard has not seen
// may do anything.
func rightsOf(r *http.Request) access.Rights {
	rights, _ := r.Context().Value(rightsKey{}).(access.Rights)
	return rights
}

// identify adds the rights of the client to a request. It reports whether there are any:
// otherwise only the health of the engine is told.
func (s *Server) identify(r *http.Request) (*http.Request, bool) {
	rights, ok := access.Everything(), true
	if s.access != nil {
		rights, ok = s.access.Rights(s.tokenOf(r))
	}
	return r.WithContext(context.WithValue(r.Context(), rightsKey{}, rights)), ok
}

// tokenOf is the token of a request: its own, or that of the session of the person whose
// browser sends it.
func (s *Server) tokenOf(r *http.Request) string {
	if r.Header.Get("Authorization") != "" {
		return bearer(r)
	}
	id := sessionOf(r)
	if id == "" {
		return ""
	}
	token := s.sessions.token(id)
	if _, ok := s.access.Rights(token); !ok { // it was taken back
		s.sessions.end(id)
	}
	return token
}

// bearer is the token of a request; empty: it has none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// healthPath reports whether a path needs no token: an orchestrator has none.
func healthPath(path string) bool { return path == "/healthz" || path == "/readyz" }

// need is what a request needs: a role about a projection or a stream, or the right to
// change everything.
type need struct {
	role               access.Role // empty: any token will do
	projection, stream string      // a stream is read by who may read all projections, or append to it
	everything         bool
}

// needOf is what a request needs. It looks at nothing but the request, so that a refusal
// says nothing of what there is; and what it does not know needs every right, so that
// nothing is open by oversight.
func needOf(r *http.Request) need {
	parts, ok := segments(r.URL.EscapedPath())
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	switch {
	case !ok:
	case parts[0] == "ui":
		return need{} // the dashboard asks the API for what it shows and does, with the same rights
	case parts[0] != "v1" && reads:
		return need{} // what the engine says of itself, and the metrics, which are cut to what may be read
	case len(parts) == 2 && (parts[1] == "projections" || parts[1] == "streams") && reads:
		return need{} // cut, too
	case len(parts) == 2 && parts[1] == "access" && reads:
		return need{} // it is about who asks
	case len(parts) > 2 && parts[0] == "v1" && parts[1] == "projections" && parts[2] != "":
		return need{role: roleFor(parts[3:], r.Method, reads), projection: parts[2]}
	case len(parts) > 2 && parts[0] == "v1" && parts[1] == "streams" && parts[2] != "" && reads:
		return need{role: access.Read, stream: parts[2]}
	case len(parts) > 2 && parts[0] == "v1" && parts[1] == "streams" && parts[2] != "":
		return need{role: access.Append, stream: parts[2]}
	}
	return need{everything: true}
}

// roleFor is the role that a request about a projection needs: a query is one that is sent,
// and an archive has all of the state, what is set aside, and the module's memory.
func roleFor(below []string, method string, reads bool) access.Role {
	switch {
	case len(below) > 1 && below[0] == "snapshots" && below[len(below)-1] == "export":
		return access.Admin
	case reads, method == http.MethodPost && len(below) > 0 && below[0] == "query":
		return access.Read
	}
	return access.Admin
}

// segments are the parts of a path between its slashes, as ServeMux takes them apart.
func segments(escaped string) (parts []string, ok bool) {
	parts = strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for i, p := range parts {
		text, err := url.PathUnescape(p)
		if err != nil {
			return nil, false
		}
		parts[i] = text
	}
	return parts, true
}

func (n need) granted(r access.Rights) bool {
	switch {
	case n.everything:
		return r.MayEverything()
	case n.role == "":
		return true
	case n.role == access.Append:
		return r.MayAppend(n.stream)
	case n.stream != "":
		return mayReadStream(r, n.stream)
	}
	return r.May(n.role, n.projection)
}

// mayReadStream reports whether a client may read the events of a stream. Who may read all
// projections sees what becomes of them anyway; who appends to it is told of events that
// are in the way already.
func mayReadStream(r access.Rights, stream string) bool {
	return r.May(access.Read, "") || r.MayAppend(stream)
}

// refusal is what somebody is told who may not. It does not say whether there is what the
// request is about.
func (n need) refusal(r *http.Request) (detail, hint string) {
	detail = "the token does not allow " + r.Method + " " + r.URL.Path
	switch {
	case n.everything:
		return detail, "it needs the role admin, of all projections and streams"
	case n.role == access.Append:
		return detail, "it needs the role append, or admin, for this stream"
	case n.stream != "":
		return detail, "it needs the role read of all projections, or append, or admin, for this stream"
	}
	return detail, "it needs the role " + string(n.role) + " for this projection"
}

// permitted answers a request that its client may not make.
func permitted(w http.ResponseWriter, r *http.Request) bool {
	n := needOf(r)
	if n.granted(rightsOf(r)) {
		return true
	}
	detail, hint := n.refusal(r)
	w.Header().Set("WWW-Authenticate", `Bearer realm="gnomon", error="insufficient_scope"`)
	problem(w, http.StatusForbidden, wire.CodeForbidden, detail, hint)
	return false
}

// unauthorized answers a request without a good token (RFC 6750, section 3).
func unauthorized(w http.ResponseWriter, r *http.Request) {
	challenge, detail := `Bearer realm="gnomon"`, "a token is required"
	if r.Header.Get("Authorization") != "" {
		challenge, detail = challenge+`, error="invalid_token"`, "the token is not valid"
	}
	w.Header().Set("WWW-Authenticate", challenge)
	problem(w, http.StatusUnauthorized, wire.CodeUnauthorized, detail, "send it as Authorization: Bearer TOKEN; the CLI takes it from GNOMON_TOKEN")
}

// readable leaves out what a client may not read.
func readable(r *http.Request, all []engine.Status) []engine.Status {
	rights := rightsOf(r)
	may := make([]engine.Status, 0, len(all))
	for _, s := range all {
		if rights.May(access.Read, s.Projection) {
			may = append(may, s)
		}
	}
	return may
}
