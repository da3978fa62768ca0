// Package deploy has no code: its tests hold what packages, images and services are made of
// against the program and the repository.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"gnomon/engine/config"
)

// Every YAML file here, of the release and of the public CI can be read, and names no key twice.
func TestYAML(t *testing.T) {
	n := 0
	for _, dir := range []string{".", "../.github", "../.goreleaser.yaml"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") && !strings.HasSuffix(path, ".yml") {
				return err
			}
			n++
			if _, err := documents(path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if n == 0 {
		t.Error("there is none")
	}
}

// documents are those of a YAML file.
func documents(path string) (all []any, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for d := yaml.NewDecoder(bytes.NewReader(b)); ; {
		var doc any
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, doc)
	}
}

// The configurations of the service and of the image are ones that the engine takes.
func TestConfigurations(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("correct-horse-battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNOMON_TOKEN_FILE", tokens)
	t.Setenv("GNOMON_NATS_URL", "embedded")
	for _, path := range []string{"systemd/config.toml", "docker/config.toml", "kubernetes/base/config.toml", "kubernetes/example/config.toml"} {
		c, err := config.Load(inReach(t, path, tokens))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if c.DataDir != "/var/lib/gnomon" || c.Plugins.Dir != "/etc/gnomon/plugins.d" {
			t.Errorf("%s: data in %s, modules in %s; the packages make other folders", path, c.DataDir, c.Plugins.Dir)
		}
	}
}

// inReach is a copy of a configuration, with the tokens of this test instead of a cluster's.
func inReach(t *testing.T, path, tokens string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(to, bytes.ReplaceAll(b, []byte("/run/secrets/gnomon/tokens"), []byte(tokens)), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// kustomization is what a kustomization.yaml says of other files.
type kustomization struct {
	Resources, Components []string
	ConfigMapGenerator    []struct{ Files []string } `yaml:"configMapGenerator"`
	Patches               []struct{ Path string }
}

// What a kustomization names is there, and what is beside it is named.
func TestKustomizations(t *testing.T) {
	found, err := filepath.Glob("kubernetes/*/kustomization.yaml")
	if err != nil || len(found) != 3 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var k kustomization
		if err := yaml.Unmarshal(b, &k); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(path)
		named := map[string]bool{path: true}
		for _, name := range append(k.Resources, k.Components...) {
			named[filepath.Join(dir, name)] = true
		}
		for _, c := range k.ConfigMapGenerator {
			for _, name := range c.Files {
				named[filepath.Join(dir, name)] = true
			}
		}
		for _, p := range k.Patches {
			named[filepath.Join(dir, p.Path)] = true
		}
		for name := range named {
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
		beside, _ := filepath.Glob(dir + "/*")
		for _, name := range beside {
			if !named[name] {
				t.Errorf("%s is not named in %s", name, path)
			}
		}
	}
}

// The unit is one that systemd takes, lets modules be compiled, and confines the engine.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile("systemd/gnomon.service")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if regexp.MustCompile(`(?m)^(MemoryDenyWriteExecute|ProcSubset)=`).MatchString(text) {
		t.Error("MemoryDenyWriteExecute has modules interpreted, and ProcSubset hides the boot id")
	}
	for _, line := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "StateDirectory=gnomon", "ExecStart=/usr/bin/engine run --config /etc/gnomon/config.toml"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	// It looks whether the program is there: any will do.
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "gnomon.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(text, "/usr/bin/engine", program)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", unit).CombinedOutput(); err != nil {
		t.Errorf("its exposure is above 2.0: %v\n%s", err, out)
	}
}

// What the packages and the image are made of is there, but for what is made for them.
func TestReferencedFiles(t *testing.T) {
	release, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile("docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, m := range regexp.MustCompile(`(?m)(?:src|postinstall|preremove|main): (\S+)$`).FindAllStringSubmatch(string(release), -1) {
		paths = append(paths, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^COPY --from=build .*?/src/(\S+) `).FindAllStringSubmatch(string(image), -1) {
		paths = append(paths, m[1])
	}
	if len(paths) < 12 {
		t.Fatalf("only %v are found: the files are written in another way", paths)
	}
	for _, p := range paths {
		if strings.HasPrefix(p, "build/packages/") {
			continue
		}
		if _, err := os.Stat(filepath.Join("..", p)); err != nil {
			t.Error(err)
		}
	}
}

// Whatever goes into an archive has the time of the commit, so that two builds of it are the same file.
func TestArchivesHaveTheTimeOfTheCommit(t *testing.T) {
	text, err := os.ReadFile("../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type info struct{ MTime string }
	var release struct {
		Before   struct{ Hooks []string }
		Archives []struct {
			BuildsInfo info `yaml:"builds_info"`
			Files      []struct {
				Src  string
				Info info
			}
		}
	}
	if err := yaml.Unmarshal(text, &release); err != nil {
		t.Fatal(err)
	}
	if len(release.Archives) == 0 || !strings.Contains(strings.Join(release.Before.Hooks, "\n"), "SOURCE_DATE_EPOCH={{ .CommitTimestamp }}") {
		t.Error("there are no archives, or their manual pages have the day on which they are built")
	}
	const commit = "{{ .CommitDate }}"
	for _, a := range release.Archives {
		if a.BuildsInfo.MTime != commit {
			t.Errorf("the binary has the time %q", a.BuildsInfo.MTime)
		}
		for _, f := range a.Files {
			if f.Info.MTime != commit {
				t.Errorf("%s has the time %q", f.Src, f.Info.MTime)
			}
		}
	}
}

// What the program has embedded, as the examples that engine new begins with, is not kept from the image.
func TestImageHasWhatIsEmbedded(t *testing.T) {
	ignored, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	const embedded = `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	list := exec.Command("go", "list", "-deps", "-f", embedded, "./cmd/engine")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(out))
	if len(files) < 100 {
		t.Fatalf("only %d files are embedded", len(files))
	}
	for _, pattern := range strings.Fields(string(ignored)) {
		name, anywhere := strings.CutPrefix(pattern, "**/")
		for _, file := range files {
			parts := strings.Split(strings.TrimPrefix(file, root+"/"), "/")
			if !anywhere {
				parts = parts[:1]
			}
			if slices.ContainsFunc(parts, func(part string) bool { ok, _ := filepath.Match(name, part); return ok }) {
				t.Errorf(".dockerignore keeps %s from the image, by %s", strings.Join(parts, "/"), pattern)
				break
			}
		}
	}
}

// The scripts of the packages are ones that a shell can read.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("*/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%v, %v", scripts, err)
	}
	for _, s := range scripts {
		if out, err := exec.Command("bash", "-n", s).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", s, err, out)
		}
	}
}

// Every document is a page of the site.
func TestSiteHasEveryPage(t *testing.T) {
	list, err := os.ReadFile("../docs/site/pages.js")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = fs.WalkDir(os.DirFS(".."), "docs", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, ".md") {
			return err
		}
		n++
		if !bytes.Contains(list, []byte(`p("`+path+`", `)) {
			t.Errorf("docs/site/pages.js does not name %s", path)
		}
		return nil
	})
	if err != nil || n < 20 {
		t.Errorf("%d documents, %v", n, err)
	}
}
