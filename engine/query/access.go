package query

import (
	"net/http"
	"net/url"

	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
)

// mayWhat answers with what the client may do: about the projection and the stream that it
// names, whether there are any, or about all projections that it may read.
func (s *Server) mayWhat(w http.ResponseWriter, r *http.Request) {
	q, ok := parameters(w, r, "projection", "stream")
	if !ok {
		return
	}
	rights := rightsOf(r)
	out := wire.Access{Everything: rights.MayEverything(), Projections: []wire.ProjectionAccess{}, Streams: []wire.StreamAccess{}}
	about := func(name string) {
		out.Projections = append(out.Projections, wire.ProjectionAccess{Projection: name, Read: rights.May(access.Read, name), Admin: rights.May(access.Admin, name)})
	}
	if stream := q.Get("stream"); stream != "" {
		out.Streams = append(out.Streams, wire.StreamAccess{Stream: stream, Append: rights.MayAppend(stream)})
	}
	switch name := q.Get("projection"); {
	case name != "":
		about(name)
	case !q.Has("stream"):
		for _, p := range readable(r, s.engine.Projections()) {
			about(p.Projection)
		}
	}
	answer(w, http.StatusOK, out)
}

// deleteSnapshot gives a named snapshot up.
func (s *Server) deleteSnapshot(w http.ResponseWriter, r *http.Request, name, escaped string) {
	if !allowed(w, r, http.MethodDelete) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	snapshot, err := url.PathUnescape(escaped)
	if err != nil {
		bad(w, "name of the snapshot: %v", err)
		return
	}
	if err := s.engine.DeleteSnapshot(name, snapshot); err != nil {
		failed(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
