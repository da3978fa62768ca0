package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// Everything in the binary has a licence that the project takes, and its text is at hand.
func TestLicences(t *testing.T) {
	parts, err := all("../..")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, p := range parts {
		named[p.Name] = true
	}
	for _, want := range []string{"github.com/tetratelabs/wazero", "github.com/inconshreveable/mousetrap", "quickjs", "htmx.org"} { // of all systems, of Windows alone, in the repository
		if !named[want] {
			t.Errorf("%s is in the binary, and not in the list", want)
		}
	}
}

// A part is refused that has no licence, only a notice, or one that is not known or not taken, even beside one that is.
func TestAccept(t *testing.T) {
	mit := text{"LICENSE", "MIT", ""}
	for name, c := range map[string]struct {
		texts []text
		ok    bool
	}{
		"taken":            {[]text{mit}, true},
		"with notice":      {[]text{mit, {"NOTICE", "", ""}}, true},
		"none":             {nil, false},
		"only a notice":    {[]text{{"NOTICE", "", ""}}, false},
		"unknown":          {[]text{{"COPYING", "", ""}}, false},
		"unknown as well":  {[]text{mit, {"LICENSE.other", "", ""}}, false},
		"two that we take": {[]text{mit, {"LICENSE-APACHE", "Apache-2.0", ""}}, true},
	} {
		if err := accept(part{"x", "", c.texts}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A text is known by its sentences, however its lines are broken; with the words of another licence in it it is none.
func TestClassify(t *testing.T) {
	bsd2 := "Redistribution and use in source and binary forms, with or without\n  modification, are permitted provided …: Redistributions in binary\nform must reproduce the above copyright notice, …"
	for text, want := range map[string]string{
		"":   "",
		bsd2: "BSD-2-Clause",
		"Distributed under the Simplified BSD License:\n\n> " + strings.ReplaceAll(bsd2, "\n", "\n> "): "BSD-2-Clause",
		bsd2 + "\nmay be used to endorse or promote products derived from\nthis software":              "BSD-3-Clause",
		bsd2 + "\nor the GNU General Public License":                                                   "",
		"All rights reserved.":               "",
		"Mozilla Public License Version 2.0": "",
	} {
		if got := classify(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// The list of parts of a binary names the modules that it says it was built from, with their licences.
func TestBOM(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	known := part{"std", "", []text{{"LICENSE", "BSD-3-Clause", ""}}}
	if err := bom(&b, self, "1.2.3", []part{known}); err != nil {
		t.Fatal(err)
	}
	var got document
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.BOMFormat != "CycloneDX" || len(got.Components) == 0 {
		t.Fatalf("%s", b.Bytes())
	}
	if v := got.Metadata.Component.Version; v != "1.2.3" {
		t.Errorf("the list is of version %q", v)
	}
	std := got.Components[len(got.Components)-1]
	if std.Name != "std" || std.Version == "" || std.PURL != "pkg:golang/std@"+std.Version || len(std.Licenses) != 1 || std.Licenses[0].License.ID != "BSD-3-Clause" {
		t.Errorf("Go itself is %+v", std)
	}
}
