package dashboard

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is how much of a value a page shows; the API has all of it.
const maxShown = 16 << 10

// digits writes a number as an address has it.
func digits(n uint64) string { return strconv.FormatUint(n, 10) }

// oneLine is bytes in one line for people: text as it is, anything else quoted.
func oneLine(b []byte) string {
	if utf8.Valid(b) && bytes.IndexFunc(b, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return string(b)
	}
	return strconv.Quote(string(b))
}

// readableText is a value for people: JSON indented, text as it is, anything else quoted.
func readableText(b []byte) string {
	cut := ""
	var out bytes.Buffer
	if len(b) > maxShown {
		b, cut = b[:maxShown], "\n… cut here; the API has all of it"
	} else if utf8.Valid(b) && json.Indent(&out, b, "", "  ") == nil {
		b = out.Bytes()
	}
	text := strings.ToValidUTF8(string(b), "\uFFFD")
	if strings.IndexFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) >= 0 {
		text = strconv.Quote(string(b))
	}
	return text + cut
}

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
