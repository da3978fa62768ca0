package js

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

//go:embed quickjs.wasm
var quickjs []byte

//go:embed gnomon.js
var gnomonPrelude []byte

// Options say how a script is attached.
type Options struct {
	// Name is the script's in messages, as in "projection.js:3:7". Empty: projection.js.
	Name string
	// Dialect is what the script is written in. Empty: KurrentDB, when the script takes
	// events with one of its functions (fromAll and so on) and exports nothing; else Gnomon.
	Dialect Dialect
}

// Dialect is an interface that scripts are written for.
type Dialect string

// The dialects.
const (
	Gnomon    Dialect = "gnomon"    // an ES module that exports onEvent
	KurrentDB Dialect = "kurrentdb" // a projection of KurrentDB, which is a classic script
)

// maxScript bounds a script, in bytes: it is parsed in every instance.
const maxScript = 4 << 20

// Attach makes a module of a script in UTF-8. One in Gnomon's own dialect is an ES module
// that exports onEvent, and then a projection, or upcast, and then an upcaster. The module of a
// projection has the exports query, migrate, and snapshot and restore, when the script
// exports functions of those names, and imports emit when the script has the word
// anywhere: the engine asks for projection.emit then. The same script makes the same
// bytes. Whether it is JavaScript is found when the module is started. For a projection of
// KurrentDB docs/authoring/kurrentdb.md says what it may use, and how streams become
// subjects; it imports emit when it has emit, linkTo, outputTo or resultStreamName anywhere.
func Attach(script []byte, o Options) ([]byte, error) {
	if o.Name == "" {
		o.Name = "projection.js"
	}
	if err := checkScript(script, o.Name); err != nil {
		return nil, err
	}
	switch o.dialect(script) {
	case Gnomon:
	case KurrentDB:
		return attachKurrentDB(script, o.Name)
	default:
		return nil, fmt.Errorf("there is no dialect %s: there are %s and %s", o.Dialect, Gnomon, KurrentDB)
	}
	f := flagsOf(script)
	switch has := bytes.Contains(script, []byte("onEvent")); {
	case f&flagUpcast != 0:
		if err := checkUpcaster(script, o.Name); err != nil {
			return nil, err
		}
		f = flagUpcast
	case !has:
		return nil, fmt.Errorf("%s exports neither onEvent nor upcast: a projection has export function onEvent(event, state) { … }, an upcaster export function upcast(event, out) { … }", o.Name)
	}
	return attach(f, []source{
		{kindPrelude, "gnomon.js", gnomonPrelude},
		{kindModule, o.Name, script},
	})
}

// checkUpcaster refuses a script that exports upcast and what only projections have.
func checkUpcaster(script []byte, name string) error {
	for _, other := range []string{"onEvent", "query", "snapshot", "restore", "migrate"} {
		if exportsFunction(script, other) {
			return fmt.Errorf("%s exports upcast and %s: a script is an upcaster, which has no state, or a projection: make two scripts of it", name, other)
		}
	}
	return nil
}

func checkScript(script []byte, name string) error {
	switch {
	case len(bytes.TrimSpace(script)) == 0:
		return fmt.Errorf("%s is empty", name)
	case len(script) > maxScript:
		return fmt.Errorf("%s has %d bytes: the limit is %d", name, len(script), maxScript)
	case !utf8.Valid(script):
		return fmt.Errorf("%s is not UTF-8", name)
	case bytes.IndexByte(script, 0) >= 0:
		return fmt.Errorf("%s has a byte 0", name)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("the name of a script has a byte 0")
	}
	return nil
}

// flags say what the module of a script has. The prelude, gnomon.js, reads them.
type flags uint32

const (
	flagQuery   flags = 1 << iota // it exports query
	flagMemory                    // it exports snapshot and restore
	flagEmit                      // it imports emit
	flagUpcast                    // it exports upcast, and not apply
	flagMigrate                   // it exports migrate
)

// flagsOf finds what a script has. It looks at the text alone; that the script has it
// indeed, the prelude checks when it starts.
func flagsOf(script []byte) (f flags) {
	if exportsFunction(script, "query") {
		f |= flagQuery
	}
	if exportsFunction(script, "snapshot") || exportsFunction(script, "restore") {
		f |= flagMemory
	}
	if exportsFunction(script, "upcast") {
		f |= flagUpcast
	}
	if exportsFunction(script, "migrate") {
		f |= flagMigrate
	}
	if emitWord.Match(script) {
		f |= flagEmit
	}
	return f
}

var (
	emitWord    = regexp.MustCompile(`\bemit\b`)
	exportOf    = regexp.MustCompile(`(?m)\bexport\s+(?:async\s+)?(?:function\s*\*?|const|let|var)\s+(\w+)`)
	exportList  = regexp.MustCompile(`(?s)\bexport\s*\{([^}]*)\}`)
	exportNamed = regexp.MustCompile(`(\w+)\s*(?:,|$)`) // the last word: of "a as b" it is b
)

func exportsFunction(script []byte, name string) bool {
	for _, m := range exportOf.FindAllSubmatch(script, -1) {
		if string(m[1]) == name {
			return true
		}
	}
	for _, list := range exportList.FindAllSubmatch(script, -1) {
		for _, m := range exportNamed.FindAllSubmatch(bytes.TrimSpace(list[1]), -1) {
			if string(m[1]) == name {
				return true
			}
		}
	}
	return false
}

// source is a text that QuickJS evaluates.
type source struct {
	kind uint32
	name string
	text []byte
}

// What sources are; runtime/main.c has the same numbers.
const (
	kindPrelude = iota // a function that is called with what the one before it returned
	kindModule         // the script, as an ES module
	kindScript         // the script, as a classic one
)

// magic begins what is attached.
const magic = "gnomonjs"

// encodeSources writes magic, flags, count, {kind, name and text length, name, 0, text,
// 0}*: numbers have 32 bits, little-endian.
func encodeSources(f flags, sources []source) []byte {
	out := []byte(magic)
	word := func(n int) { out = binary.LittleEndian.AppendUint32(out, uint32(n)) }
	word(int(f))
	word(len(sources))
	for _, s := range sources {
		word(int(s.kind))
		word(len(s.name))
		word(len(s.text))
		out = append(append(out, s.name...), 0)
		out = append(append(out, s.text...), 0)
	}
	return out
}
