package js

import (
	"bytes"
	"cmp"
	"embed"
	"regexp"
)

// kurrentdb is the dialect of KurrentDB's projections: files of one scope, in this order.
//
//go:embed kurrentdb/*.js
var kurrentdb embed.FS

var kurrentdbFiles = []string{"mapping", "definition", "event", "state", "output", "dialect"}

// kurrentdbEmits finds what has a script emit: its functions, and a stream for results.
var kurrentdbEmits = regexp.MustCompile(`(?i)\b(emit|linkTo|outputTo|resultStreamName)\b`)

// kurrentdbSource and exporting tell a projection of KurrentDB: it has a source, and exports
// nothing, for it is no module. A line of a comment may begin with export all the same, but
// a module has onEvent or upcast somewhere.
var (
	kurrentdbSource = regexp.MustCompile(`\bfrom(All|Streams?|StreamsMatching|StreamCatalog|Category|Categories)\s*\(`)
	exporting       = regexp.MustCompile(`(?m)^\s*export\b`)
)

func (o Options) dialect(script []byte) Dialect {
	module := exporting.Match(script) && (bytes.Contains(script, []byte("onEvent")) || exportsFunction(script, "upcast"))
	if o.Dialect == "" && kurrentdbSource.Match(script) && !module {
		return KurrentDB
	}
	return cmp.Or(o.Dialect, Gnomon)
}

func attachKurrentDB(script []byte, name string) ([]byte, error) {
	prelude, err := kurrentdbPrelude()
	if err != nil {
		return nil, err
	}
	var f flags
	if kurrentdbEmits.Match(script) {
		f = flagEmit
	}
	return attach(f, []source{
		{kindPrelude, "gnomon.js", gnomonPrelude},
		{kindPrelude, "kurrentdb.js", prelude},
		{kindScript, name, script},
	})
}

// kurrentdbPrelude is the function of the interface that the runtime calls.
func kurrentdbPrelude() ([]byte, error) {
	b := bytes.NewBufferString("(function (api) {\n\"use strict\";\n")
	for _, name := range kurrentdbFiles {
		text, err := kurrentdb.ReadFile("kurrentdb/" + name + ".js")
		if err != nil {
			return nil, err
		}
		b.Write(text)
	}
	b.WriteString("return dialect(api);\n})")
	return b.Bytes(), nil
}
