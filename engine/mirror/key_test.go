package mirror_test

import (
	"bytes"
	"errors"
	"regexp"
	"testing"

	"gnomon/engine/mirror"
)

// Keys are encoded as the documentation says, so that a client finds them.
func TestEncodeKey(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"total", "total"},
		{"orders/17-a_b", "orders/17-a_b"},
		{"a.b", "a.b"},
		{".a..b.", "=2Ea.=2Eb=2E"},
		{"follows\tx y", "follows=09x=20y"},
		{"a=b", "a=3Db"},
		{"ü>*", "=C3=BC=3E=2A"},
		{"_kv_x", "=5Fkv_x"},
		{"", "="},
		{"\x00\xff", "=00=FF"},
	} {
		if got := mirror.EncodeKey([]byte(c.key)); got != c.want {
			t.Errorf("%q is encoded as %s, want %s", c.key, got, c.want)
		}
	}
	for _, text := range []string{"", mirror.MarkerKey, "=4", "=zz", "=61", "=2e", "a..b", "a b", "_kv"} {
		if key, err := mirror.DecodeKey(text); !errors.Is(err, mirror.ErrKey) && text != "" {
			t.Errorf("%q is decoded as %q, %v", text, key, err)
		}
	}
}

// allowed is what NATS takes as a key of a bucket: no empty token between dots, either.
var allowed = regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)

// Any key is encoded as one that a bucket takes, and decoded as it was.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"", "a", "..", "a.", "=", "_kv", "=gnomon", "\xff"} {
		f.Add([]byte(key))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		text := mirror.EncodeKey(key)
		if !allowed.MatchString(text) || text == mirror.MarkerKey {
			t.Errorf("%q is encoded as %s", key, text)
		}
		again, err := mirror.DecodeKey(text)
		if err != nil || !bytes.Equal(again, key) {
			t.Errorf("%q, encoded as %s, is decoded as %q, %v", key, text, again, err)
		}
		if other, err := mirror.DecodeKey(string(key)); err == nil && mirror.EncodeKey(other) != string(key) {
			t.Errorf("%q is decoded as %q, which is encoded as %s", key, other, mirror.EncodeKey(other))
		}
	})
}
