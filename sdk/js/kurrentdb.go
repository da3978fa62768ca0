package js

import (
	"bytes"
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

// AttachKurrentDB makes a module of a projection of KurrentDB, which is a classic script:
// docs/authoring/kurrentdb.md says what it may use, and how streams become subjects. The
// module imports emit when the script has emit, linkTo, outputTo or resultStreamName
// anywhere. What is not supported is refused when the module is started.
func AttachKurrentDB(script []byte, o Options) ([]byte, error) {
	if o.Name == "" {
		o.Name = "projection.js"
	}
	if err := checkScript(script, o.Name); err != nil {
		return nil, err
	}
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
		{kindScript, o.Name, script},
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
