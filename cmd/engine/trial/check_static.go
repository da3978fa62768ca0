package trial

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"gnomon/cmd/engine/cli"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// static is what the bytes of a module say.
type static struct {
	path string
	size int
	host.Static
	binary *host.Binary // nil: it is no module that can be read
	limits host.Limits
	took   time.Duration // to check and compile it
}

// Signature is an import or export in the output for tools.
type Signature struct {
	Module string `json:"module,omitempty"`
	Name   string `json:"name"`
	Kind   string `json:"kind"` // function, table, memory, global
	Type   string `json:"type,omitempty"`
}

// Signatures lists what a module imports and exports.
func Signatures(b *host.Binary) (imports, exports []Signature) {
	imports, exports = []Signature{}, []Signature{}
	kinds := [...]string{"function", "table", "memory", "global"}
	of := func(kind byte, t host.Signature) (string, string) {
		if kind == 0 {
			return kinds[0], t.String()
		}
		return kinds[min(kind, 3)], ""
	}
	for _, i := range b.Imports {
		kind, text := of(i.Kind, i.Type)
		imports = append(imports, Signature{i.Module, i.Name, kind, text})
	}
	for _, e := range b.Exports {
		kind, text := of(e.Kind, e.Type)
		exports = append(exports, Signature{"", e.Name, kind, text})
	}
	return imports, exports
}

// compileRate is how many bytes of code are compiled in a second of a processor, about:
// measured with guests of 20 KB to 2.2 MB of code.
const compileRate = 1_400_000

// cost is about what compiling takes of a processor.
func (s *static) cost() time.Duration {
	return time.Duration(s.Sizes.Code) * time.Second / compileRate
}

// class names the cost of compiling.
func (s *static) class() string {
	switch c := s.cost(); {
	case c < 100*time.Millisecond:
		return "low"
	case c < time.Second:
		return "medium"
	}
	return "high"
}

func (s *static) language() string {
	if s.Language == "" {
		return "not known: it names neither language nor tools"
	}
	return strings.TrimSuffix(s.Language+", "+s.Toolchain, ", ")
}

// pages is a number of pages of memory as a size.
func pages(n uint64) string { return humanize.IBytes(n << 16) }

func (s *static) print(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("language", "%s", cli.Readable([]byte(s.language())))
	row("sections", "code %s in %s functions, data %s, custom %s, other %s", humanize.IBytes(uint64(s.Sizes.Code)), cli.Comma(s.Functions),
		humanize.IBytes(uint64(s.Sizes.Data)), humanize.IBytes(uint64(s.Sizes.Custom)), humanize.IBytes(uint64(s.Sizes.Other)))
	if s.binary == nil {
		return
	}
	most := "it may grow to " + humanize.IBytes(s.limits.Memory) + " (limits.memory)"
	if n := s.binary.MaxPages; n > 0 && n<<16 < s.limits.Memory {
		most = "it may grow to " + pages(n) + ", as it declares"
	}
	row("memory", "%s declared, %s; largest table %s entries", pages(s.binary.MinPages), most, cli.Comma(s.binary.Table))
	if s.took > 0 {
		row("compile", "about %s of a processor (%s); it took %s", s.cost().Round(time.Millisecond), s.class(), s.took.Round(time.Millisecond))
	}
	imports, exports := Signatures(s.binary)
	printSignatures(w, "imports", imports)
	printSignatures(w, "exports", exports)
}

func printSignatures(w io.Writer, title string, list []Signature) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range list {
		name := s.Name
		if s.Module != "" {
			name = s.Module + "." + name
		}
		what := s.Type
		if s.Type == "" {
			what = s.Kind
		}
		fmt.Fprintf(t, "  %-9s %s\t%s\n", title, cli.Readable([]byte(name)), what)
		title = ""
	}
	_ = t.Flush()
}

// notes are what a module has that may not do what its author expects, as sentences.
func (d *description) notes() (list []string) {
	for _, s := range d.module.Binary().Stubs(d.static.Language) {
		text := abi.WASI + "." + s.Function + ": " + s.Does
		if s.Fix != "" {
			text += " (" + d.static.Language + ": " + s.Fix + ")"
		}
		list = append(list, text)
	}
	if text := host.FloatWarning(d.code); text != "" {
		list = append(list, text)
	}
	return list
}

