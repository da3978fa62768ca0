// Package archtest states who may import whom, and fails the build otherwise.
package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "gnomon/"

// guarded lists, for each dependency worth fencing in, the packages that may import
// it. Adapters are fenced so that one can be replaced in one place.
var guarded = map[string][]string{
	"github.com/tetratelabs/wazero":       {"host"},
	"github.com/nats-io/nats-server":      {"engine/broker"},
	"github.com/nats-io/nats.go":          {"engine/broker", "engine/ingest", "engine/importer", "engine/archive/objects", "engine/mirror", "engine/service", "plugins/bucket"},
	"github.com/fsnotify/fsnotify":        {"plugins"},
	"aead.dev/minisign":                   {"plugins"},
	"github.com/dgraph-io/badger":         {"engine/store"},
	"github.com/gofrs/flock":              {"engine/store"},
	"github.com/klauspost/compress":       {"engine/archive"},
	"github.com/BurntSushi/toml":          {"engine/config"},
	"github.com/agnivade/levenshtein":     {"engine/config"},
	"github.com/dustin/go-humanize":       {"engine/config", "engine/query/dashboard", "cmd/engine", "cmd/engine/cli", "cmd/engine/trial"},
	"github.com/tidwall/gjson":            {"engine/fields"},
	"github.com/prometheus/client_golang": {"engine/query"},
	"github.com/prometheus/client_model":  {"engine/query"},
	"github.com/spf13/cobra":              {"cmd/engine", "cmd/engine/cli", "cmd/engine/top", "cmd/engine/dev", "cmd/engine/trial"},
	"github.com/spf13/pflag":              {"cmd/engine"},
	"github.com/gdamore/tcell":            {"cmd/engine/top"},
	"github.com/creack/pty":               {}, // tests only
	"github.com/schollz/progressbar":      {"cmd/engine/cli"},
	"go.opentelemetry.io/otel":            {"engine/trace"},
	"golang.org/x/sync":                   {"engine/query"},
	"golang.org/x/term":                   {"cmd/engine", "cmd/engine/cli"},
	"github.com/chromedp":                 {}, // tests only, as what follows
	"github.com/nats-io/jwt":              {},
	"github.com/nats-io/nkeys":            {},
	"github.com/prometheus/common":        {},
	"github.com/rogpeppe/go-internal":     {},
	"github.com/santhosh-tekuri":          {},
	"go.opentelemetry.io/proto":           {},
	"go.yaml.in/yaml":                     {},
	"google.golang.org/protobuf":          {},
}

// nouns are what the domain is built on: none of them imports who runs it.
var nouns = []string{"engine/streams", "engine/state", "engine/guest", "engine/catalog", "engine/measure", "sdk/abi"}

// domain is what every adapter may import. Adapters never import each other; only
// cmd/engine, which wires them with what is below it, and tests are free.
var domain = append([]string{"engine"}, nouns...)

// program is the package that wires everything; what is below it are commands of it.
const program = "cmd/engine"

// shared are the packages below program that others there may import.
var shared = []string{"cmd/engine/cli"}

// allowed lists the other imports within this module that a package may have.
// Packages below an adapter belong to it.
var allowed = map[string][]string{
	"sdk/abi":                  {},
	"sdk/jsonfields":           {"sdk/abi"},
	"sdk/outcome":              {},
	"sdk/js":                   {},
	"host":                     append([]string{"host/fuel", "sdk/jsonfields"}, nouns...),
	"host/fuel":                {},
	"host/conformance":         append([]string{"host", "engine/testdriver", "sdk/outcome"}, domain...),
	"sdk/go":                   {"sdk/abi", "sdk/jsonfields", "sdk/go/internal/boundary"},
	"sdk/go/memory":            {"sdk/go", "sdk/go/internal/boundary", "sdk/abi"},
	"sdk/go/upcast":            {"sdk/go", "sdk/go/internal/boundary", "sdk/abi"},
	"sdk/go/query":             {"sdk/go", "sdk/go/internal/boundary", "sdk/abi"},
	"sdk/go/migrate":           {"sdk/go", "sdk/go/internal/boundary"},
	"sdk/go/gnomontest":        {"sdk/go", "sdk/jsonfields", "sdk/outcome", "sdk/go/internal/boundary", "sdk/abi"},
	"sdk/go/internal/boundary": {"sdk/abi"},
	"engine":                   nouns,
	"engine/measure":           {},
	"engine/streams":           {"engine/measure", "sdk/abi"},
	"engine/state":             {"sdk/abi"},
	"engine/guest":             {"engine/state", "sdk/abi"},
	"engine/catalog":           {"engine/state"},
	"engine/broker":            nouns,
	"engine/ingest":            nouns,
	"engine/importer":          nouns,
	"engine/fields":            nouns,
	"engine/store":             nouns,
	"engine/archive":           nouns,
	"engine/archive/objects":   nouns,
	"engine/testdriver":        append([]string{"engine/importer", "sdk/outcome"}, domain...),
	"engine/query":             append([]string{"engine/query/access", "engine/query/wire"}, domain...),
	"engine/query/access":      {"plugins/intact"},
	"engine/query/client":      append([]string{"engine/query/wire"}, domain...),
	"engine/query/dashboard":   append([]string{"engine/query/client", "engine/query/wire"}, domain...),
	"engine/service":           append([]string{"engine/query/wire"}, domain...),
	"engine/config":            append([]string{"plugins/intact"}, domain...),
	"plugins":                  {"plugins/intact"},
	"plugins/intact":           {},
	"plugins/bucket":           {"plugins/intact"},
}

