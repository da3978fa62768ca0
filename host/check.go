package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// functions maps the name of a function to its type.
type functions map[string]Signature

func contract(list []abi.Func) functions {
	m := make(functions, len(list))
	for _, f := range list {
		m[f.Name] = Signature{f.Params, f.Results}
	}
	return m
}

var (
	contractImports = contract(abi.Imports())
	jsonImports     = contract(abi.ImportsJSON())
	contractExports = contract(abi.Exports())
)

// check holds a module against the contract: every import must be offered and
// every export that the host calls must have the expected type. wasi are the
// functions of the system interface. It lists what is wrong: of imports the first ones.
func check(b *Binary, wasi functions) (all []Problem) {
	more := 0
	for _, i := range b.Imports {
		switch p := checkImport(i, wasi); {
		case p.Text == "":
		case len(all) < mostImports:
			all = append(all, p)
		default:
			more++
		}
	}
	if more > 0 {
		all = append(all, problem(otherProblem, "imports %d other things that it may not", more))
	}
	return append(all, checkExports(b)...)
}

// A module may have any number of imports, with names of any length.
const (
	mostImports = 20      // that are named in a refusal
	mostText    = 1 << 10 // bytes of what is said of one
)

func problem(kind problemKind, format string, args ...any) Problem {
	text := fmt.Sprintf(format, args...)
	if len(text) > mostText {
		text = strings.ToValidUTF8(text[:mostText], "") + "…"
	}
	return Problem{Text: text, kind: kind}
}

// checkImport says what is wrong with an import: nothing is the zero value.
func checkImport(i Import, wasi functions) Problem {
	name := readable(i.Module + "." + i.Name)
	if i.Kind != kindFunc {
		kind := otherProblem
		if i.Kind == kindMemory {
			kind = memoryImported
		}
		return problem(kind, "imports the %s %s: only functions can be imported", kindName(i.Kind), name)
	}
	var offered functions
	switch {
	case i.Module == abi.Module:
		offered = contractImports
	case i.Module == abi.ModuleJSON:
		offered = jsonImports
	case i.Module == abi.WASI:
		offered = wasi
	case strings.HasPrefix(i.Module, "projection_v"):
		return problem(otherProblem, "imports %s: this engine offers %s; rebuild the module with an SDK for it", name, abi.Module)
	default:
		kind := foreignImport
		switch {
		case strings.HasPrefix(i.Module, "__wbindgen"):
			kind = browserGlue
		case importHint(i) != "":
			kind = otherProblem
		}
		return problem(kind, "imports %s, which nothing offers: a projection may import from %s, %s and %s%s", name, abi.Module, abi.ModuleJSON, abi.WASI, importHint(i))
	}
	want, ok := offered[i.Name]
	if !ok {
		return problem(foreignImport, "imports %s with type %s, which is not in %s; it has %s", name, i.Type, i.Module, offered.names())
	}
	if !want.equal(i.Type) {
		return problem(wrongType, "imports %s with type %s: the expected type is %s", name, i.Type, want)
	}
	return Problem{}
}

// readable is a name of a module as it is, or quoted when a terminal would take it for more
// than a name.
func readable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// importHint says what to do about imports that toolchains add by default.
func importHint(i Import) string {
	switch i.Module + "." + i.Name {
	case "env.abort":
		return " (AssemblyScript: build with --use abort=, or import the SDK's abort)"
	case "gojs.runtime.wasmExit", "go.runtime.wasmExit":
		return " (Go: build with GOOS=wasip1, not GOOS=js)"
	}
	if strings.HasPrefix(i.Module, "wasi:") || i.Module == "wasi_unstable" {
		return " (another version of WASI: build for wasm32-wasip1, or for a target without it)"
	}
	if i.Module == "gojs" {
		return " (Go: build with GOOS=wasip1, not GOOS=js)"
	}
	return ""
}

