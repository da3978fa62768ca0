package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

const (
	minToken  = 16 // characters
	maxToken  = 1024
	maxTokens = 1000 // in all files
)

// Tokens are those of some files, and what each of them may do. It is safe for concurrent
// use.
type Tokens struct{ known fresh[[]token] }

type token struct {
	sum   [sha256.Size]byte
	grant Grant
}

// OpenTokens reads the files of some grants: one token a line, of 16 to 1024 visible
// characters; empty lines, and those that begin with #, do not count. They are read again,
// within about a second, when their content changes: while that is no list of tokens, the
// last one that was holds. Errors and the log name files and lines, never a token.
func OpenTokens(grants []Grant, log *slog.Logger) (*Tokens, error) {
	t := &Tokens{fresh[[]token]{what: "tokens", log: log}}
	for _, g := range grants {
		t.known.files = append(t.known.files, g.File)
	}
	t.known.make = func(contents [][]byte) ([]token, error) {
		var all []token
		for i, b := range contents {
			tokens, err := parseTokens(string(b))
			if err != nil {
				return nil, fmt.Errorf("token file %s: %w", grants[i].File, err)
			}
			for _, text := range tokens {
				all = append(all, token{sha256.Sum256([]byte(text)), grants[i]})
			}
		}
		if len(all) > maxTokens {
			return nil, fmt.Errorf("the token files have %d tokens, at most %d are taken: every request is compared with all of them", len(all), maxTokens)
		}
		warnOfModes(t.known.files, log)
		return all, nil
	}
	return t, t.known.open()
}

// errNoToken is about a file without one: an empty file is a mistake, and not the way to
// let nobody in.
var errNoToken = errors.New("it has no token; make one with: openssl rand -hex 32")

func parseTokens(text string) (tokens []string, err error) {
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }):
			return nil, fmt.Errorf("line %d: a token is one word of visible ASCII characters; a comment is a line of its own, and begins with #", i+1)
		case len(line) < minToken, len(line) > maxToken:
			return nil, fmt.Errorf("line %d: the token has %d characters, %d to %d are needed; make one with: openssl rand -hex 32", i+1, len(line), minToken, maxToken)
		default:
			tokens = append(tokens, line)
		}
	}
	if len(tokens) == 0 {
		return nil, errNoToken
	}
	return tokens, nil
}

// FirstToken is the first token of a file: of several that overlap, the one to use.
func FirstToken(file string) (string, error) {
	f := fresh[string]{files: []string{file}, make: func(contents [][]byte) (string, error) {
		tokens, err := parseTokens(string(contents[0]))
		if err != nil {
			return "", fmt.Errorf("token file %s: %w", file, err)
		}
		return tokens[0], nil
	}}
	if err := f.open(); err != nil {
		return "", err
	}
	return *f.value.Load(), nil
}

// othersMay are the permissions that a file with a secret should not have: to be read by
// everybody, or written by anybody else. That a group reads it may be how it comes to the
// engine.
const othersMay = 0o027

func warnOfModes(files []string, log *slog.Logger) {
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&othersMay != 0 {
			log.Warn("a file with a secret is open to others", "file", file, "mode", info.Mode().Perm().String(), "hint", "chmod 600 "+file)
		}
	}
}

// Trouble says why the files are not taken as they are by now, such as one without a token,
// and what was read before holds; empty: they are. It names files and lines, never a token.
func (t *Tokens) Trouble() string { return t.known.trouble() }

// Rights returns what a token may do; ok is false when it is none of them. All of them are
// compared, by their hashes, so that the time that takes tells nothing of any.
func (t *Tokens) Rights(given string) (r Rights, ok bool) {
	sum := sha256.Sum256([]byte(given))
	for _, k := range t.known.get() {
		if subtle.ConstantTimeCompare(sum[:], k.sum[:]) == 1 {
			r.grants = append(r.grants, k.grant)
		}
	}
	return r, len(r.grants) > 0
}
