package main

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

const log = "../data/gitlog.jsonl.gz"

// What git itself says of the tree at v2.14.5.
const (
	filesAtTag = 600
	linesAtTag = 452641
)

func decode[T any](t *testing.T, r *gnomontest.Result, key string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.State[key]), &v); err != nil {
		t.Fatalf("%s is %q: %v", key, r.State[key], err)
	}
	return v
}

// whole is the state after the last event.
var whole = sync.OnceValues(func() (*gnomontest.Result, error) {
	f, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	events, err := gnomontest.ParseLog(f)
	if err != nil {
		return nil, err
	}
	return gnomontest.Run(events, gnomontest.Options{Batch: 1000})
})

// After the last event the keys file⇥PATH are the tree that the tag holds.
func TestTreeIsGitsOwn(t *testing.T) {
	got, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	files := got.Keys("file\t")
	lines := 0
	for _, k := range files {
		lines += decode[File](t, got, k).Lines
	}
	if len(files) != filesAtTag || lines != linesAtTag {
		t.Errorf("tree has %d files, %d lines; git has %d files, %d lines", len(files), lines, filesAtTag, linesAtTag)
	}
	total := decode[Total](t, got, "total")
	if total.Files != filesAtTag || total.Lines != linesAtTag || total.Changes != 19547 {
		t.Errorf("total = %+v, want %d files, %d lines, 19547 changes", total, filesAtTag, linesAtTag)
	}
}

// Every change has one author: theirs add up to the total.
func TestAuthorsAddUp(t *testing.T) {
	got, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	var sum Author
	authors := got.Keys("author\t")
	for _, k := range authors {
		a := decode[Author](t, got, k)
		sum.Changes += a.Changes
		sum.Added += a.Added
		sum.Removed += a.Removed
	}
	if len(authors) != 54 || sum.Changes != 19547 || sum.Added-sum.Removed != linesAtTag {
		t.Errorf("%d authors with %d changes, %d lines; want 54 with 19547, %d", len(authors), sum.Changes, sum.Added-sum.Removed, linesAtTag)
	}
}

func TestInvariance(t *testing.T) {
	events := gnomontest.ReadLog(t, log)
	gnomontest.CheckInvariance(t, events[:1500], gnomontest.Options{})
}

// A file that is added, changed, deleted and added again has only its new lines.
func TestFileComesBack(t *testing.T) {
	change := func(what, commit, numbers string) gnomontest.Event {
		return gnomontest.Event{
			Subject: "git." + what, Time: "2026-03-01T10:00:00.250+01:00",
			Data: json.RawMessage(`{"case":"a.go","activity":"` + what + `","resource":"ann","commit":"` + commit + `"` + numbers + `}`),
		}
	}
	got, err := gnomontest.Run([]gnomontest.Event{
		change("file_added", "c1", `,"added":10,"removed":0`),
		change("file_modified", "c2", `,"added":2,"removed":1`),
		change("file_deleted", "c3", `,"added":0,"removed":11`),
		change("file_added", "c4", `,"added":3,"removed":0`),
		change("file_modified", "c4", ``), // as of a binary file
	}, gnomontest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := decode[File](t, got, "file\ta.go")
	if want := (File{Lines: 3, Changes: 2, FirstMs: 1772355600250, LastMs: 1772355600250, Author: "ann", Commit: "c4"}); f != want {
		t.Errorf("file = %+v, want %+v", f, want)
	}
	if total := decode[Total](t, got, "total"); total.Files != 1 || total.Lines != 3 || total.Commits != 4 {
		t.Errorf("total = %+v, want 1 file, 3 lines, 4 commits", total)
	}
}

// An event that cannot be is an error, and leaves the state as it was.
func TestImpossibleChange(t *testing.T) {
	got, err := gnomontest.Run([]gnomontest.Event{{
		Subject: "git.x", Data: json.RawMessage(`{"case":"a.go","activity":"file_deleted"}`),
	}}, gnomontest.Options{})
	if err == nil || !strings.Contains(err.Error(), `event 1: file_deleted of "a.go"`) {
		t.Errorf("error = %v, want one that names event 1 and a.go", err)
	}
	if len(got.State) != 0 {
		t.Errorf("state = %v, want none", got.State)
	}
}
