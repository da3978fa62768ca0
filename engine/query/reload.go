package query

import (
	"context"
	"net/http"

	"gnomon/engine/query/wire"
)

// Reloader has a running engine take what changed in its configuration and its modules.
type Reloader interface {
	// Reload takes what they say now, and tries again what was refused before. What is
	// wrong is refused, and what ran goes on.
	Reload(ctx context.Context) (wire.Reloaded, error)
}

// reload answers with what was done.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if _, ok := parameters(w, r); !ok {
		return
	}
	if r.ContentLength != 0 && !body(w, r, &struct{}{}) {
		return
	}
	done, err := s.reloader.Reload(r.Context())
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}
