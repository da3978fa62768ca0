package host

import "strings"

// Problem is a way in which a module does not keep the contract.
type Problem struct {
	Text string // which goes on from the name of the module
	kind problemKind
}

// Refusal is the error of a module that does not keep the contract: all of its problems.
type Refusal struct{ Problems []Problem }

func (r *Refusal) Error() string {
	texts := make([]string, len(r.Problems))
	for i, p := range r.Problems {
		texts[i] = p.Text
	}
	return strings.Join(texts, "; it also ")
}

// problemKind says what is to be done about a problem.
type problemKind int

const (
	otherProblem problemKind = iota
	foreignImport
	wrongType
	memoryHidden
	memoryImported
	entryMissing
	builtAsCommand
	browserGlue
)

// Fix says what to do about the problem in the language that a module was written in, as
// ReadStatic knows it; empty when the text of the problem says it.
func (p Problem) Fix(language string) string {
	list := fixes[p.kind]
	if text, ok := list[language]; ok {
		return text
	}
	return list[""]
}

// fixes are what to do, by language; of "" in any other.
var fixes = map[problemKind]map[string]string{
	foreignImport: {
		"":                     "link what defines it, or declare it with the import module projection_v1; docs/ABI.md lists what there is",
		LanguageGo:             "take the go:wasmimport of it, and packages that have one, out",
		LanguageTinyGo:         "take the go:wasmimport of it out, or build for a target without it",
		LanguageRust:           "write #[link(wasm_import_module = \"projection_v1\")] above the extern block, and leave crates out that talk to a browser (wasm-bindgen)",
		LanguageC:              "nothing defines it: link what does, or declare it with __attribute__((import_module(\"projection_v1\"), import_name(\"…\"))); without -Wl,--allow-undefined the linker says where it is used",
		LanguageCPlusPlus:      "nothing defines it: link what does (libc++, libc++abi), or build with -fno-exceptions; without -Wl,--allow-undefined the linker says where it is used",
		LanguageAssemblyScript: "declare it with @external(\"projection_v1\", \"…\"), and build with --use abort= or the abort of the SDK",
		LanguageZig:            "declare it as extern \"projection_v1\" fn",
	},
	browserGlue: {"": "Rust: build without wasm-bindgen, for the target wasm32-unknown-unknown"},
	wrongType: {
		"":           "write the type that is expected: pointers and lengths are 32-bit integers",
		LanguageGo:   "use uint32, int32 and unsafe.Pointer in its declaration: int and uintptr have 64 bits",
		LanguageRust: "use u32, i32 and raw pointers in its declaration; usize has 32 bits",
	},
	memoryHidden: {
		"":                     "export it: in WAT (memory (export \"memory\") 1)",
		LanguageC:              "leave -Wl,--import-memory and --no-export-memory out",
		LanguageRust:           "leave -C link-arg=--import-memory out",
		LanguageAssemblyScript: "leave --noExportMemory and --importMemory out",
	},
	memoryImported: {
		"":                     "let the module have a memory of its own: leave --import-memory out",
		LanguageAssemblyScript: "leave --importMemory out",
	},
	entryMissing: {
		"":                     "export it: in WAT (func (export \"apply\") (result i32) …)",
		LanguageGo:             "call gnomon.OnEvent in an init function of package main, and build with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared",
		LanguageTinyGo:         "call gnomon.OnEvent in an init function of package main, and build for the target of the SDK with -buildmode=c-shared",
		LanguageRust:           "build a library, crate-type = [\"cdylib\"], with the SDK's macro, or #[no_mangle] pub extern \"C\" fn apply() -> i32",
		LanguageC:              "__attribute__((export_name(\"apply\"))) int apply(void)",
		LanguageCPlusPlus:      "extern \"C\" __attribute__((export_name(\"apply\"))) int apply()",
		LanguageAssemblyScript: "export function apply(): i32 from the entry file",
		LanguageZig:            "export fn apply() i32, built with zig build-lib -dynamic -rdynamic",
	},
	builtAsCommand: {
		"":                "build a reactor or a library, and not a program with main",
		LanguageGo:        "build with -buildmode=c-shared",
		LanguageTinyGo:    "build with -buildmode=c-shared",
		LanguageRust:      "build a library, crate-type = [\"cdylib\"], and not a program with main",
		LanguageC:         "build with -mexec-model=reactor, or without libc with -nostdlib -Wl,--no-entry, and export apply",
		LanguageCPlusPlus: "build with -mexec-model=reactor, and export apply",
		LanguageZig:       "build with zig build-lib -dynamic -rdynamic, and not build-exe",
	},
}
