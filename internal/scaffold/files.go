package scaffold

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	accountbalances "gnomon/examples/wasm-projections/account-balances"
	"gnomon/sdk"
)

// GoVersion is what a project in Go asks for: that of the engine, less its patch.
const GoVersion = "1.26"

// exampleName is how the projection is called in the example.
const exampleName = "account-balances"

// ignored is the .gitignore of a project.
const ignored = "/build/\n/data/\n/node_modules/\n/target/\n"

// Files returns the files of a project, by path, with slashes.
func Files(language, name string) (map[string][]byte, error) {
	files := map[string][]byte{".gitignore": []byte(ignored)}
	project := copier{to: files, skip: isBuilt}
	if err := project.copy(accountbalances.Files, language, "."); err != nil {
		return nil, err
	}
	makefile := files["Makefile"]
	if m := sourceFolder.FindSubmatch(makefile); m != nil {
		source := copier{to: files, skip: func(p string) bool { return p != "." && path.Ext(p) != ".go" }}
		if err := source.copy(accountbalances.Files, string(m[1]), "."); err != nil {
			return nil, err
		}
	}
	named, err := nameIn(makefile, name)
	if err != nil {
		return nil, fmt.Errorf("the example in %s: %w", language, err)
	}
	files["Makefile"] = named
	data := copier{to: files, skip: func(p string) bool { return path.Ext(p) == ".py" }} // which made the data
	if err := data.copy(accountbalances.Files, "testdata", "testdata"); err != nil {
		return nil, err
	}
	config, err := fs.ReadFile(accountbalances.Files, "config.toml")
	if err != nil {
		return nil, err
	}
	files["config.toml"] = bytes.ReplaceAll(config, []byte(exampleName), []byte(name))
	if isGo(files) {
		// The folder before the name keeps it apart from Go's own packages: a projection may be
		// called time, or go.
		files["go.mod"] = fmt.Appendf(nil, "module projections/%s\n\ngo %s\n\nrequire gnomon v0.0.0\n\nreplace gnomon => ./sdk\n", name, GoVersion)
		return files, copyGoSDK(files)
	}
	if folder := sdkOf(makefile); folder != "" {
		s := copier{to: files, skip: isTest}
		return files, s.copy(sdk.Files, folder, "sdk")
	}
	return files, nil
}

// copyGoSDK makes sdk/ the module gnomon, with the packages that a projection imports: go,
// and the others that those import.
func copyGoSDK(files map[string][]byte) error {
	files["sdk/go.mod"] = fmt.Appendf(nil, "// The packages of Gnomon that projections are made of.\nmodule gnomon\n\ngo %s\n", GoVersion)
	folders := []string{"go"}
	for i := 0; i < len(folders); i++ {
		packages := map[string][]byte{}
		c := copier{to: packages, skip: func(p string) bool { return isTest(p) || path.Ext(p) == ".md" }}
		if err := c.copy(sdk.Files, folders[i], path.Join("sdk", "sdk", folders[i])); err != nil {
			return err
		}
		maps.Copy(files, packages)
		for _, source := range packages {
			for _, m := range ownImport.FindAllSubmatch(source, -1) {
				if other := string(m[1]); !slices.Contains(folders, other) {
					folders = append(folders, other)
				}
			}
		}
	}
	return nil
}

// ownImport is an import of a package among the SDKs, whose folder it finds.
var ownImport = regexp.MustCompile(`(?m)^\s*(?:import )?(?:[\w.]+ )?"gnomon/sdk/([a-z]+)[/"]`)

// isGo reports whether a project is a program in Go.
func isGo(files map[string][]byte) bool {
	_, ok := files["main.go"]
	return ok
}

// nameLine is how a Makefile finds the name of its projection.
var nameLine = regexp.MustCompile(`(?m)^NAME\s*\?=.*$`)

// nameIn writes the name into a Makefile. It could be left to the folder's, but then
// the projection would be another one when the folder is moved, and none where its path
// has blanks, which make takes for the end of a word.
func nameIn(makefile []byte, name string) ([]byte, error) {
	if len(nameLine.FindAll(makefile, -1)) != 1 {
		return nil, fmt.Errorf("its Makefile needs one line NAME ?= …")
	}
	return nameLine.ReplaceAllLiteral(makefile, []byte("NAME ?= "+name)), nil
}

// sourceFolder is how a Makefile names the language whose source it builds where its folder has
// none: that of TinyGo, Go's.
var sourceFolder = regexp.MustCompile(`(?m)^SOURCE .*\.\./([a-z]+)\)$`)

var sdkFolder = regexp.MustCompile(`\.\./\.\./\.\./\.\./sdk/([a-z]+)`)

// sdkOf is the folder of the SDK that a Makefile names as the one in the repository; empty:
// none.
func sdkOf(makefile []byte) string {
	if m := sdkFolder.FindSubmatch(makefile); m != nil {
		return string(m[1])
	}
	return ""
}

// isBuilt reports whether a path was made by a build in the repository.
func isBuilt(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if slices.Contains([]string{"build", "node_modules", "target", ".zig-cache", "zig-cache"}, part) {
			return true
		}
	}
	return false
}

// isTest reports whether a path of an SDK is there for its tests only.
func isTest(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "testdata" || part == "tests" || strings.HasSuffix(part, "_test.go") {
			return true
		}
	}
	return isBuilt(p)
}

// copier copies files out of an embedded tree.
type copier struct {
	to   map[string][]byte
	skip func(path string) bool // as they are below the folder that is copied
}

func (c copier) copy(from fs.FS, folder, to string) error {
	tree, err := fs.Sub(from, folder)
	if err != nil {
		return err
	}
	return fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case c.skip(p) && d.IsDir():
			return fs.SkipDir
		case c.skip(p), d.IsDir():
			return nil
		}
		b, err := fs.ReadFile(tree, p)
		c.to[path.Join(to, p)] = b
		return err
	})
}
