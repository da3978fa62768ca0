package query_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
)

// modules knows the same file of every module.
type modules struct{}

func (modules) ModuleFile(engine.Spec) (*wire.ModuleFile, error) {
	return &wire.ModuleFile{Name: "letters.wasm", Bytes: 8, Signatures: "off", Imports: []wire.ModuleSymbol{{Module: "m", Name: "f", Kind: "function", Type: "() -> ()"}}, Exports: []wire.ModuleSymbol{}}, nil
}

// decoded reads an answer in JSON.
func decoded[T any](t *testing.T, a reply) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.StatusCode != 200 {
		t.Fatalf("%s: %v", a, err)
	}
	return v
}

// A client learns what it may, also of what is not there; without names it learns so of the
// projections that it may read.
func TestAccess(t *testing.T) {
	r := guarded(t)
	for _, tt := range []struct{ token, query, want string }{
		{readsP, "", "false [{p true false}] []"},
		{readsQ, "?projection=p", "false [{p false false}] []"},
		{readsQ, "?projection=absent", "false [{absent false false}] []"},
		{adminP, "", "false [{p true true}] []"},
		{adminAll, "?projection=q&stream=S", "true [{q true true}] [{S true}]"},
		{appendsS, "?stream=S", "false [] [{S true}]"},
		{appendsS, "?stream=T", "false [] [{T false}]"},
		{readsAll, "", "false [{p true false} {q true false}] []"},
	} {
		got := decoded[wire.Access](t, r.as(tt.token, "GET", "/v1/access"+tt.query))
		if text := fmt.Sprint(got.Everything, got.Projections, got.Streams); text != tt.want {
			t.Errorf("%s asks %q: %s, want %s", tt.token, tt.query, text, tt.want)
		}
	}
}

// A snapshot that was given up is not there any more, and makes room for another one; one
// that is not there is no snapshot. One may be named export.
func TestDeleteSnapshot(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	const at = "/v1/projections/p/snapshots"
	for _, name := range []string{"one", "export", "three"} { // of two that there may be at once
		if a := r.ask("POST", at, `{"name":"`+name+`"}`); a.StatusCode != 201 {
			t.Fatalf("%s: %s", name, a)
		}
		if err := r.client().DeleteSnapshot(t.Context(), "p", name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if a := r.ask("DELETE", at+"/one", ""); a.StatusCode != 404 || a.problem(t).Code != wire.CodeNoSnapshot {
		t.Errorf("again: %s", a)
	}
	if list := decoded[wire.Snapshots](t, r.ask("GET", at, "")); len(list.Snapshots) != 0 {
		t.Errorf("there are still %v", list.Snapshots)
	}
}

// The card of a module has what it runs with. Settings are for who may change it.
func TestModuleCard(t *testing.T) {
	r := newRigFor(t, query.Options{Modules: modules{}, Access: tokens(t, map[string]access.Grant{readsP: {Role: access.Read}, adminP: {Role: access.Admin}})}, func(s *engine.Spec) {
		s.Settings, s.Memory, s.OnError, s.Schema = []byte(`{"threshold":5}`), 1<<20, engine.Quarantine, 3
		s.KeyOf, s.Key = nil, ""
	}, "a", "1")
	r.engine.Start(t.Context())
	if err := r.engine.AwaitEnd(t.Context()); err != nil {
		t.Fatal(err)
	}
	for token, settings := range map[string]string{readsP: "", adminP: `{"threshold":5}`} {
		card := decoded[wire.Module](t, r.as(token, "GET", "/v1/projections/p/module"))
		if string(card.Settings) != settings || card.File == nil || card.File.Name != "letters.wasm" || card.Limits.Memory != 1<<20 ||
			card.Source.Stream != "S" || card.Source.OnError != "quarantine" || card.Schema != 3 || card.SHA256 == "" || strings.Join(card.Does, " ") != "apply" {
			t.Errorf("%s is told %+v", token, card)
		}
	}
}

// The log has the lines after a number that have a level, tells of those that are gone, and
// goes on from there; as server-sent events it goes on by itself, and a client that connects
// anew gets what it missed.
func TestGuestLog(t *testing.T) {
	logs := new(guest.Logs)
	r := newRigWith(t, query.Options{Logs: logs}, "a", "1").start()
	for i := range uint64(510) {
		logs.Add("p", "", guest.Line{Level: int(i%3) * 4, Text: "line\n<script>", First: i + 1, Last: i + 2, Generation: "g"})
	}
	const at = "/v1/projections/p/log"
	for query, want := range map[string]string{
		"": "500 510 10", "?after=509": "1 510 0", "?after=510": "0 510 0", "?after=508&level=warn": "2 510 0", "?level=error": "167 510 10", "?level=info&after=4": "500 510 6",
	} {
		page := decoded[wire.GuestLog](t, r.ask("GET", at+query, ""))
		if got := fmt.Sprint(len(page.Lines), page.Next, page.Dropped); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
	for query, status := range map[string]int{"?level=loud": 400, "?after=x": 400} {
		if a := r.ask("GET", at+query, ""); a.StatusCode != status {
			t.Errorf("%q: %s", query, a)
		}
	}
	s := r.open(at+"?level=error", "Accept", "text/event-stream", "Last-Event-ID", "508")
	defer s.stop()
	next := func() wire.LogLine {
		t.Helper()
		for {
			text, err := s.text.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if data, ok := strings.CutPrefix(text, "data: "); ok {
				var line wire.LogLine
				if err := json.Unmarshal([]byte(data), &line); err != nil {
					t.Fatal(err)
				}
				return line
			}
		}
	}
	logs.Add("p", "", guest.Line{Level: 0, Text: "not told"})
	logs.Add("p", "u", guest.Line{Level: 8, Text: "another"})
	for _, want := range []uint64{510, 512} {
		if line := next(); line.Number != want {
			t.Errorf("got %+v, want line %d", line, want)
		}
	}
}
