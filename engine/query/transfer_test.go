package query_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
)

// exporter writes what it is asked for, and then fails.
type exporter struct {
	text string
	err  error
}

func (e exporter) Export(_ context.Context, w io.Writer, projection, snapshot, since string) error {
	if e.text != "" {
		fmt.Fprintf(w, "%s %q %q %q", e.text, projection, snapshot, since)
	}
	return e.err
}

// An archive is asked for by its snapshot, or of what is served now. One that fails before
// it begins is a problem, and one that is cut off is told from one that is whole.
func TestExportArchive(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	with := func(e query.Exporter) {
		r.server.Config.Handler = query.New(query.Options{Engine: r.engine, Exporter: e, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	}
	with(exporter{text: "of"})
	for _, c := range []struct{ path, snapshot, since, want string }{
		{"/snapshots/export", "", "", `of "p" "" ""`},
		{"/snapshots/x/export", "x", "", `of "p" "x" ""`},
		{"/snapshots/export/export?since=y", "export", "y", `of "p" "export" "y"`},
	} {
		if a := r.ask("GET", "/v1/projections/p"+c.path, ""); a.StatusCode != 200 || a.body != c.want || a.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %s, want %s", c.path, a, c.want)
		}
		body, err := r.client().Export(t.Context(), "p", c.snapshot, c.since)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if body.Close(); err != nil || string(b) != c.want {
			t.Errorf("client: %s, %v, want %s", b, err, c.want)
		}
	}
	for path, code := range map[string]string{"/snapshots/x": wire.CodeBadMethod, "/snapshots//export": wire.CodeNotFound, "/snapshots/x/export?at=1": wire.CodeBadRequest, "/snapshots/x/export?a=1": wire.CodeBadRequest} {
		if p := r.ask("GET", "/v1/projections/p"+path, "").problem(t); p.Code != code {
			t.Errorf("%s: %+v, want %s", path, p, code)
		}
	}
	for err, code := range map[error]string{catalog.ErrNoSnapshot: wire.CodeNoSnapshot, query.ErrNotExportable: wire.CodeNotExportable, engine.ErrNoProjection: wire.CodeNoProjection} {
		with(exporter{err: err})
		if p := r.ask("GET", "/v1/projections/p/snapshots/x/export", "").problem(t); p.Code != code {
			t.Errorf("%v: %+v, want %s", err, p, code)
		}
	}
	with(exporter{text: strings.Repeat("x", 1<<20), err: errors.New("the disk is gone")})
	body, err := r.client().Export(t.Context(), "p", "", "")
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		body.Close()
	}
	if err == nil || !strings.Contains(r.log.String(), "export was cut off") {
		t.Errorf("cut off: %v; the log has %s", err, r.log)
	}
	with(nil)
	if p := r.ask("GET", "/v1/projections/p/snapshots/export", "").problem(t); p.Code != wire.CodeNotAvailable {
		t.Errorf("without an exporter: %+v", p)
	}
}
