package archtest

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The map in engine/doc.go names each file of the domain once, and none that is not there.
func TestMapOfTheDomain(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "../../engine/doc.go"), "# Files")
	named := map[string]int{}
	for _, line := range regexp.MustCompile(`(?m)^//\t(.+)$`).FindAllStringSubmatch(text, -1) {
		names, _, _ := strings.Cut(line[1], "  ")
		for name := range strings.SplitSeq(names, ", ") {
			named[name]++
		}
	}
	paths, err := filepath.Glob("../../engine/*.go")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, p := range paths {
		name := strings.TrimSuffix(path.Base(p), ".go")
		if name == "doc" || strings.HasSuffix(name, "_test") {
			continue
		}
		if named[name] != 1 {
			t.Errorf("engine/%s.go is named %d times in the map of engine/doc.go, and not once", name, named[name])
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("the map of engine/doc.go names %s, and there is no such file", name)
	}
}

// The table of packages in docs/ARCHITECTURE.md has each of the engine's, and none that is not there.
func TestPackagesAreInTheArchitecture(t *testing.T) {
	there := map[string]bool{}
	for _, f := range files(t) {
		there[f.pkg] = true
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|.*\\|.*\\|$").FindAllStringSubmatch(read(t, "../../docs/ARCHITECTURE.md"), -1) {
		for _, name := range strings.Split(row[1], ", ") {
			pkg := strings.Trim(name, "`")
			named[pkg] = true
			if _, err := os.Stat("../../" + pkg); err != nil {
				t.Errorf("docs/ARCHITECTURE.md has a row for %s, and there is no such folder", pkg)
			}
		}
	}
	for pkg := range there {
		top, _, _ := strings.Cut(pkg, "/")
		if slices.Contains([]string{"cmd", "engine", "host", "plugins"}, top) && !named[pkg] {
			t.Errorf("docs/ARCHITECTURE.md has no row for package %s", pkg)
		}
	}
}

// Names of code that docs/ARCHITECTURE.md has are names in the code: one that was renamed or
// moved is told.
func TestNamesInTheArchitectureExist(t *testing.T) {
	word := regexp.MustCompile(`[A-Za-z_]\w*`)
	known := map[string]bool{}
	for _, f := range append(files(t), file{path: "config.toml"}) {
		for line := range strings.Lines(read(t, "../../"+f.path)) {
			code, _, _ := strings.Cut(line, "//")
			for _, w := range word.FindAllString(code, -1) {
				known[w] = true
			}
		}
	}
	names := regexp.MustCompile("`([a-z]*[A-Z]\\w*|[A-Za-z]\\w*(\\.[A-Za-z]\\w*)+)(\\([^`]*)?`").FindAllStringSubmatch(read(t, "../../docs/ARCHITECTURE.md"), -1)
	for _, m := range names {
		if ext := path.Ext(m[1]); m[2] == "" || !slices.Contains([]string{".go", ".md", ".h", ".hpp", ".json"}, ext) {
			for _, w := range strings.Split(m[1], ".") {
				if !known[w] {
					t.Errorf("docs/ARCHITECTURE.md names %s, and no code has %s", m[1], w)
				}
			}
		}
	}
	if len(names) < 30 {
		t.Errorf("only %d names are found: this test looks in the wrong place", len(names))
	}
}

// Every module that is required directly is fenced in, and has a row in docs/RATIONALE.md that says why.
func TestDependenciesHaveReasons(t *testing.T) {
	var reasoned []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \|.*\|.*\|$`).FindAllStringSubmatch(read(t, "../../docs/RATIONALE.md"), -1) {
		reasoned = append(reasoned, strings.FieldsFunc(row[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	required := regexp.MustCompile(`(?m)^\t(\S+) v\S+( // indirect)?$`).FindAllStringSubmatch(read(t, "../../go.mod"), -1)
	direct := 0
	for _, m := range required {
		if m[2] != "" {
			continue
		}
		direct++
		if !slices.ContainsFunc(slices.Collect(maps.Keys(guarded)), func(fence string) bool { return strings.HasPrefix(m[1], fence) }) {
			t.Errorf("%s is required, and guarded does not say which packages may import it", m[1])
		}
		if !slices.ContainsFunc(reasoned, func(name string) bool { return strings.Contains("/"+m[1]+"/", "/"+name+"/") }) {
			t.Errorf("%s is required, and no row of docs/RATIONALE.md says why", m[1])
		}
	}
	if direct < 15 {
		t.Errorf("only %d modules are found in go.mod: this test looks in the wrong place", direct)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
