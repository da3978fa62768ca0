package jsonfields

import (
	"unicode/utf16"
	"unicode/utf8"
)

// AppendQuoted appends text as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
//
// It is the form of RFC 8785, section 3.2.2.2, which JavaScript's JSON.stringify has: no
// more is escaped than must be, and with two characters where there is such an escape.
func AppendQuoted[T ~string | ~[]byte](dst []byte, text T) []byte {
	const short = "\x00\x00\x00\x00\x00\x00\x00\x00btn\x00fr" // by control character, up to \r
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		run := i
		for i < len(text) && plainText[text[i]] {
			i++
		}
		if dst = append(dst, text[run:i]...); i == len(text) {
			break
		}
		switch c := text[i]; {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune([]byte(text[i:min(i+utf8.UTFMax, len(text))]))
			dst = utf8.AppendRune(dst, r)
			i += n - 1
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case int(c) < len(short) && short[c] != 0:
			dst = append(dst, '\\', short[c])
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
	}
	return append(dst, '"')
}

// appendUnescaped appends what a JSON string says. s stands between the quotes and
// was checked. Bytes that are not UTF-8, and halves of surrogate pairs, become
// U+FFFD, as in encoding/json.
func appendUnescaped(dst, s []byte) []byte {
	for len(s) > 0 {
		switch c := s[0]; {
		case c == '\\' && s[1] == 'u':
			r, n := unescapeRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[n:]
		case c == '\\':
			dst = append(dst, unescapeByte(s[1]))
			s = s[2:]
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			s = s[1:]
		default:
			r, n := utf8.DecodeRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[n:]
		}
	}
	return dst
}

func unescapeByte(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a slash or a backslash
}

// unescapeRune reads the escape \uXXXX at the start of s, or two that are a
// surrogate pair, and returns its length.
func unescapeRune(s []byte) (r rune, n int) {
	r = hex4(s)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if pair := utf16.DecodeRune(r, hex4(s[6:])); pair != utf8.RuneError {
		return pair, 12
	}
	return utf8.RuneError, 6
}

// hex4 is the number in the escape \uXXXX at the start of s, or -1 when it is none.
func hex4(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range s[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