// refused tells what is wrong with a module that is not taken. One problem the error says;
// of several all are listed.
func (k *checker) refused(s *static, err error) error {
	var refusal *host.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	var list []problemJSON
	for _, p := range refusal.Problems {
		list = append(list, problemJSON{p.Text, p.Fix(s.Language)})
	}
	switch {
	case k.json:
		out := s.json()
		out.Problems = list
		k.printJSON(out)
	case len(list) > 1:
		fmt.Fprintf(k.stdout, "%s: refused\n", s.path)
		for _, p := range list {
			fmt.Fprintf(k.stdout, "  %-9s %s\n", "problem", cli.Readable([]byte(p.Text)))
			if p.Fix != "" {
				fmt.Fprintf(k.stdout, "  %-9s %s\n", "  fix", p.Fix)
			}
		}
		s.print(k.stdout)
	}
	if len(list) == 1 && list[0].Fix == "" {
		return err
	}
	if len(list) == 1 {
		return cli.WithHint(err, "%s", list[0].Fix)
	}
	return fmt.Errorf("%s; and %d more, listed above", list[0].Text, len(list)-1)
}

// checkJSON is what check says of a module for tools, a line each.
type checkJSON struct {
	Module    string        `json:"module"`
	OK        bool          `json:"ok"`
	Problems  []problemJSON `json:"problems,omitempty"`
	Contract  string        `json:"contract,omitempty"`
	SHA256    string        `json:"sha256,omitempty"`
	Kind      string        `json:"kind,omitempty"`
	Bytes     int           `json:"bytes"`
	Sections  *host.Sizes   `json:"sections,omitempty"`
	Functions int           `json:"functions,omitempty"`
	Language  string        `json:"language,omitempty"`
	Toolchain string        `json:"toolchain,omitempty"`
	Memory    *memoryJSON   `json:"memory,omitempty"`
	Table     uint64        `json:"table,omitempty"` // entries of the largest
	Compile   *compileJSON  `json:"compile,omitempty"`
	Imports   []Signature   `json:"imports,omitempty"`
	Exports   []Signature   `json:"exports,omitempty"`
	Use       []useJSON     `json:"use,omitempty"` // what events, and a query, took
	Notes     []string      `json:"notes,omitempty"`
	Rules     []ruleJSON    `json:"rules,omitempty"` // with --rules
}

type problemJSON struct {
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"`
}

type memoryJSON struct {
	Min     uint64 `json:"min_bytes"`
	Max     uint64 `json:"max_bytes,omitempty"` // as it declares
	Started uint64 `json:"started_bytes,omitempty"`
}

type compileJSON struct {
	Estimate int64  `json:"estimate_ms"` // of a processor
	Class    string `json:"class"`       // low, medium, high
	Took     int64  `json:"took_ms"`
}

type useJSON struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

type ruleJSON struct {
	ID      string `json:"id"`
	Says    string `json:"says"`
	Verdict string `json:"verdict"`
	Text    string `json:"text,omitempty"`
}

func (s *static) json() checkJSON {
	out := checkJSON{Module: s.path, Bytes: s.size, Sections: &s.Sizes, Functions: s.Functions, Language: s.Language, Toolchain: s.Toolchain}
	if b := s.binary; b != nil {
		out.Imports, out.Exports = Signatures(b)
		out.Memory = &memoryJSON{Min: b.MinPages << 16, Max: b.MaxPages << 16}
		out.Table = b.Table
	}
	if s.took > 0 {
		out.Compile = &compileJSON{s.cost().Milliseconds(), s.class(), s.took.Milliseconds()}
	}
	return out
}

func (d *description) json() checkJSON {
	out := d.static.json()
	out.OK, out.Contract, out.SHA256, out.Kind, out.Notes = true, abi.Module, d.module.Digest(), d.kind(), d.notes()
	out.Memory.Started = d.memory
	for _, r := range d.use {
		out.Use = append(out.Use, useJSON{r.name, r.text})
	}
	return out
}

// printJSON prints what is known of a module.
func (k *checker) printJSON(v checkJSON) {
	k.printed = true
	e := json.NewEncoder(k.stdout)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
}
