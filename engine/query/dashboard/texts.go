package dashboard

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// digits writes a number as an address has it.
func digits(n uint64) string { return strconv.FormatUint(n, 10) }

// keyQuery is a key in an address.
func keyQuery(key []byte) string {
	if utf8.Valid(key) {
		return "key=" + url.QueryEscape(string(key))
	}
	return "key_b64=" + url.QueryEscape(base64.StdEncoding.EncodeToString(key))
}

// aboutKey is a key among the parameters of a button.
func aboutKey(key []byte) []string {
	if utf8.Valid(key) {
		return []string{"key", string(key)}
	}
	return []string{"key_b64", base64.StdEncoding.EncodeToString(key)}
}

// visible is a text with escapes for what a page would not show as it is: controls, which have
// no shape, and those that turn the direction of what follows, so that it reads as another text.
func visible(text string) string {
	if !strings.ContainsFunc(text, misleads) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if misleads(r) {
			fmt.Fprintf(&b, `\u%04x`, r) // which JSON has, too
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func misleads(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r'
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
