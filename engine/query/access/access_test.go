package access_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/query/access"
	"gnomon/internal/testutil"
)

// Tokens of these tests.
const (
	one   = "token-one-of-these-tests"
	two   = "token-two-of-these-tests"
	three = "token-three-of-these-tests"
)

// write puts a file in place of another one, as a rotation does.
func write(t *testing.T, path, text string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// open opens one file of tokens for a role.
func open(t *testing.T, g access.Grant, text string) (*access.Tokens, string, *testutil.Log) {
	t.Helper()
	g.File = filepath.Join(t.TempDir(), "tokens")
	write(t, g.File, text)
	log := new(testutil.Log)
	tokens, err := access.OpenTokens([]access.Grant{g}, log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	return tokens, g.File, log
}

// What a role and its names allow, and nothing else.
func TestRights(t *testing.T) {
	t.Parallel()
	read := access.Grant{Role: access.Read, Projections: []string{"balances", "eu-*"}}
	for _, tt := range []struct {
		name                    string
		grant                   access.Grant
		reads, changes, appends string // names that it may, of those below
		everything              bool
	}{
		{"read some", read, "balances balances@candidate eu-1", "", "", false},
		{"read all", access.Grant{Role: access.Read}, "balances balances@candidate eu-1 other", "", "", false},
		{"append to some", access.Grant{Role: access.Append, Streams: []string{"EU_*"}}, "", "", "EU_ORDERS", false},
		{"append to all", access.Grant{Role: access.Append}, "", "", "EU_ORDERS US", false},
		{"admin of some", access.Grant{Role: access.Admin, Projections: []string{"eu-*"}}, "eu-1", "eu-1", "", false},
		{"admin of some, with a stream", access.Grant{Role: access.Admin, Projections: []string{"eu-*"}, Streams: []string{"US"}}, "eu-1", "eu-1", "US", false},
		{"admin", access.Grant{Role: access.Admin}, "balances balances@candidate eu-1 other", "balances balances@candidate eu-1 other", "EU_ORDERS US", true},
	} {
		tokens, _, _ := open(t, tt.grant, one)
		r, ok := tokens.Rights(one)
		if !ok {
			t.Fatalf("%s: the token is not known", tt.name)
		}
		for _, p := range []string{"balances", "balances@candidate", "eu-1", "other"} {
			if got := r.May(access.Read, p); got != contains(tt.reads, p) {
				t.Errorf("%s: may read %s: %v", tt.name, p, got)
			}
			if got := r.May(access.Admin, p); got != contains(tt.changes, p) {
				t.Errorf("%s: may change %s: %v", tt.name, p, got)
			}
		}
		for _, s := range []string{"EU_ORDERS", "US"} {
			if got := r.MayAppend(s); got != contains(tt.appends, s) {
				t.Errorf("%s: may append to %s: %v", tt.name, s, got)
			}
		}
		if r.MayEverything() != tt.everything {
			t.Errorf("%s: may everything: %v", tt.name, r.MayEverything())
		}
	}
	var nobody access.Rights
	if nobody.May(access.Read, "balances") || nobody.MayAppend("US") || nobody.MayEverything() {
		t.Error("nobody may do something")
	}
}

func contains(list, name string) bool {
	for f := range strings.FieldsSeq(list) {
		if f == name {
			return true
		}
	}
	return false
}

// A file has several tokens, so that an old one and a new one overlap; a token that is in
// two files may do what either allows.
func TestSeveralTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	readers, writers := filepath.Join(dir, "readers"), filepath.Join(dir, "writers")
	write(t, readers, "# until May\n"+one+"\n\n  "+two+"  \r\n# the end")
	write(t, writers, two+"\n"+three)
	tokens, err := access.OpenTokens([]access.Grant{{File: readers, Role: access.Read}, {File: writers, Role: access.Append}}, new(testutil.Log).Logger())
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string][2]bool{one: {true, false}, two: {true, true}, three: {false, true}} {
		r, ok := tokens.Rights(token)
		if !ok || r.May(access.Read, "p") != want[0] || r.MayAppend("S") != want[1] {
			t.Errorf("%s: known %v, reads %v, appends %v", token, ok, r.May(access.Read, "p"), r.MayAppend("S"))
		}
	}
	for _, no := range []string{"", "# until May", one + " ", one[1:], one + two} {
		if _, ok := tokens.Rights(no); ok {
			t.Errorf("%q is a token", no)
		}
	}
}

