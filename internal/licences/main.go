// Command licences looks at the licence of everything that is in the engine's binary, on all
// systems that it is built for, and prints the texts, as most of them ask for; it fails if one is not
// among those that the project takes, or has none.
//
//	go run ./internal/licences > THIRD_PARTY_LICENSES
//	go run ./internal/licences -list
//	go run ./internal/licences -bom bin/engine -o engine.cdx.json
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// systems are those that releases are built for; the processor makes no difference.
var systems = []string{"linux", "darwin", "windows"}

// vendored are files of others in this repository that are in the binary, by their licences.
var vendored = []string{"sdk/js/LICENSE.quickjs", "engine/query/dashboard/assets/vendor/*.LICENSE"}

func main() {
	list := flag.Bool("list", false, "print names and licences only")
	binary := flag.String("bom", "", "write what this `FILE`, an engine, was built from, as CycloneDX")
	version := flag.String("version", "", "release that the binary of -bom is of")
	out := flag.String("o", "/dev/stdout", "`FILE` that is written")
	flag.Parse()
	if err := run(*list, *binary, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(list bool, binary, version, out string) error {
	parts, err := all(".")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if binary != "" {
		err = bom(&b, binary, version, parts)
	} else {
		write(&b, parts, list)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// part is something of others, and the texts that belong to it.
type part struct {
	Name, Version string
	Texts         []text
}

func (p part) title() string { return strings.TrimSpace(p.Name + " " + p.Version) }

type text struct {
	File, Licence, Text string
}

// all finds the parts of the binary, and refuses those whose licence is not taken.
func all(root string) ([]part, error) {
	parts, err := modules(root)
	if err != nil {
		return nil, err
	}
	own, err := inRepository(root)
	if err != nil {
		return nil, err
	}
	parts = append(parts, own...)
	var errs []error
	for _, p := range parts {
		errs = append(errs, accept(p))
	}
	return parts, errors.Join(errs...)
}

// accept is the rule: at least one text of a licence, and none that is not known and taken.
func accept(p part) error {
	licences := 0
	for _, t := range p.Texts {
		if isNotice(t.File) {
			continue
		}
		licences++
		if t.Licence == "" {
			return fmt.Errorf("%s: %s is no licence that the project takes: replace the dependency, or have its licence looked at and added to internal/licences", p.Name, t.File)
		}
	}
	if licences == 0 {
		return fmt.Errorf("%s has no licence: nobody may use it", p.Name)
	}
	return nil
}

// modules are those that a package of the binary comes from, by path and version.
func modules(root string) ([]part, error) {
	seen := map[string]part{}
	for _, system := range systems {
		c := exec.Command("go", "list", "-deps", "-json=Module,Standard", "./cmd/engine")
		c.Dir, c.Env, c.Stderr = root, append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0"), os.Stderr
		out, err := c.Output()
		if err != nil {
			return nil, fmt.Errorf("list what is in the binary of %s: %w", system, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var pkg struct {
				Standard bool
				Module   *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			m := pkg.Module
			if m == nil || m.Main || seen[m.Path].Name != "" {
				continue
			}
			texts, err := texts(m.Dir)
			if err != nil {
				return nil, err
			}
			seen[m.Path] = part{m.Path, m.Version, texts}
		}
	}
	std, err := standard()
	if err != nil {
		return nil, err
	}
	sorted := []part{std}
	for _, p := range seen {
		sorted = append(sorted, p)
	}
	slices.SortFunc(sorted, func(a, b part) int { return strings.Compare(a.Name, b.Name) })
	return sorted, nil
}

// standard is Go's own library, which is a part of every binary.
func standard() (part, error) {
	out, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return part{}, err
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	texts, err := texts(root)
	return part{"std", strings.TrimPrefix(version, "go"), texts}, err
}

func inRepository(root string) (parts []part, err error) {
	for _, pattern := range vendored {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no file is %s: %w", pattern, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "LICENSE."), ".LICENSE")
			parts = append(parts, part{name, "", []text{{filepath.Base(file), classify(string(b)), string(b)}}})
		}
	}
	return parts, nil
}

// texts are the licences and notices at the top of a module.
func texts(dir string) (found []text, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !isLicence(e.Name()) && !isNotice(e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		found = append(found, text{e.Name(), classify(string(b)), string(b)})
	}
	return found, nil
}

func isLicence(file string) bool {
	file = strings.ToUpper(file)
	return strings.HasPrefix(file, "LICENSE") || strings.HasPrefix(file, "LICENCE") || strings.HasPrefix(file, "COPYING")
}

func isNotice(file string) bool {
	file = strings.ToUpper(file)
	return strings.HasPrefix(file, "NOTICE") || strings.HasPrefix(file, "PATENTS")
}

func write(b *bytes.Buffer, parts []part, list bool) {
	for _, p := range parts {
		if list {
			for _, t := range p.Texts {
				if t.Licence != "" {
					fmt.Fprintf(b, "%-14s %s\n", t.Licence, p.title())
				}
			}
			continue
		}
		fmt.Fprintf(b, "%s\n%s\n", strings.Repeat("=", 80), p.title())
		for _, t := range p.Texts {
			fmt.Fprintf(b, "%s\n%s\n\n%s\n", strings.Repeat("-", 80), t.File, strings.TrimSpace(t.Text))
		}
	}
}
