package main

import (
	"encoding/json"
	"strings"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

// asked is the answer to a request over the state after the last event.
func asked(t *testing.T, request string) (f Found) {
	t.Helper()
	got, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := got.Query(request)
	if err == nil {
		err = json.Unmarshal([]byte(answer), &f)
	}
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return f
}

// What is answered of all files is what git says of the tree, and folders add up to it.
func TestAnswersAddUp(t *testing.T) {
	all := asked(t, "")
	if all.Files != filesAtTag || all.Lines != linesAtTag || all.Top != nil {
		t.Errorf("%+v, want %d files with %d lines", all, filesAtTag, linesAtTag)
	}
	got, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	var sum Found
	folders := map[string]bool{}
	for _, key := range got.Keys("file\t") {
		path := strings.TrimPrefix(key, "file\t")
		folder, _, in := strings.Cut(path, "/")
		if !in {
			f := asked(t, `{"under":"`+path+`"}`)
			sum.Files++
			sum.Lines += decode[File](t, got, key).Lines
			if f.Files < 1 {
				t.Errorf("%s: %+v", path, f)
			}
			continue
		}
		folders[folder] = true
	}
	for folder := range folders {
		f := asked(t, `{"under":"`+folder+`/"}`)
		sum.Files += f.Files
		sum.Lines += f.Lines
	}
	if sum.Files != all.Files || sum.Lines != all.Lines {
		t.Errorf("folders and files have %d files with %d lines, want %d with %d", sum.Files, sum.Lines, all.Files, all.Lines)
	}
}

// The foremost files come first, no more of them than asked for, and none is passed over.
func TestTop(t *testing.T) {
	for by, of := range orders {
		f := asked(t, `{"top":1000,"by":"`+by+`"}`)
		if len(f.Top) != filesAtTag {
			t.Errorf("by %s: %d files", by, len(f.Top))
		}
		for i := 1; i < len(f.Top); i++ {
			a, b := f.Top[i-1], f.Top[i]
			if of(a) < of(b) || of(a) == of(b) && a.Path >= b.Path {
				t.Errorf("by %s: %s with %d is before %s with %d", by, a.Path, of(a), b.Path, of(b))
			}
		}
		if three := asked(t, `{"top":3,"by":"`+by+`"}`).Top; len(three) != 3 || three[2] != f.Top[2] {
			t.Errorf("by %s: the first three are %+v", by, three)
		}
	}
}

// A request that makes no sense is refused, with what it must be.
func TestAskRefusals(t *testing.T) {
	for request, want := range map[string]string{
		`{"by":"age"}`:  `by is "age": it must be "lines" or "changes"`,
		`{"top":-1}`:    "top is -1: it must be between 0 and 1000",
		`{"first":3}`:   `unknown field "first"`,
		`largest files`: "the request: invalid character",
	} {
		_, err := new(gnomontest.Result).Query(request)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", request, err, want)
		}
	}
}
