package host

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Sizes are what the sections of a module take, in bytes.
type Sizes struct {
	Code   int `json:"code"`
	Data   int `json:"data"`
	Custom int `json:"custom"` // names, debugging information and the like, which is not used
	Other  int `json:"other"`
}

// Static is what the bytes of a module say of how it was made.
type Static struct {
	Sizes     Sizes
	Functions int    // of its own
	Language  string // empty: not known; Languages has what there is
	Toolchain string // such as "go1.26", when it says so
}

// Languages that ReadStatic tells apart. What is written by hand, and what is stripped of all
// names, is of none.
const (
	LanguageGo             = "Go"
	LanguageTinyGo         = "TinyGo"
	LanguageRust           = "Rust"
	LanguageC              = "C"
	LanguageCPlusPlus      = "C++"
	LanguageZig            = "Zig"
	LanguageD              = "D"
	LanguageNim            = "Nim"
	LanguageAssemblyScript = "AssemblyScript"
)

// ReadStatic reads what the bytes of a module say of how it was made. Of bytes that are no
// module it tells as much as can be read; its cost is linear in their number.
func ReadStatic(module []byte) Static {
	var s Static
	if len(module) < 8 {
		return s
	}
	var producers []producer
	r := &reader{b: module[8:]}
	for len(r.b) > 0 {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			break
		}
		switch id {
		case sectionCode:
			s.Sizes.Code += len(body)
			s.Functions += int(min((&reader{b: body}).u32(), uint64(len(body))))
		case sectionData:
			s.Sizes.Data += len(body)
		case sectionCustom:
			s.Sizes.Custom += len(body)
			c := &reader{b: body}
			switch name := c.name(); {
			case name == "producers":
				producers = readProducers(c)
			case strings.HasPrefix(name, "go:"), strings.HasPrefix(name, "go."):
				s.Language = LanguageGo
			}
		default:
			s.Sizes.Other += len(body)
		}
	}
	s.recognise(producers, module)
	return s
}

// producer is a value of the section of producers (WebAssembly tool conventions,
// ProducersSection.md).
type producer struct{ field, name, version string }

// mostProducers is how many values of producers are looked at: tools write a handful.
const mostProducers = 64

func readProducers(r *reader) (list []producer) {
	for range min(r.u32(), mostProducers) {
		field := r.name()
		for range min(r.u32(), mostProducers) {
			p := producer{field, r.name(), r.name()}
			if r.err != nil {
				return list
			}
			list = append(list, p)
		}
	}
	return list
}

// compilers name languages by what processed a module; the first that fits counts.
var compilers = []struct{ tool, language string }{
	{"TinyGo", LanguageTinyGo}, {"Go cmd/compile", LanguageGo}, {"rustc", LanguageRust}, {"zig", LanguageZig},
	{"ldc", LanguageD}, {"Nim", LanguageNim}, {"AssemblyScript", LanguageAssemblyScript},
}

// traces are texts in the data of modules that say nothing of producers.
var traces = []struct{ text, language string }{
	{"~\x00l\x00i\x00b\x00/\x00", LanguageAssemblyScript}, {"/rustc/", LanguageRust}, {"called `Option::unwrap()`", LanguageRust}, {"fatal.nim", LanguageNim},
}

func (s *Static) recognise(producers []producer, module []byte) {
	for _, c := range compilers {
		for _, p := range producers {
			if p.field == "processed-by" && strings.HasPrefix(p.name, c.tool) {
				s.Language, s.Toolchain = c.language, cmp.Or(p.version, p.name)
				return
			}
		}
	}
	for _, p := range producers {
		switch {
		case p.field == "processed-by":
			s.Toolchain = strings.TrimSpace(p.name + " " + p.version)
		case p.field == "language" && strings.HasPrefix(p.name, "C_plus_plus"):
			s.Language = LanguageCPlusPlus
		case p.field == "language" && s.Language == "" && (p.name == "C" || strings.HasPrefix(p.name, "C1") || strings.HasPrefix(p.name, "C9") || strings.HasPrefix(p.name, "C2")):
			s.Language = LanguageC
		}
	}
	if s.Language != "" {
		return
	}
	i := slices.IndexFunc(traces, func(t struct{ text, language string }) bool { return bytes.Contains(module, []byte(t.text)) })
	if i >= 0 {
		s.Language = traces[i].language
	}
}
