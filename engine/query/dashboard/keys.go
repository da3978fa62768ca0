package dashboard

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gnomon/engine/query/wire"
)

// keyText is a key for a person: what has no shape has a sign or an escape, and bytes that
// are no text are in hex.
func keyText(key []byte) string {
	if !utf8.Valid(key) {
		return "0x" + hex.EncodeToString(key)
	}
	var b strings.Builder
	for _, r := range string(key) {
		switch {
		case r == '\t':
			b.WriteRune('⇥')
		case r == '\n':
			b.WriteRune('⏎')
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		default: // controls, and those that turn the direction of what follows
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// setKey puts a key into the query of an address, as text where it is one.
func setKey(q url.Values, name string, key []byte) {
	switch {
	case len(key) == 0:
	case utf8.Valid(key):
		q.Set(name, string(key))
	default:
		q.Set(name+"_b64", base64.StdEncoding.EncodeToString(key))
	}
}

// keyOf reads a key of the query of an address.
func keyOf(q url.Values, name string) ([]byte, error) {
	text := q.Get(name + "_b64")
	if text == "" {
		return []byte(q.Get(name)), nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, badRequest("%s_b64 is %.80q: it must be base64", name, text)
	}
	return key, nil
}

// numberOf reads a number of the query of an address; 0: there is none.
func numberOf(q url.Values, name string) (uint64, error) {
	text := strings.TrimSpace(q.Get(name))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 47)
	if err != nil {
		return 0, badRequest("%s is %.80q: it must be a sequence of the stream", name, text)
	}
	return n, nil
}

func badRequest(format string, args ...any) error {
	return &wire.Problem{Status: http.StatusBadRequest, Title: http.StatusText(http.StatusBadRequest), Code: wire.CodeBadRequest, Detail: fmt.Sprintf(format, args...)}
}

// tabAddress is that of a tab of a projection, with a query.
func tabAddress(projection, tab string, q url.Values) string {
	address := "/ui/projections/" + pathOf(projection) + "/" + tab
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	return address
}

// keyAddress is that of a tab about a key, as of a point; empty: now.
func keyAddress(projection, tab string, key []byte, at string) string {
	q := url.Values{}
	setKey(q, "key", key)
	if at != "" {
		q.Set("at", at)
	}
	return tabAddress(projection, tab, q)
}

// with is a query with some values changed; an empty one is taken out.
func with(q url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for name, values := range q {
		out[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if out.Del(pairs[i]); pairs[i+1] != "" {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	return out
}

// apiPath is a path of the API with a query, for a command that is to be copied.
func apiPath(projection, below string, q url.Values) string {
	path := "/v1/projections/" + pathOf(projection) + "/" + below
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return path
}

// quotedKey is a key as a word for a shell, which has an escape for bytes ($'…') where a key
// is no plain text.
func quotedKey(key []byte) string {
	if utf8.Valid(key) && !strings.ContainsFunc(string(key), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return quoted(string(key))
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range key {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + "'"
}

// flags are those of a command, given as name and value in turns; the ones without a value
// are left out.
func flags(pairs ...string) string {
	text := ""
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			text += " --" + pairs[i] + " " + pairs[i+1]
		}
	}
	return text
}