func checkExports(b *Binary) (all []Problem) {
	exports := map[string]Export{}
	for _, e := range b.Exports { // a name of the contract that occurs twice the compiler refuses
		if _, again := exports[e.Name]; again {
			continue
		}
		exports[e.Name] = e
		want, known := contractExports[e.Name]
		switch {
		case !known:
		case e.Kind != kindFunc:
			all = append(all, problem(wrongType, "exports %s as a %s: the expected type is %s", e.Name, kindName(e.Kind), want))
		case !want.equal(e.Type):
			all = append(all, problem(wrongType, "exports %s with type %s: the expected type is %s", e.Name, e.Type, want))
		}
	}
	imported := slices.ContainsFunc(b.Imports, func(i Import) bool { return i.Kind == kindMemory })
	if e, ok := exports[abi.ExportMemory]; !ok || e.Kind != kindMemory {
		all = append(all, problem(memoryHidden, "does not export its memory: a memory named %q is required", abi.ExportMemory))
	} else if b.Memories != 1 && !imported {
		all = append(all, problem(otherProblem, "declares %d memories: a projection has one, exported as %q", b.Memories, abi.ExportMemory))
	}
	_, applies := exports[abi.ExportApply]
	if _, upcasts := exports[abi.ExportUpcast]; !applies && !upcasts {
		kind, hint := entryMissing, commandHint(exports)
		if hint != "" {
			kind = builtAsCommand
		}
		all = append(all, problem(kind, "does not export %s, type %s, which is required of a projection, nor %s, of an upcaster%s", abi.ExportApply, contractExports[abi.ExportApply], abi.ExportUpcast, hint))
	}
	_, save := exports[abi.ExportSnapshot]
	_, restore := exports[abi.ExportRestore]
	if save != restore {
		all = append(all, problem(otherProblem, "exports only one of %s and %s: a projection that keeps state in its memory needs both", abi.ExportSnapshot, abi.ExportRestore))
	}
	return all
}

func commandHint(exports map[string]Export) string {
	if _, ok := exports["_start"]; ok {
		return ": it exports _start, so it was built as a command; build a reactor (Go: -buildmode=c-shared, C: -mexec-model=reactor)"
	}
	return ""
}

// traits tells what a runner must know of a module that passed check.
func (b *Binary) traits() guest.Traits {
	return guest.Traits{
		Memory: b.exports(abi.ExportSnapshot),
		Emits: slices.ContainsFunc(b.Imports, func(i Import) bool {
			return i.Module == abi.Module && i.Name == abi.ImportEmit
		}),
		Migrate: b.exports(abi.ExportMigrate),
		Applies: b.exports(abi.ExportApply),
		Upcasts: b.exports(abi.ExportUpcast),
		Queries: b.exports(abi.ExportQuery),
	}
}

func (b *Binary) exports(name string) bool {
	return slices.ContainsFunc(b.Exports, func(e Export) bool { return e.Name == name })
}

// String writes a type as in the text format's shorthand: (i32, i32) -> i32.
func (s Signature) String() string {
	results := typeNames(s.Results)
	if len(s.Results) != 1 {
		results = "(" + results + ")"
	}
	return "(" + typeNames(s.Params) + ") -> " + results
}

func (s Signature) equal(t Signature) bool {
	return slices.Equal(s.Params, t.Params) && slices.Equal(s.Results, t.Results)
}

func (f functions) names() string {
	names := make([]string, 0, len(f))
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func typeNames(types []abi.ValueType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = typeName(t)
	}
	return strings.Join(names, ", ")
}

func typeName(t abi.ValueType) string {
	switch t {
	case abi.I32:
		return "i32"
	case abi.I64:
		return "i64"
	case 0x7d:
		return "f32"
	case 0x7c:
		return "f64"
	case 0x7b:
		return "v128"
	case 0x70:
		return "funcref"
	case 0x6f:
		return "externref"
	}
	return fmt.Sprintf("type 0x%02x", byte(t))
}

func kindName(kind byte) string {
	return [...]string{"function", "table", "memory", "global"}[min(kind, 3)]
}