// standardOnly lists packages that import nothing from outside this module and the
// standard library; sdk/abi does not even import that.
var standardOnly = append([]string{"engine/testdriver", "sdk/jsonfields", "sdk/outcome", "sdk/js", "sdk/go", "sdk/go/memory", "sdk/go/upcast", "sdk/go/query", "sdk/go/migrate", "sdk/go/gnomontest", "sdk/go/internal/boundary", "plugins/intact", "host/fuel"}, domain...)

// maxLines bounds a file: a longer one has more than one subject.
const maxLines = 500

// file is a Go file that is not a test.
type file struct {
	path, pkg string
	lines     int
	syntax    *ast.File
}

func files(t *testing.T) []file {
	t.Helper()
	root := os.DirFS("../..")
	var all []file
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if d != nil && (d.Name() == "testdata" || d.Name() == "node_modules" || p == "bench" || p == "deploy/lint") { // these two are modules of their own
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return err
		}
		src, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, file{path: p, pkg: path.Dir(p), lines: bytes.Count(src, []byte("\n")), syntax: syntax})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d files found: this test looks in the wrong place", len(all))
	}
	return all
}

func (f file) imports() []string {
	var all []string
	for _, spec := range f.syntax.Imports {
		imp, _ := strconv.Unquote(spec.Path.Value)
		all = append(all, imp)
	}
	return all
}

// isCommand reports whether a package is the program, or one of its commands.
func isCommand(pkg string) bool { return pkg == program || strings.HasPrefix(pkg, program+"/") }

// free packages wire, test or demonstrate.
func free(pkg string) bool {
	return isCommand(pkg) || strings.HasPrefix(pkg, "examples/") || strings.HasPrefix(pkg, "internal/") || pkg == "engine/enginetest"
}

// Adapters import the domain, never each other.
func TestImportsWithinTheModule(t *testing.T) {
	for _, f := range files(t) {
		may, ruled := allowed[f.pkg]
		if !ruled {
			may = domain
		}
		for _, imp := range f.imports() {
			own, inModule := strings.CutPrefix(imp, module)
			if inModule && !free(f.pkg) && !slices.Contains(may, own) {
				t.Errorf("%s imports %s: %s may import only %v", f.path, own, f.pkg, may)
			}
		}
	}
}

// A package of commands imports what commands share, never another one: only the program
// itself puts them together.
func TestCommandsStandAlone(t *testing.T) {
	for _, f := range files(t) {
		if f.pkg == program || !isCommand(f.pkg) {
			continue
		}
		for _, imp := range f.imports() {
			own, inModule := strings.CutPrefix(imp, module)
			if inModule && isCommand(own) && !slices.Contains(shared, own) {
				t.Errorf("%s imports %s: a package of commands may import only %v of them", f.path, own, shared)
			}
		}
	}
}

// Each dependency is imported by the packages that it was chosen for.
func TestGuardedDependencies(t *testing.T) {
	for _, f := range files(t) {
		for _, imp := range f.imports() {
			outside := strings.Contains(strings.Split(imp, "/")[0], ".")
			if outside && slices.Contains(standardOnly, f.pkg) {
				t.Errorf("%s imports %s: %s uses the standard library only", f.path, imp, f.pkg)
			}
			if f.pkg == "sdk/abi" {
				t.Errorf("%s imports %s: sdk/abi imports nothing", f.path, imp)
			}
			for dependency, may := range guarded {
				test := strings.HasPrefix(f.pkg, "internal/testutil")
				if strings.HasPrefix(imp, dependency) && !slices.Contains(may, f.pkg) && !test {
					t.Errorf("%s imports %s: only %v may", f.path, imp, may)
				}
			}
		}
	}
}

// Every rule is about packages and imports that there are: one that outlived what it was
// made for holds nothing.
func TestRulesHaveSubjects(t *testing.T) {
	imports := map[string][]string{} // of each package
	for _, f := range files(t) {
		imports[f.pkg] = append(imports[f.pkg], f.imports()...)
	}
	for _, pkg := range slices.Concat(slices.Collect(maps.Keys(allowed)), slices.Concat(slices.Collect(maps.Values(allowed))...), domain, shared, standardOnly) {
		if _, ok := imports[pkg]; !ok {
			t.Errorf("a rule names %s, and there is no such package", pkg)
		}
	}
	for dependency, may := range guarded {
		for _, pkg := range may {
			if !slices.ContainsFunc(imports[pkg], func(imp string) bool { return strings.HasPrefix(imp, dependency) }) {
				t.Errorf("%s may import %s, and does not", pkg, dependency)
			}
		}
	}
}

// Every package says what it is for, and no file has outgrown its subject.
func TestPackagesAreLegible(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range files(t) {
		documented[f.pkg] = documented[f.pkg] || f.syntax.Doc != nil
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: does it still have one subject?", f.path, f.lines, maxLines)
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment that says what it is for", pkg)
		}
	}
}
