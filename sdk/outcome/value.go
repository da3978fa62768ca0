package outcome

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxNesting is how deep JSON may be that is written as it is: decoders have limits.
const maxNesting = 500

// EncodeValue writes a value as the file does.
func EncodeValue(value string) []byte {
	switch {
	case !utf8.ValidString(value):
		return quote(value, `{"$base64":`, "}")
	case isPlain(value):
		return []byte(value)
	}
	return quoteText(value)
}

// isPlain reports whether a value is written as it is.
func isPlain(value string) bool {
	if value == "" || value[0] == '"' || strings.Count(value, "[")+strings.Count(value, "{") > maxNesting {
		return false
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(value)) != nil || compact.String() != value {
		return false
	}
	_, looksEncoded, _ := base64Of([]byte(value))
	return !looksEncoded
}

// DecodeValue is the value that EncodeValue writes as the text.
func DecodeValue(text []byte) (string, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "", errors.New("the value is missing")
	}
	if text[0] == '"' {
		var s string
		err := json.Unmarshal(text, &s)
		return s, err
	}
	value, encoded, err := base64Of(text)
	if encoded || err != nil {
		return value, err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, text)
	return compact.String(), err
}

// base64Of reads {"$base64":"…"}; ok is false when the text is something else.
func base64Of(text []byte) (value string, ok bool, err error) {
	if text[0] != '{' || !bytes.Contains(text, []byte("$base64")) {
		return "", false, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return "", false, err
	}
	raw, has := fields["$base64"]
	if !has || len(fields) != 1 || raw[0] != '"' {
		return "", false, nil
	}
	var digits string
	if err := json.Unmarshal(raw, &digits); err != nil {
		return "", true, err
	}
	b, err := base64.StdEncoding.DecodeString(digits)
	if err != nil {
		return "", true, fmt.Errorf("$base64: %w", err)
	}
	return string(b), true, nil
}

// textPrefix begins a text that is not written as it is.
const textPrefix = "base64:"

// encodeText writes a key, or another text, as a JSON string.
func encodeText(text string) []byte {
	if utf8.ValidString(text) && !strings.HasPrefix(text, textPrefix) {
		return quoteText(text)
	}
	return quoteText(textPrefix + base64.StdEncoding.EncodeToString([]byte(text)))
}

// decodeText is the text that encodeText writes as the string s.
func decodeText(s string) (string, error) {
	digits, encoded := strings.CutPrefix(s, textPrefix)
	if !encoded {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(digits)
	if err != nil {
		return "", fmt.Errorf("%q: after %q there must be base64: %w", s, textPrefix, err)
	}
	return string(b), nil
}

func quote(value, before, after string) []byte {
	return []byte(before + `"` + base64.StdEncoding.EncodeToString([]byte(value)) + `"` + after)
}

// quoteText writes UTF-8 as a JSON string, with no more escapes than JSON needs.
func quoteText(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string never fails
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
