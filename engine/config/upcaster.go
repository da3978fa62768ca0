package config

import (
	"math"
	"slices"
	"time"

	"gnomon/engine/streams"
)

// Upcaster declares a module that rewrites old events of a stream before its projections
// see them. Those of one stream work one after the other, in the order of the file.
type Upcaster struct {
	Name     string         `toml:"name"`
	Module   string         `toml:"module"`
	SHA256   string         `toml:"sha256"`
	Stream   string         `toml:"stream"`
	Subjects []string       `toml:"subjects"`
	Settings map[string]any `toml:"settings"`
	Limits   UpcasterLimits `toml:"limits"`

	SettingsJSON []byte `toml:"-"` // Settings, with sorted keys
	// Digest is the SHA-256 of the module, as whoever read it has found it.
	Digest string `toml:"-"`
	// ModuleDirs are the folders that its module may be in.
	ModuleDirs []string `toml:"-" json:"-"`
}

// UpcasterLimits bound an upcaster.
type UpcasterLimits struct {
	Memory   Size     `toml:"memory"`
	Table    int64    `toml:"table"`
	Module   Size     `toml:"module"`
	Compile  Duration `toml:"compile_time"`
	Fuel     int64    `toml:"fuel"`
	LogLines int      `toml:"log_lines_per_second"`
}

// DefaultUpcaster returns the settings of an upcaster that declares none: the limits of a
// projection.
func DefaultUpcaster() Upcaster {
	l := DefaultProjection().Limits
	return Upcaster{Limits: UpcasterLimits{Memory: l.Memory, Table: l.Table, Module: l.Module, Compile: l.Compile, Fuel: l.Fuel, LogLines: l.LogLines}}
}

// validateUpcasters checks the upcasters. Streams that have some lose their subjects: what
// projections see of them may have others.
func (c *Config) validateUpcasters(v *validator, streams map[string]Stream) {
	names := map[string]bool{}
	for i := range c.Upcasters {
		u := &c.Upcasters[i]
		p := path{"upcaster"}.element(i)
		v.require(p, !names[u.Name], "upcaster %q is declared twice", u.Name)
		names[u.Name] = true
		v.upcaster(p, u)
		s, declared := streams[u.Stream]
		used := slices.ContainsFunc(c.Projections, func(pr Projection) bool { return pr.Stream == u.Stream })
		v.require(p.add("stream"), declared || used, "upcaster %s is of stream %s, of which there is no projection, and which is not declared", u.Name, u.Stream)
		if declared {
			s.Subjects = nil
			streams[u.Stream] = s
		}
	}
}

func (v *validator) upcaster(p path, u *Upcaster) {
	v.require(p.add("name"), projectionName.MatchString(u.Name), "upcaster name %q: use 1 to 64 of a-z, 0-9 and -", u.Name)
	v.require(p.add("module"), u.Module != "", "upcaster %s names no module: module = \"FILE.wasm\", relative to plugins.dir", u.Name)
	v.require(p.add("sha256"), sha256Digest.MatchString(u.SHA256), "upcaster %s: sha256 %q is no digest: use the 64 digits that sha256sum prints of the module's file", u.Name, u.SHA256)
	v.require(p.add("stream"), streamName.MatchString(u.Stream), "upcaster %s: stream name %q: use letters, digits, - and _", u.Name, u.Stream)
	for i, f := range u.Subjects {
		err := streams.CheckFilter(f)
		v.require(p.add("subjects"), err == nil, "upcaster %s: %v", u.Name, err)
		for _, g := range u.Subjects[:i] {
			v.require(p.add("subjects"), !streams.FiltersOverlap(f, g), "upcaster %s: subjects %q and %q overlap: leave one out", u.Name, g, f)
		}
	}
	l := p.add("limits")
	v.size(l.add("memory"), u.Limits.Memory, 64<<10, 4<<30)
	v.between(l.add("table"), u.Limits.Table, 1, 10_000_000)
	v.size(l.add("module"), u.Limits.Module, 1, 1<<30)
	t := u.Limits.Compile
	v.require(l.add("compile_time"), t >= Duration(time.Second) && t <= Duration(time.Hour), "%s is %s: it must be between 1s and 1h", l.add("compile_time").key(), t)
	v.between(l.add("fuel"), u.Limits.Fuel, 0, math.MaxInt64/2)
	v.between(l.add("log_lines_per_second"), int64(u.Limits.LogLines), 0, 1_000_000)
	var err error
	u.SettingsJSON, err = settingsJSON(u.Settings)
	v.require(p.add("settings"), err == nil, "upcaster %s: settings cannot be handed to the module as JSON: %v", u.Name, err)
}

// giveUpcasters gives each projection the upcasters of its stream.
func (c *Config) giveUpcasters() {
	for i := range c.Projections {
		pr := &c.Projections[i]
		for _, u := range c.Upcasters {
			if u.Stream == pr.Stream {
				pr.Upcasters = append(pr.Upcasters, u)
			}
		}
	}
}
