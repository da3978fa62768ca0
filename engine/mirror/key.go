package mirror

import (
	"encoding/hex"
	"errors"
	"strings"
)

// MarkerKey is the key of what the bucket reflects, in JSON: a Marker. It is the encoding of
// no key.
const MarkerKey = "=gnomon"

// maxKey is the longest encoded key that is mirrored: a server ends the connection of a
// client that names a subject longer than its max_control_line, 4096 by default.
const maxKey = 2000

// ErrKey says that a key of a bucket is the encoding of no key.
var ErrKey = errors.New("is not an encoded key")

// EncodeKey returns the key of a bucket that stands for a key of the state: letters, digits
// and - / _ stand for themselves, and so does a dot within the key that does not follow
// another one. Any other byte is = with two hex digits, as in quoted-printable, and so is the
// first of a key that begins with _kv, which is reserved. The empty key is "=".
func EncodeKey(key []byte) string {
	if len(key) == 0 {
		return "="
	}
	var b strings.Builder
	reserved := strings.HasPrefix(string(key), "_kv")
	for i, c := range key {
		dot := c == '.' && i > 0 && i < len(key)-1 && key[i-1] != '.'
		if dot || plain(c) && (i > 0 || !reserved) {
			b.WriteByte(c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b.WriteByte('=')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '/' || c == '_'
}

// DecodeKey is the inverse of EncodeKey. It fails with ErrKey for what that does not return.
func DecodeKey(text string) ([]byte, error) {
	if text == "=" {
		return []byte{}, nil
	}
	key := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '=' {
			key = append(key, text[i])
			continue
		}
		if i+3 > len(text) {
			return nil, ErrKey
		}
		c, err := hex.DecodeString(text[i+1 : i+3])
		if err != nil {
			return nil, ErrKey
		}
		key, i = append(key, c[0]), i+2
	}
	if EncodeKey(key) != text {
		return nil, ErrKey
	}
	return key, nil
}
