package scaffold

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A project has what its README tells of, in any language: a Makefile with the name, test data,
// the configuration of the projection, and nothing that was built or tests the SDK.
func TestProjects(t *testing.T) {
	all := Languages()
	if len(all) == 0 {
		t.Fatal("there are no languages")
	}
	for _, l := range all {
		t.Run(l.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "My Projects", "x")
			name, err := New(Options{Dir: dir, Language: l.Name, Name: "payments"})
			if err != nil || name != "payments" {
				t.Fatal(name, err)
			}
			tree := os.DirFS(dir)
			for file, has := range map[string]string{
				"Makefile": "\nNAME ?= payments\n", "README.md": "make test", ".gitignore": "/build/\n",
				"config.toml": `module       = "payments.wasm"`, "testdata/events.jsonl": `"account.opened"`, "testdata/settings.json": "{", "testdata/expected.json": `"state"`,
			} {
				if b, err := fs.ReadFile(tree, file); err != nil || !bytes.Contains(b, []byte(has)) {
					t.Errorf("%s: %v; has no %q", file, err, has)
				}
			}
			sources := 0
			for _, file := range filesIn(t, tree) {
				inSDK := strings.HasPrefix(file, "sdk/")
				if !inSDK && slices.Contains([]string{".go", ".rs", ".c", ".cpp", ".ts", ".js", ".wat", ".zig", ".d", ".nim"}, path.Ext(file)) {
					sources++
				}
				if strings.Contains(file, "build/") || inSDK && (strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata")) || path.Ext(file) == ".wasm" && !inSDK {
					t.Errorf("%s does not belong there", file)
				}
			}
			if sources == 0 {
				t.Error("there is no source of a projection")
			}
			if l.Needs == "" || strings.HasPrefix(l.Needs, "what") {
				t.Errorf(`its Makefile does not say what has to be installed, in a line "# Needs: …"`)
			}
		})
	}
}

func filesIn(t *testing.T, tree fs.FS) (all []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A project in Go asks for the Go that the engine is built with, and has the SDK as the
// module that it imports.
func TestGoProject(t *testing.T) {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "\ngo "+GoVersion) {
		t.Errorf("GoVersion is %s, which go.mod is not of", GoVersion)
	}
	files, err := Files("go", "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"go.mod", "main.go", "main_test.go", "sdk/go.mod", "sdk/sdk/go/projection.go", "sdk/sdk/go/gnomontest/run.go", "sdk/sdk/go/internal/boundary/", "sdk/sdk/abi/record.go", "sdk/sdk/jsonfields/reader.go"} {
		found := files[file] != nil
		for name := range files {
			found = found || strings.HasSuffix(file, "/") && strings.HasPrefix(name, file)
		}
		if !found {
			t.Errorf("there is no %s", file)
		}
	}
	for file := range files {
		if strings.HasPrefix(file, "sdk/sdk/js/") || strings.HasPrefix(file, "sdk/sdk/rust/") {
			t.Errorf("%s is of another language", file)
		}
	}
}

// A projection in Go may have the name of a package of Go's own, or of its tools: the path of
// its module is another one.
func TestGoProjectOfAnyName(t *testing.T) {
	for _, name := range []string{"go", "time", "std", "gnomon"} {
		dir := t.TempDir()
		if _, err := New(Options{Dir: dir, Language: "go", Name: name}); err != nil {
			t.Fatal(err)
		}
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
		list.Dir, list.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off", "GOPROXY=off")
		if out, err := list.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// What cannot be made is refused before anything is written, with an error that names it.
func TestRefusals(t *testing.T) {
	full := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		if err := os.WriteFile(filepath.Join(full, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	within := t.TempDir()
	for _, tt := range []struct {
		name, want string
		options    Options
	}{
		{"a language that is none", `there is no language "cobol"`, Options{Dir: filepath.Join(within, "x"), Language: "cobol"}},
		{"no language", `there is no language ""`, Options{Dir: filepath.Join(within, "x")}},
		{"a language by a path", `there is no language "../go"`, Options{Dir: filepath.Join(within, "x"), Language: "../go"}},
		{"a folder that is no name", `a projection cannot be named "My.Project": use 1 to 64 of a-z, 0-9 and -, with no - in front`, Options{Dir: filepath.Join(within, "My.Project"), Language: "go"}},
		{"no folder", "the folder of the project has no name", Options{Language: "go", Name: "x"}},
		{"a name that looks like a flag", `a projection cannot be named "-x": use`, Options{Dir: filepath.Join(within, "x"), Language: "go", Name: "-x"}},
		{"a name that is too long", `a projection cannot be named "` + strings.Repeat("a", 65), Options{Dir: filepath.Join(within, "x"), Language: "go", Name: strings.Repeat("a", 65)}},
		{"a folder with files", full + " is not empty: it has a, b, c, d, e and 2 more", Options{Dir: full, Language: "go", Name: "x"}},
		{"a file", "not a directory", Options{Dir: filepath.Join(full, "a"), Language: "go"}},
	} {
		_, err := New(tt.options)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
	if made, err := os.ReadDir(within); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}

// A folder that is there and empty is taken, and the other names of languages are known.
func TestEmptyFolderAndAlias(t *testing.T) {
	if name, err := New(Options{Dir: t.TempDir(), Language: "go", Name: "x"}); err != nil || name != "x" {
		t.Error(name, err)
	}
	for alias, name := range aliases {
		if got := (Language{Name: name}).Alias(); got != alias {
			t.Errorf("the alias of %s is %q, want %s", name, got, alias)
		}
	}
}

// A repository that has nothing in it yet is an empty folder, and languages are known in capitals, too.
func TestEmptyRepositoryAndCapitals(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	if name, err := New(Options{Dir: dir, Language: "C++", Name: "x"}); err != nil || name != "x" {
		t.Error(name, err)
	}
}

// A name that cannot be leads to one that can, if there is any.
func TestNearestName(t *testing.T) {
	for name, want := range map[string]string{"My.Project": "my-project", "-x_y-": "x-y", "счёт": "", "": "", strings.Repeat("a", 65): ""} {
		if got := (&NameError{name}).Nearest(); got != want {
			t.Errorf("near %q is %q, want %q", name, got, want)
		}
	}
}

// What cannot be written is taken back, all of it.
func TestTakenBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	err := write(dir, map[string][]byte{"a/b": nil, "c": nil, "c/d": nil, "e": nil})
	if err == nil {
		t.Fatal("a file was written into a file")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

// A folder is a language when it has a Makefile, which says what has to be installed.
func TestLanguagesAreFolders(t *testing.T) {
	got := languagesOf(fstest.MapFS{
		"zig/Makefile": {Data: []byte("# Needs: zig\nNAME ?= x\n")},
		"c/Makefile":   {Data: []byte("NAME ?= x\n")}, "c/main.c": {},
		"testdata/events.jsonl": {},
	})
	want := []Language{{"c", "what its README.md says"}, {"zig", "zig"}}
	if !slices.Equal(got, want) {
		t.Errorf("languages are %v, want %v", got, want)
	}
}
