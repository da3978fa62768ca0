package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gnomon/plugins/intact"
)

// Error is a mistake in a configuration file.
type Error struct {
	File string
	Line int // from 1; 0 when it cannot be told
	Text string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
	}
	return fmt.Sprintf("%s: %s", e.File, e.Text)
}

// Load reads a configuration file and those beside the modules that it names.
// Relative paths in it are relative to its own folder. Mistakes are *Errors; those in files
// that were deployed are in Refused.
func Load(path string) (*Config, error) {
	b, err := readConfiguration(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration %s does not exist: name it with --config, or copy the commented config.toml from the project", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, doc, err := parse(path, b, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(path))
	if err := c.addModuleFiles(path); err != nil {
		return nil, err
	}
	if err := c.validate(doc); err != nil {
		return nil, err
	}
	for i := range c.Projections {
		p := &c.Projections[i]
		if p.ModuleDirs == nil {
			p.ModuleDirs = c.ModuleDirs()
		}
		for j := range p.Upcasters {
			p.Upcasters[j].ModuleDirs = c.ModuleDirs()
		}
	}
	return c, nil
}

// readConfiguration reads a file that nobody writes just now. It may be a pipe.
func readConfiguration(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return os.ReadFile(path)
	}
	b, err := intact.ReadFile(path, maxFile)
	return b, named(path, err)
}

// named puts the path before an error of package intact, which does not name it.
func named(path string, err error) error {
	var large *intact.TooLargeError
	if errors.Is(err, intact.ErrChanging) || errors.Is(err, intact.ErrNotRegular) || errors.As(err, &large) {
		return fmt.Errorf("%s %w", path, err)
	}
	return err
}

// maxFile is more than anybody writes, in bytes.
const maxFile = 4 << 20

// Parse reads a configuration from bytes, without files beside modules. Env looks
// up environment variables.
func Parse(name string, b []byte, env func(string) (string, bool)) (*Config, error) {
	c, doc, err := parse(name, b, env)
	if err != nil {
		return nil, err
	}
	return c, c.validate(doc)
}

func parse(name string, b []byte, env func(string) (string, bool)) (*Config, *document, error) {
	c := Default()
	doc, err := decode(name, b, env, &c)
	if err != nil {
		return nil, nil, err
	}
	for i := range c.Projections {
		c.Projections[i].Origin = name
	}
	return &c, doc, nil
}

// moduleFile is a file beside a module: one projection.
type moduleFile struct {
	Projection Projection `toml:"projection"`
}

// addModuleFiles adds the projections of the NAME.toml files in the folders of modules.
// The configuration itself may stand there, too: it is none of them.
func (c *Config) addModuleFiles(configuration string) error {
	for _, dir := range c.ModuleDirs() {
		if err := c.addModuleFilesOf(dir, configuration); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) addModuleFilesOf(dir, configuration string) error {
	root, err := os.OpenRoot(dir) // which nothing is read outside of
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open folder of modules: %w", err)
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if filepath.Ext(path) != ".toml" || sameFile(path, configuration) {
			continue
		}
		b, err := intact.Read(root, e.Name(), maxFile)
		if err != nil {
			return fmt.Errorf("read configuration beside a module in %s: %w", dir, named(e.Name(), err))
		}
		p, _, err := parseModuleFile(path, b)
		p.deployed = dir == c.Mirror()
		switch {
		case err != nil && p.deployed:
			c.Refused = append(c.Refused, err)
		case err != nil:
			return err
		default:
			c.Projections = append(c.Projections, p)
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// ParseModuleFile reads a file beside a module by itself, and checks of it what does not
// depend on the configuration that it will be part of. Mistakes are *Errors.
func ParseModuleFile(name string, b []byte) (Projection, error) {
	p, doc, err := parseModuleFile(name, b)
	if err != nil {
		return Projection{}, err
	}
	v := &validator{document: doc}
	v.projection(path{"projection"}, &p, nil)
	return p, v.err
}

// parseModuleFile reads a file beside a module. Name and module need not be given there.
func parseModuleFile(path string, b []byte) (Projection, *document, error) {
	m := moduleFile{Projection: DefaultProjection()}
	doc, err := decode(path, b, os.LookupEnv, &m)
	if err != nil {
		return Projection{}, nil, cmp.Or(misplaced(doc), err)
	}
	base := strings.TrimSuffix(filepath.Base(path), ".toml")
	if m.Projection.Name == "" {
		m.Projection.Name = base
	}
	if m.Projection.Module == "" {
		m.Projection.Module = base + ".wasm"
	}
	m.Projection.Origin = path
	m.Projection.ModuleDirs = []string{filepath.Dir(path)}
	return m.Projection, doc, nil
}

// misplaced is the error for a file beside a module that has an array of tables, such
// as [[stream]]: that belongs in the configuration. It is nil when there is none, or
// when the file is no TOML.
func misplaced(doc *document) error {
	if doc == nil {
		return nil
	}
	var first *Error
	for key, line := range doc.lines {
		name, isArray := strings.CutSuffix(key, "[0]")
		if !isArray || strings.Contains(name, ".") || first != nil && first.Line < line {
			continue
		}
		first = &Error{File: doc.name, Line: line, Text: "[[" + name + "]] is not for a file beside a module, which holds one [projection]: put it into the configuration"}
	}
	if first == nil {
		return nil // and not a nil *Error
	}
	return first
}

// resolve makes paths relative to the folder of the configuration.
func (c *Config) resolve(dir string) {
	for _, p := range []*string{&c.DataDir, &c.Plugins.Dir, &c.HTTP.TokenFile, &c.HTTP.TLS.Cert, &c.HTTP.TLS.Key, &c.HTTP.TLS.ClientCA, &c.NATS.Credentials, &c.NATS.NKey, &c.NATS.TLS.CA, &c.NATS.TLS.Cert, &c.NATS.TLS.Key} {
		*p = below(dir, *p)
	}
	for i, key := range c.Plugins.PublicKeys {
		if !publicKey.MatchString(key) {
			c.Plugins.PublicKeys[i] = below(dir, key)
		}
	}
	for i := range c.HTTP.Tokens {
		c.HTTP.Tokens[i].File = below(dir, c.HTTP.Tokens[i].File)
	}
	for i := range c.Streams {
		c.Streams[i].Seed = below(dir, c.Streams[i].Seed)
	}
}

func below(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
