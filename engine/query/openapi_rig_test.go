package query_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// description is openapi.json, as far as tests look at it.
type description struct {
	Paths map[string]struct {
		described
		Get, Post, Put, Delete *operation
	}
	Components struct {
		Parameters map[string]parameter
		Responses  map[string]response
		Headers    map[string]header
	}
	schemas *jsonschema.Compiler
	mu      sync.Mutex
}

type described struct{ Parameters []parameter }

type operation struct {
	described
	RequestBody *struct{ Content map[string]any }
	Responses   map[string]response
}

type parameter struct {
	Ref  string `json:"$ref"`
	Name string
	In   string
}

type response struct {
	Ref     string `json:"$ref"`
	Headers map[string]header
	Content map[string]any
}

type header struct {
	Ref      string `json:"$ref"`
	Required bool
}

// readDescription reads openapi.json. Members that it does not name are allowed by it, for
// more may come; tests allow none.
var readDescription = sync.OnceValues(func() (*description, error) {
	b, err := os.ReadFile("openapi.json")
	if err != nil {
		return nil, err
	}
	d := new(description)
	if err := json.Unmarshal(b, d); err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for name, schema := range doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any) {
		if name != "Row" && name != "Reflected" { // which are parts of others
			schema.(map[string]any)["unevaluatedProperties"] = false
		}
	}
	d.schemas = jsonschema.NewCompiler()
	d.schemas.DefaultDraft(jsonschema.Draft2020)
	d.schemas.AssertFormat()
	return d, d.schemas.AddResource("openapi.json", doc)
})

func describe(t *testing.T) *description {
	t.Helper()
	d, err := readDescription()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// operations are those at a path, by method.
func (d *description) operations(path string) map[string]*operation {
	all := map[string]*operation{}
	p := d.Paths[path]
	for method, o := range map[string]*operation{"GET": p.Get, "POST": p.Post, "PUT": p.Put, "DELETE": p.Delete} {
		if o != nil {
			all[method] = o
		}
	}
	return all
}

// path finds the path of a description that a request is to, the one with the fewest
// parameters; a key may have slashes.
func (d *description) path(escaped string) (found string, ok bool) {
	parts := strings.Split(escaped, "/")
	for path := range d.Paths {
		template := strings.Split(path, "/")
		is := parts
		if strings.HasSuffix(path, "/{key}") && len(parts) > len(template) {
			is = slices.Concat(parts[:len(template)-1], []string{"key"})
		}
		matches := slices.EqualFunc(template, is, func(want, got string) bool {
			text, err := url.PathUnescape(got)
			return err == nil && want == text || strings.HasPrefix(want, "{") && got != ""
		})
		if matches && (!ok || strings.Count(path, "{") < strings.Count(found, "{")) {
			found, ok = path, true
		}
	}
	return found, ok
}

// checked is what the description says of an answer that was held against it.
type checked struct{ method, path, status, kind string }

// check holds an answer against the description. What is answered at paths that it does not
// have must be a problem.
func (d *description) check(method, escaped string, res *http.Response, body []byte) (c checked, err error) {
	path, ok := d.path(escaped)
	if c.path, c.method = path, method; method == http.MethodHead {
		c.method = http.MethodGet
	}
	o := d.operations(path)[c.method]
	if !ok || o == nil {
		if res.StatusCode < 300 && method != http.MethodOptions {
			return c, fmt.Errorf("openapi.json has no %s at %s", method, escaped)
		}
		return c, nil
	}
	c.status = fmt.Sprint(res.StatusCode)
	described, ok := o.Responses[c.status]
	at := []string{"paths", path, strings.ToLower(c.method), "responses", c.status}
	if !ok && res.StatusCode >= 400 {
		described, ok = o.Responses["default"]
		at[4] = "default"
	}
	if !ok {
		return c, fmt.Errorf("openapi.json has no status %s of %s %s", c.status, c.method, path)
	}
	if described.Ref != "" {
		at = strings.Split(strings.TrimPrefix(described.Ref, "#/"), "/")
		described = d.Components.Responses[at[len(at)-1]]
	}
	for name, h := range described.Headers {
		if h.Ref != "" {
			h = d.Components.Headers[h.Ref[strings.LastIndex(h.Ref, "/")+1:]]
		}
		if value := res.Header.Get(name); value == "" && h.Required {
			return c, fmt.Errorf("%s %s answers %s without the header %s", method, path, c.status, name)
		}
	}
	if len(described.Content) == 0 || method == http.MethodHead {
		return c, nil
	}
	c.kind, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
	if described.Content[c.kind] == nil {
		return c, fmt.Errorf("openapi.json has no content %q in status %s of %s %s", c.kind, c.status, c.method, path)
	}
	return c, d.checkBody(append(at, "content", c.kind, "schema"), c.kind, body)
}

// checkBody holds a body against the schema at a place of the description.
func (d *description) checkBody(at []string, kind string, body []byte) error {
	values := [][]byte{body}
	switch kind {
	case "application/x-ndjson":
		values = bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	case "application/json", "application/problem+json":
	default:
		return nil
	}
	pointer := "openapi.json#"
	for _, part := range at {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(part)
	}
	d.mu.Lock()
	schema, err := d.schemas.Compile(pointer)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	for _, b := range values {
		if len(b) == 0 {
			continue
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			return fmt.Errorf("%s is not as openapi.json says at %s: %w", b, pointer, err)
		}
	}
	return nil
}