// A file that is no list of tokens is an error that names it and the line, and shows no
// token.
func TestBadTokenFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	many := strings.Repeat(one+"\n", 1001)
	for text, says := range map[string]string{
		"":                                       "no token",
		"\n# only a comment\n":                   "no token",
		one + "\nshort\n":                        "line 2: the token has 5 characters, 16 to 1024",
		strings.Repeat("x", 1025):                "line 1: the token has 1025 characters",
		one + " # a comment":                     "line 1: a token is one word",
		"\n" + one + "\u00e9":                    "line 2: a token is one word",
		many:                                     "1001 tokens, at most 1000",
		strings.Repeat(one+"\n", 1<<20/len(one)): "the limit is",
	} {
		write(t, path, text)
		_, err := access.OpenTokens([]access.Grant{{File: path, Role: access.Read}}, new(testutil.Log).Logger())
		if err == nil || !strings.Contains(err.Error(), says) || text != many && !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), one) {
			t.Errorf("%.40q: %v, want %s", text, err, says)
		}
	}
	if _, err := access.OpenTokens([]access.Grant{{File: path + ".none", Role: access.Read}}, new(testutil.Log).Logger()); err == nil || !strings.Contains(err.Error(), path+".none") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// A token that is put into the file is taken, and one that is taken out is refused, without
// a restart; while the file is none, or gone, the last good one holds, and the log says so
// once.
func TestRotation(t *testing.T) {
	t.Parallel()
	tokens, path, log := open(t, access.Grant{Role: access.Read}, one)
	is := func(token string) bool { _, ok := tokens.Rights(token); return ok }
	write(t, path, one+"\n"+two)
	testutil.Until(t, func() bool { return is(two) })
	if !is(one) {
		t.Error("the old token is refused while both are in the file")
	}
	write(t, path, two)
	testutil.Until(t, func() bool { return !is(one) })
	for what, spoil := range map[string]func(){
		"is empty": func() { write(t, path, "") },
		"is gone":  func() { _ = os.Remove(path) },
	} {
		told := strings.Count(log.String(), "cannot be read anew")
		spoil()
		testutil.Until(t, func() bool { is(two); return strings.Count(log.String(), "cannot be read anew") == told+1 })
		if !is(two) || is(one) {
			t.Errorf("the last good file does not hold while the file %s", what)
		}
	}
	write(t, path, three)
	testutil.Until(t, func() bool { return is(three) && !is(two) })
	for _, secret := range []string{one, two, three} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("a token is in the log: %s", log)
		}
	}
}

// A file that others may read or write is warned of, with what to do; one for a group is not.
func TestOpenModes(t *testing.T) {
	t.Parallel()
	for mode, warns := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o660: true, 0o602: true} {
		path := filepath.Join(t.TempDir(), "tokens")
		write(t, path, one)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		log := new(testutil.Log)
		if _, err := access.OpenTokens([]access.Grant{{File: path, Role: access.Read}}, log.Logger()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "chmod 600 "+path); got != warns {
			t.Errorf("mode %v: warned %v: %s", mode, got, log)
		}
	}
}

// Whatever is in a file, it is a list of words or an error that shows none of it.
func FuzzTokenFile(f *testing.F) {
	f.Add([]byte(one + "\n# x\n" + two))
	f.Add([]byte("\xff\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := access.FirstToken(path)
		if err == nil && (len(token) < 16 || strings.ContainsAny(token, " \t\r\n") || !bytes.Contains(b, []byte(token))) {
			t.Errorf("%q has the token %q", b, token)
		}
		if line := strings.TrimSpace(string(b)); err != nil && len(line) > 40 && strings.Contains(err.Error(), line) {
			t.Errorf("the file is in the error: %v", err)
		}
	})
}
