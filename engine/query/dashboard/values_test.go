package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gnomon/engine/query/wire"
)

// A value that became another one is told by its members: those that were added, removed and
// changed, with their paths; one that is no object or list, or another kind of it, as a whole.
func TestMembers(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, ""},
		{`{"a":1,"b":2}`, `{"a":3,"c":4}`, ".b removed 2>; .a changed 1>3; .c added >4"},
		{`{"a":{"b":[1,2,{"c":null}]}}`, `{"a":{"b":[1,2,{"c":true}]}}`, ".a.b[2].c changed null>true"},
		{`{"a b":1,"":2,"x\"y":3}`, `{"a b":2,"":3,"x\"y":4}`, `["a b"] changed 1>2; [""] changed 2>3; ["x\"y"] changed 3>4`},
		{`[1,2,3]`, `[0,1,2,3]`, "[0] added >0"},
		{`[1,2,3]`, `[2,3]`, "[0] removed 1>"},
		{`[1,2]`, `[1,2,{"a":1}]`, `[2] added >{"a":1}`},
		{`{"n":1.0}`, `{"n":1}`, ".n changed 1.0>1"},
		{`{"a":[1]}`, `{"a":{"x":1}}`, `.a changed [1]>{"x":1}`},
		{`{"a":1}`, `[1]`, "none"},
		{`1`, `2`, "none"},
		{`{"a":1}`, `text`, "none"},
		{`{"a":"<b>"}`, `{"a":"<i>"}`, `.a changed "<b>">"<i>"`},
	} {
		list, more := membersOf([]byte(c.before), []byte(c.after))
		var got []string
		for _, m := range list {
			got = append(got, fmt.Sprintf("%s %s %s>%s", m.Path, m.Change, m.Before, m.After))
		}
		if c.want == "none" && list != nil || c.want != "none" && strings.Join(got, "; ") != c.want || more {
			t.Errorf("%s → %s: %q, want %s", c.before, c.after, got, c.want)
		}
	}
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf(`"%d":1`, i))
	}
	if list, more := membersOf([]byte("{}"), []byte("{"+strings.Join(many, ",")+"}")); len(list) != maxMembers || !more {
		t.Errorf("%d members of very many, %v", len(list), more)
	}
}

// A value is shown as what it is: a tree, text, or bytes; one that is too large among others is
// cut, and never within a character.
func TestShow(t *testing.T) {
	long := strings.Repeat("ü", rowBytes)
	for _, c := range []struct {
		value           string
		tree, text, dmp bool
		cut             bool
	}{
		{`{"a":1}`, true, false, false, false},
		{"plain\ttext\n", false, true, false, false},
		{"\x00\x01", false, false, true, false},
		{"nul\x00", false, false, true, false},
		{"\xff", false, false, true, false},
		{`"` + long + `"`, false, true, false, true},
		{strings.Repeat("\xff", rowBytes+1), false, false, true, true},
		{"[" + strings.Repeat("1,", rowNodes) + "1]", false, true, false, false},
	} {
		s := showRow([]byte(c.value))
		if (s.Tree != nil) != c.tree || (s.Text != "") != c.text || (s.Dump != "") != c.dmp || s.Cut != c.cut || s.Size != len(c.value) {
			t.Errorf("%.40q: %+v", c.value, s)
		}
		if strings.ContainsRune(s.Text, '\uFFFD') {
			t.Errorf("%.40q is cut within a character", c.value)
		}
	}
	if s := showRow(nil); !s.Absent {
		t.Error("an absent value is shown")
	}
	if s := showWhole([]byte(`"` + long + `"`)); s.Tree == nil || s.Cut {
		t.Errorf("the page of a value cuts it: %v", s.Cut)
	}
}

// A tree has all of its value, whatever is valid JSON: written again it is the same.
func FuzzTree(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2,{"b":null}],"a":"x\u2028<"}`, `[[[[]]]]`, `1e400`, `"\ud800"`, strings.Repeat("[", 100) + strings.Repeat("]", 100), `{"":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if !wire.IsJSON(value) {
			return
		}
		tree := treeOf(value, treeNodes)
		if tree == nil {
			return // it has too many parts
		}
		var was, is any
		a, b := json.NewDecoder(bytes.NewReader(value)), json.NewDecoder(strings.NewReader(tree.json()))
		a.UseNumber()
		b.UseNumber()
		if a.Decode(&was) != nil || b.Decode(&is) != nil || fmt.Sprint(was) != fmt.Sprint(is) {
			t.Errorf("%s is shown as %s", value, tree.json())
		}
		if list, _ := membersOf(value, value); len(list) > 0 {
			t.Errorf("%s differs from itself: %v", value, list)
		}
	})
}

// A text is shown as what it says: what has no shape, or turns the direction of what follows,
// is an escape, in values, in JSON, which stays JSON, and in lines of a log.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"as it is\n\tü 世 👩\u200d🚀": "as it is\n\tü 世 👩\u200d🚀", "\x1b[31m": `\u001b[31m`, "cod.\u202eexe": `cod.\u202eexe`, "\u2066a\u2069": `\u2066a\u2069`, "\u0085": `\u0085`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if s := showRow([]byte("cod.\u202eexe")); s.Text != `cod.\u202eexe` {
		t.Errorf("a value is shown as %q", s.Text)
	}
	if s := showRow([]byte("[\"cod.\u202eexe\x7f\"]")); s.Tree.json() != `["cod.\u202eexe\u007f"]` {
		t.Errorf("JSON is shown as %s", s.Tree.json())
	}
}

// Among others, bytes have a few lines and no more, whether they are many or very many.
func TestBytesAmongOthers(t *testing.T) {
	for _, size := range []int{rowDump + 1, rowBytes, rowBytes + 1} {
		if s := showRow(make([]byte, size)); strings.Count(s.Dump, "\n") != rowDump/16 || !s.Cut {
			t.Errorf("%d bytes are shown in %d lines, cut: %v", size, strings.Count(s.Dump, "\n"), s.Cut)
		}
	}
}

// A key is shown so that every character of it can be seen, and none turns those after it.
func TestKeyText(t *testing.T) {
	for key, want := range map[string]string{
		"plain": "plain", "a\tb": "a⇥b", "a\nb": "a⏎b", "a\x00b": `a\x00b`, "\u202eb": `\u202eb`, "\xff\x01": "0xff01", "ü 世": "ü 世", "\u200b": `\u200b`, "": "",
	} {
		if got := keyText([]byte(key)); got != want {
			t.Errorf("%q is shown as %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]string{"a b": "'a b'", "a\tb'": `$'a\tb\''`, "\xff\\": `$'\xff\\'`, "it's": `'it'\''s'`, "ü": "'ü'"} {
		if got := quotedKey([]byte(key)); got != want {
			t.Errorf("%q is written %s for a shell, want %s", key, got, want)
		}
	}
}
