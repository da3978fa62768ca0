// Package scaffold makes new projects: folders with a projection in one language, its test
// data, and the SDK that it is built with. All of it comes from inside the program, so
// nothing is downloaded; what a project needs beyond that is a compiler.
//
// A language is a folder of examples/wasm-projections/account-balances with a Makefile.
// There is no other list of them.
package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	accountbalances "gnomon/examples/wasm-projections/account-balances"
)

// Language is what a project can be written in.
type Language struct {
	Name  string
	Needs string // what has to be installed, in words
}

// aliases are other names of languages.
var aliases = map[string]string{"as": "assemblyscript", "js": "javascript", "c++": "cpp"}

// Alias returns the other name that a language goes by; empty: none.
func (l Language) Alias() string {
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		if aliases[alias] == l.Name {
			return alias
		}
	}
	return ""
}

// Languages returns all of them, by name.
func Languages() []Language { return languagesOf(accountbalances.Files) }

// Find returns the language of a name or an alias, in capitals or not.
func Find(name string) (l Language, ok bool) {
	name = strings.ToLower(name)
	if alias, ok := aliases[name]; ok {
		name = alias
	}
	for _, l := range Languages() {
		if l.Name == name {
			return l, true
		}
	}
	return Language{}, false
}

func languagesOf(examples fs.FS) (all []Language) {
	makefiles, err := fs.Glob(examples, "*/Makefile")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, file := range makefiles { // in order
		text, err := fs.ReadFile(examples, file)
		if err != nil {
			panic(err) // it was listed, and is in memory
		}
		all = append(all, Language{Name: path.Dir(file), Needs: needs(text)})
	}
	return all
}

// needs is what a Makefile says in a line "# Needs: …".
func needs(makefile []byte) string {
	for line := range bytes.Lines(makefile) {
		if words, ok := bytes.CutPrefix(line, []byte("# Needs: ")); ok {
			return strings.TrimSpace(string(words))
		}
	}
	return "what its README.md says"
}

// UnknownLanguageError says that there is no such language.
type UnknownLanguageError struct{ Name string }

func (e *UnknownLanguageError) Error() string {
	return fmt.Sprintf("there is no language %q", e.Name)
}

// NotEmptyError says that there is something in the folder of a new project.
type NotEmptyError struct {
	Dir  string
	Has  []string // names of what is in it, the first few
	More int      // how many others are in it
}

func (e *NotEmptyError) Error() string {
	more := ""
	if e.More > 0 {
		more = fmt.Sprintf(" and %d more", e.More)
	}
	return fmt.Sprintf("%s is not empty: it has %s%s", e.Dir, strings.Join(e.Has, ", "), more)
}

// NameError says that a projection cannot have this name.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("a projection cannot be named %q: use 1 to 64 of a-z, 0-9 and -, with no - in front", e.Name)
}

// Nearest returns a name that a projection can have, and that is like this one; empty: none is.
func (e *NameError) Nearest() string {
	near := strings.Trim(notInName.ReplaceAllString(strings.ToLower(e.Name), "-"), "-")
	if !projectName.MatchString(near) {
		return ""
	}
	return near
}

// projectName is what a projection may be called (engine/config), less those names that
// tools take for a flag.
var (
	projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	notInName   = regexp.MustCompile(`[^a-z0-9-]+`)
)

// Options say what project is made.
type Options struct {
	Dir      string // of the project; made if it is not there, may have a .git and nothing else otherwise
	Language string // or its alias
	Name     string // of the projection; empty: that of the folder
}

// New makes a project and returns its name. It fails with an *UnknownLanguageError, a
// *NameError or a *NotEmptyError before it writes anything, and removes what it wrote when
// it cannot write all of it. It touches nothing outside the folder.
func New(o Options) (name string, err error) {
	if o.Dir == "" {
		return "", errors.New("the folder of the project has no name: use . for the one you are in")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return "", err
	}
	language, ok := Find(o.Language)
	if !ok {
		return "", &UnknownLanguageError{o.Language}
	}
	if name = o.Name; name == "" {
		name = filepath.Base(dir)
	}
	if !projectName.MatchString(name) {
		return "", &NameError{name}
	}
	if err := checkEmpty(o.Dir); err != nil {
		return "", err
	}
	files, err := Files(language.Name, name)
	if err != nil {
		return "", err
	}
	return name, write(o.Dir, files)
}

// checkEmpty lets a repository pass that has nothing in it yet: one often begins with it.
func checkEmpty(dir string) error {
	const shown = 5
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ".git" })
	if err != nil || len(entries) == 0 {
		return err
	}
	e := &NotEmptyError{Dir: dir}
	for _, entry := range entries {
		if len(e.Has) == shown {
			e.More = len(entries) - shown
			break
		}
		e.Has = append(e.Has, entry.Name())
	}
	return e
}

// write writes files below a folder.
func write(dir string, files map[string][]byte) (err error) {
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, takeBack(root, files))
			if errors.Is(statErr, fs.ErrNotExist) {
				_ = os.Remove(dir)
			}
		}
		err = errors.Join(err, root.Close())
	}()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
			return err
		}
		if err := root.WriteFile(name, files[name], 0o666); err != nil {
			return err
		}
	}
	return nil
}

// takeBack removes what was written into a folder that was empty.
func takeBack(root *os.Root, files map[string][]byte) (err error) {
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		err = errors.Join(err, root.RemoveAll(top))
	}
	return err
}
