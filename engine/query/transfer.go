package query

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gnomon/engine/query/wire"
)

// Exporter writes the state of projections into archives.
type Exporter interface {
	// Export writes the archive of a snapshot of a projection, or of what it serves now when
	// the snapshot is empty. Since names the snapshot that an incremental archive builds upon;
	// empty: it has all of the state. It fails with the errors of engine.Engine's
	// ReadSnapshot, or with ErrNotExportable, before the first byte; with others at any time.
	Export(ctx context.Context, w io.Writer, projection, snapshot, since string) error
}

// ErrNotExportable says that a state cannot be written into an archive.
var ErrNotExportable = errors.New("state cannot be exported")

// exportPath takes apart what is below snapshots/: "export" is about what is served now,
// "NAME/export" about a snapshot.
func exportPath(below string) (snapshot string, ok bool) {
	if below == "export" {
		return "", true
	}
	escaped, ok := strings.CutSuffix(below, "/export")
	if !ok || escaped == "" {
		return "", false
	}
	snapshot, err := url.PathUnescape(escaped)
	return snapshot, err == nil && snapshot != ""
}

// exportArchive answers with an archive, which is read while commits go on.
func (s *Server) exportArchive(w http.ResponseWriter, r *http.Request, name, snapshot string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := parameters(w, r, "since")
	if !ok {
		return
	}
	if s.exporter == nil {
		problem(w, http.StatusNotImplemented, wire.CodeNotAvailable, "this server writes no archives", "")
		return
	}
	if r.Method == http.MethodHead {
		problem(w, http.StatusMethodNotAllowed, wire.CodeBadMethod, "what an archive has is not known before it is written", "use GET")
		return
	}
	out := &begun{ResponseWriter: w}
	err := s.exporter.Export(r.Context(), out, name, snapshot, q.Get("since"))
	switch {
	case err == nil:
	case !out.writes:
		failed(w, err)
	default:
		s.log.Warn("export was cut off", "projection", name, "snapshot", snapshot, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// begun is an answer of bytes that tells whether there are any yet.
type begun struct {
	http.ResponseWriter
	writes bool
}

// Write implements http.ResponseWriter.
func (b *begun) Write(p []byte) (int, error) {
	if !b.writes {
		b.writes = true
		b.Header().Set("Content-Type", "application/octet-stream")
		b.Header().Set("Cache-Control", "no-store")
	}
	return b.ResponseWriter.Write(p)
}
