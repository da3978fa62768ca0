package dashboard

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// act is a button: something that can be done. It leads to a page that says what exactly
// will happen, and asks; with scripts that page shows in a dialog.
type act struct {
	Label  string
	Href   string
	Danger bool
	Why    string // it cannot be done now; empty: it can
}

// verb is something that can be done with a projection, at /ui/projections/P/do/VERB.
type verb struct {
	label  string
	danger bool   // takes away what cannot be had back
	back   string // the tab that shows what came of it
	fields []field
	// says tells in sentences what will happen.
	says func(d *Dashboard, o *order) ([]string, error)
	// does it, and tells what was done.
	does func(d *Dashboard, o *order) (string, error)
	// asks is the request that does it: its method, path below the projection and body, and
	// the command.
	asks func(o *order) (method, path, body, cli string)
}

// field is what a person fills in before it is done.
type field struct {
	Name, Label, Placeholder, Value string
	Required                        bool
}

// order is a verb with what it is about.
type order struct {
	*http.Request
	name   string // of the projection
	values url.Values
}

func (o *order) get(name string) string { return strings.TrimSpace(o.values.Get(name)) }

// hidden are the parameters of orders that nobody fills in.
var hidden = []string{"seq", "key", "key_b64", "all", "snapshot", "generation"}

// confirmation is what the page shows before something is done.
type confirmation struct {
	Title, Label, Action, Back string
	Danger                     bool
	Why                        string // it may not be done; empty: it may
	Says                       []string
	Hidden                     []field
	Fields                     []field
}

// mayAct says why the person may not change a projection; empty: they may.
func (d *Dashboard) mayAct(r *http.Request, name string) (why string, err error) {
	a, err := d.ask.Access(r.Context(), name, "")
	if err != nil || len(a.Projections) == 1 && a.Projections[0].Admin {
		return "", err
	}
	return "this needs the role admin for " + name + "; you may read", nil
}

// button is a button for a verb about a projection. Why it cannot be done goes before
// everything else.
func button(verb, name, why string, about ...string) act {
	v := verbs[verb]
	q := url.Values{}
	for i := 0; i+1 < len(about); i += 2 {
		q.Set(about[i], about[i+1])
	}
	href := tabPath(name, "do/"+verb)
	if len(q) > 0 {
		href += "?" + q.Encode()
	}
	return act{Label: v.label, Href: href, Danger: v.danger, Why: why}
}

// tabPath is the address of a page about a projection.
func tabPath(name, tab string) string {
	return strings.TrimSuffix("/ui/projections/"+pathOf(name)+"/"+tab, "/")
}

// orderOf finds the verb of a request and what it is about.
func orderOf(r *http.Request, values url.Values) (verb, *order, error) {
	v, ok := verbs[r.PathValue("verb")]
	if !ok {
		return v, nil, notFound(r.URL.Path)
	}
	return v, &order{Request: r, name: r.PathValue("projection"), values: values}, nil
}

// operating adds the pages that show how a projection is run, and what acts.
func (d *Dashboard) operating() {
	d.mux.HandleFunc("GET /ui/projections/{projection}/generations", d.page(d.generations))
	d.mux.HandleFunc("GET /ui/projections/{projection}/dead-letters", d.page(d.letters))
	d.mux.HandleFunc("GET /ui/projections/{projection}/snapshots", d.page(d.snapshots))
	d.mux.HandleFunc("GET /ui/projections/{projection}/module", d.page(d.module))
	d.mux.HandleFunc("GET /ui/projections/{projection}/log", d.page(d.log))
	d.mux.HandleFunc("GET /ui/projections/{projection}/do/{verb}", d.page(d.confirm))
	d.mux.HandleFunc("POST /ui/projections/{projection}/do/{verb}", d.do)
	d.mux.HandleFunc("POST /ui/projections/{projection}/bundle", d.bundle)
}

// confirm asks before something is done.
func (d *Dashboard) confirm(r *http.Request) (*page, error) {
	v, o, err := orderOf(r, r.URL.Query())
	if err != nil {
		return nil, err
	}
	why, err := d.mayAct(r, o.name)
	if err != nil {
		return nil, err
	}
	says, err := v.says(d, o)
	if err != nil {
		return nil, err
	}
	c := confirmation{
		Title: v.label + ": " + o.name, Label: v.label, Action: tabPath(o.name, "do/"+r.PathValue("verb")), Back: tabPath(o.name, v.back),
		Danger: v.danger, Why: why, Says: says, Fields: v.fields,
	}
	for _, name := range hidden {
		if o.values.Has(name) {
			c.Hidden = append(c.Hidden, field{Name: name, Value: o.values.Get(name)})
		}
	}
	method, path, body, cli := v.asks(o)
	return &page{Title: c.Title, template: "confirm", Projection: plainName(o.name), Tab: tabOf(v.back), Data: c, Copy: []ask{
		{"to do it", curlFor(r, method, "/v1/projections/"+pathOf(o.name)+path, body), cli},
	}}, nil
}

// plainName is the name of a projection without the role of a generation.
func plainName(name string) string {
	name, _, _ = strings.Cut(name, "@")
	return name
}

func tabOf(back string) string {
	if back == "" {
		return "status"
	}
	return back
}

// curlFor is the command that sends a request with a body.
func curlFor(r *http.Request, method, path, body string) string {
	command := "curl -s -X " + method + auth(r)
	if body != "" {
		command += " -H 'Content-Type: application/json' -d " + quotedKey([]byte(body))
	}
	return command + " " + quoted(origin(r)+path)
}

// maxForm bounds what a form sends.
const maxForm = 64 << 10

// do does what a form asks for, and leads to a page that says what was done. Pages of other
// origins may not, whatever http.origins lets them ask of the API: a browser may send with
// their forms what it sends with ours.
func (d *Dashboard) do(w http.ResponseWriter, r *http.Request) {
	to, err := d.done(w, r)
	if err != nil {
		d.page(func(*http.Request) (*page, error) { return nil, err })(w, r)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (d *Dashboard) done(w http.ResponseWriter, r *http.Request) (to string, err error) {
	if err := readForm(w, r); err != nil {
		return "", err
	}
	v, o, err := orderOf(r, r.PostForm)
	if err != nil {
		return "", err
	}
	text, err := v.does(d, o)
	if err != nil {
		return "", err
	}
	back := tabPath(plainName(o.name), v.back)
	if r.PathValue("verb") == "remove" {
		back = "/"
	}
	return back + "?notice=" + d.notices.put(text), nil
}

// readForm reads the form of a request of our own pages.
func readForm(w http.ResponseWriter, r *http.Request) error {
	var own http.CrossOriginProtection
	if err := own.Check(r); err != nil {
		return problem(http.StatusForbidden, "cross-origin", "a page of another site sent this form", "go to the page yourself")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return problem(http.StatusBadRequest, "bad-request", fmt.Sprintf("the form cannot be read: %v", err), "go back and send it again")
	}
	return nil
}
