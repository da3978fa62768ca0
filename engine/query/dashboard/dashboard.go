package dashboard

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"gnomon/engine/query/client"
)

//go:embed assets
var assets embed.FS

// policy is the content security policy of all pages: only what this package has.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Dashboard serves the pages.
type Dashboard struct {
	ask     *client.Client // the API, with the rights that are in a request's context
	version string
	mux     *http.ServeMux
	notices notices
}

// New makes the pages of an API: a handler that serves what is below /v1/, for a client
// whose rights are in the context of the request.
func New(api http.Handler, version string) *Dashboard {
	d := &Dashboard{ask: client.Direct(api), version: version, mux: http.NewServeMux()}
	d.operating()
	files, _ := fs.Sub(assets, "assets")
	d.mux.Handle("GET /ui/assets/", http.StripPrefix("/ui/assets/", unchanging(http.FileServerFS(files))))
	d.mux.HandleFunc("GET /{$}", d.page(d.overview))
	d.mux.HandleFunc("GET /ui/{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	d.mux.HandleFunc("GET /ui/login", d.page(d.login))
	d.mux.HandleFunc("GET /ui/projections/{projection}", d.page(d.withActions(d.projection)))
	d.mux.HandleFunc("GET /ui/projections/{projection}/state", d.page(d.state))
	d.mux.HandleFunc("GET /ui/projections/{projection}/time", d.page(d.time))
	d.mux.HandleFunc("GET /ui/projections/{projection}/explain", d.page(d.explain))
	d.mux.HandleFunc("GET /ui/streams/{stream}", d.page(d.stream))
	d.mux.HandleFunc("/", d.page(func(r *http.Request) (*page, error) { return nil, notFound(r.URL.Path) }))
	return d
}

// ServeHTTP implements http.Handler.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store") // pages show state
	d.mux.ServeHTTP(w, r)
}

// unchanging lets browsers keep files whose address has the version of the program; see
// asset.
func unchanging(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") || r.URL.Path == "" {
			http.NotFound(w, r) // no lists of files
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		if r.URL.Query().Has("v") {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		next.ServeHTTP(w, r)
	})
}
