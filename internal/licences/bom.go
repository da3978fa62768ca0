package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
)

// document is the part of CycloneDX 1.6 that a list of Go modules needs:
// https://cyclonedx.org/docs/1.6/json/.
type document struct {
	BOMFormat   string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Licenses   []choice   `json:"licenses,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type choice struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// bom writes what a binary says that it was built from. There is no time and no random number
// in it: two of one binary are the same. version is the release that the binary is of; "": Go's word for it.
func bom(b *bytes.Buffer, binary, version string, parts []part) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", binary, err)
	}
	licences := map[string][]text{}
	for _, p := range parts {
		licences[p.Name] = p.Texts
	}
	if version == "" {
		version = info.Main.Version
	}
	made := document{BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1}
	made.Metadata.Component = component{Type: "application", Name: info.Main.Path, Version: version, Properties: settings(info)}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		made.Components = append(made.Components, module(m.Path, m.Version, m.Sum, licences))
	}
	made.Components = append(made.Components, module("std", strings.TrimPrefix(info.GoVersion, "go"), "", licences))
	for _, p := range parts {
		if p.Version == "" && p.Name != "std" { // it stands in the repository
			made.Components = append(made.Components, component{Type: "library", Name: p.Name, Licenses: choices(p.Texts)})
		}
	}
	e := json.NewEncoder(b)
	e.SetIndent("", "  ")
	return e.Encode(made)
}

func module(path, version, sum string, licences map[string][]text) component {
	c := component{Type: "library", Name: path, Version: version, PURL: "pkg:golang/" + path + "@" + version, Licenses: choices(licences[path])}
	if sum != "" {
		c.Properties = []property{{"golang:sum", sum}}
	}
	return c
}

func choices(texts []text) (all []choice) {
	for _, t := range texts {
		if t.Licence != "" {
			var c choice
			c.License.ID = t.Licence
			all = append(all, c)
		}
	}
	return all
}

// settings are how the binary was built: system, processor, revision and the like.
func settings(info *debug.BuildInfo) (all []property) {
	for _, s := range info.Settings {
		all = append(all, property{"golang:build:" + s.Key, s.Value})
	}
	return all
}
