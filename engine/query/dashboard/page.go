package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"gnomon/engine/query/wire"
)

//go:embed templates
var templates embed.FS

// page is what a template shows.
type page struct {
	Title    string
	Version  string
	template string // templates/NAME.html, which defines "main"
	status   int    // of HTTP; 0: OK
	Copy     []ask  // where the page's facts come from
	Data     any    // of the template
	Live     string // address of events that say when the page's element "live" is another one; empty: it stays as it is
	Session  bool   // the person logged in

	// Of pages about a projection or a stream: its name, and which of its tabs this is.
	Projection, Stream, Tab string

	Notice  string   // what was done just before
	Actions *actions // that there are on it; nil: none
}

// ask is a request that a page comes from, for the person who wants it elsewhere.
type ask struct {
	What string // it is, in a few words
	Curl string
	CLI  string // empty: there is no command for it
}

// page makes a handler of a function that finds out what is on a page. Errors become pages,
// too, with the hint that the API gave.
func (d *Dashboard) page(find func(*http.Request) (*page, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := find(r)
		if err != nil {
			p = errorPage(err)
			if p.status == http.StatusConflict { // it is otherwise by now, and its tabs show how
				p.Projection = r.PathValue("projection")
			}
		}
		if p.template != "login" { // which is for strangers
			p.Version = d.version
		}
		p.Session = hasSession(r)
		p.Notice = d.notices.text(r.URL.Query().Get("notice"))
		d.render(w, p)
	}
}

// hasSession reports whether the person logged in, as far as the browser says.
func hasSession(r *http.Request) bool {
	return slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, wire.SessionCookie) })
}

func (d *Dashboard) render(w http.ResponseWriter, p *page) {
	var out bytes.Buffer // so that an error in a template is no half page
	if err := parsed[p.template].ExecuteTemplate(&out, "layout.html", p); err != nil {
		panic(fmt.Errorf("template %s: %w", p.template, err)) // which the server answers and logs
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if p.status != 0 {
		w.WriteHeader(p.status)
	}
	_, _ = out.WriteTo(w) // the client is gone
}

// errorPage says what is wrong, and what to do.
func errorPage(err error) *page {
	p := &wire.Problem{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError), Detail: err.Error()}
	errors.As(err, &p)
	return &page{Title: p.Title, template: "error", status: p.Status, Data: p}
}

func notFound(path string) error {
	return &wire.Problem{Status: http.StatusNotFound, Title: http.StatusText(http.StatusNotFound), Code: wire.CodeNotFound, Detail: "there is no page at " + path, Hint: "the overview lists what there is"}
}

// parsed are the templates by name, each with the layout.
var parsed = parse()

func parse() map[string]*template.Template {
	common := template.Must(template.New("").Funcs(functions).ParseFS(templates, "templates/layout.html", "templates/parts/*.html"))
	pages, err := fs.Glob(templates, "templates/pages/*.html")
	if err != nil {
		panic(err)
	}
	all := map[string]*template.Template{}
	for _, file := range pages {
		name := path.Base(file)
		all[name[:len(name)-len(".html")]] = template.Must(template.Must(common.Clone()).ParseFS(templates, file))
	}
	return all
}

// asset is the address of a file, which changes when the file does.
func asset(name string) string {
	content, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // a page that asks for it is tested
	}
	sum := sha256.Sum256(content)
	return "/ui/assets/" + name + "?v=" + hex.EncodeToString(sum[:6])
}
