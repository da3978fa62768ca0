package plugins

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
)

// signer is somebody with a key.
type signer struct {
	public  minisign.PublicKey
	private minisign.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	must(t, err)
	return signer{public, private}
}

// sign makes what minisign -S writes: of the module's hash, and of the comment.
func (s signer) sign(t *testing.T, module, comment string) string {
	t.Helper()
	r := minisign.NewReader(strings.NewReader(module))
	_, err := fmt.Fscan(r, new(string))
	must(t, err)
	return string(r.SignWithComments(s.private, comment, "signature"))
}

func (s signer) id() string { return keyID(s.public.ID()) }

// A pinned module is used when it has the digest, in whatever case; another one is
// refused with both digests and what to do.
func TestPin(t *testing.T) {
	f, dir := folder(t, map[string]string{"a.wasm": "abc"})
	m, err := f.Load("a.wasm", 10)
	must(t, err)
	var none *Trust
	for _, pin := range []string{"", m.SHA256, strings.ToUpper(m.SHA256)} {
		if _, err := none.Verify(m, pin); err != nil {
			t.Errorf("pinned as %q: %v", pin, err)
		}
	}
	other := digest("abd")
	_, err = none.Verify(m, other)
	want := fmt.Sprintf("module %s/a.wasm has the SHA-256 digest %s, and %s is pinned: put the pinned one back, or set sha256 to the new digest if it is the one you mean", dir, m.SHA256, other)
	if !errors.Is(err, ErrUntrusted) || err.Error() != want {
		t.Errorf("another one:\n%v, want\n%s", err, want)
	}
}

// Of modules that are signed, and not, "require" uses those only that a trusted key has
// signed, "warn" the others with a warning that says the same, and "off" does not look.
func TestSignatures(t *testing.T) {
	ours, other, stranger := newSigner(t), newSigner(t), newSigner(t)
	valid := ours.sign(t, "abc", "timestamp:1\tfile:a.wasm")
	corrupted := []byte(valid)
	line := strings.Index(valid, "\n") + 1
	raw, err := base64.StdEncoding.DecodeString(strings.Split(valid, "\n")[1])
	must(t, err)
	raw[20] ^= 1
	copy(corrupted[line:], base64.StdEncoding.EncodeToString(raw))
	for _, tt := range []struct {
		name, signature string // "-": there is none
		signer, says    string // says: %s are the folder, and the id of our key
	}{
		{"signed", valid, ours.id() + " (timestamp:1 file:a.wasm)", ""},
		{"signed without hashing", string(minisign.SignWithComments(ours.private, []byte("abc"), "old", "x")), ours.id() + " (old)", ""},
		{"signed with the second key", other.sign(t, "abc", "x\x1b[2J\u202ey"), other.id() + " (x[2Jy)", ""},
		{"not signed", "-", "", "module %[1]s/a.wasm is not signed: there is no a.wasm.minisig beside it; sign it with: minisign -Sm %[1]s/a.wasm"},
		{"another module's", ours.sign(t, "abd", "x"), "", "signature %[1]s/a.wasm.minisig by the trusted key %[2]s is not of this module, whose SHA-256 digest is " + digest("abc") + ": one of the two was changed; sign again with: minisign -Sm %[1]s/a.wasm"},
		{"a stranger's", stranger.sign(t, "abc", "x"), "", "module %[1]s/a.wasm is signed by the key " + stranger.id() + ", and trusted are %[2]s, " + other.id() + ": sign it with one of these (minisign -Sm %[1]s/a.wasm), or add that key's public key to plugins.public_keys"},
		{"damaged", string(corrupted), "", "is not of this module"},
		{"its comment changed", strings.Replace(valid, "file:a.wasm", "file:b.wasm", 1), "", "is not of this module"},
		{"empty", "", "", "%[1]s/a.wasm.minisig is no signature of minisign"},
		{"cut off", valid[:len(valid)-10], "", "%[1]s/a.wasm.minisig is no signature of minisign"},
		{"too large", strings.Repeat("x", maxSignature+1), "", "signature %[1]s/a.wasm.minisig cannot be read: has 32769 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"a.wasm": "abc", "a.wasm.minisig": tt.signature}
			if tt.signature == "-" {
				delete(files, "a.wasm.minisig")
			}
			f, dir := folder(t, files)
			m, err := f.Load("a.wasm", 10)
			must(t, err)
			says := fmt.Sprintf(tt.says+"%.0[1]s%.0[2]s", dir, ours.id())
			keys := []string{ours.public.String(), other.public.String()}
			verify := func(s Signatures) (Verdict, error) {
				trust, err := NewTrust(s, keys)
				must(t, err)
				return trust.Verify(m, "")
			}
			refused := func(err error) bool {
				return errors.Is(err, ErrUntrusted) && strings.Contains(err.Error(), says) && !strings.Contains(err.Error(), "\n")
			}
			if v, err := verify(SignaturesOff); v != (Verdict{}) || err != nil {
				t.Errorf("off: %+v, %v", v, err)
			}
			v, err := verify(SignaturesWarn)
			if v.Signer != tt.signer || err != nil || (v.Warning != nil) != (says != "") || says != "" && !refused(v.Warning) {
				t.Errorf("warn: %+v, %v, want %s", v, err, says)
			}
			v, err = verify(SignaturesRequire)
			if v.Signer != tt.signer || v.Warning != nil || (err != nil) != (says != "") || says != "" && !refused(err) {
				t.Errorf("require: %+v, %v, want %s", v, err, says)
			}
		})
	}
}

// A signature that is being written is waited for.
func TestSignatureIsWritten(t *testing.T) {
	ours := newSigner(t)
	f, dir := folder(t, map[string]string{"a.wasm": "abc"})
	s, err := os.Create(filepath.Join(dir, "a.wasm.minisig"))
	must(t, err)
	defer s.Close()
	trust, err := NewTrust(SignaturesRequire, []string{ours.public.String()})
	must(t, err)
	m, err := f.Load("a.wasm", 10)
	must(t, err)
	if _, err := trust.Verify(m, ""); !errors.Is(err, ErrChanging) || errors.Is(err, ErrUntrusted) {
		t.Errorf("it is open for writing: %v", err)
	}
	_, err = s.WriteString(ours.sign(t, "abc", "x"))
	must(t, errors.Join(err, s.Close()))
	m, err = f.Load("a.wasm", 10)
	must(t, err)
	if v, err := trust.Verify(m, ""); err != nil || v.Signer == "" {
		t.Errorf("it is complete: %+v, %v", v, err)
	}
}

// Keys are given as they are, or by their files; what is neither is named.
func TestKeys(t *testing.T) {
	ours, other := newSigner(t), newSigner(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "minisign.pub")
	text, err := other.public.MarshalText()
	must(t, err)
	write(t, file, string(text)+"\n")
	write(t, filepath.Join(dir, "empty"), "")
	trust, err := NewTrust(SignaturesRequire, []string{ours.public.String(), file})
	if err != nil || trust.keyIDs() != ours.id()+", "+other.id() {
		t.Errorf("trusted are %s, %v", trust.keyIDs(), err)
	}
	key := ours.public.String()
	for _, tt := range []struct {
		signatures Signatures
		keys       []string
		says       string
	}{
		{"yes", nil, `plugins.signatures is "yes": use off, warn or require`},
		{SignaturesRequire, nil, `plugins.signatures is "require", and plugins.public_keys is empty: nothing could be trusted`},
		{SignaturesWarn, nil, `plugins.signatures is "warn", and plugins.public_keys is empty: nothing could be trusted`},
		{SignaturesRequire, []string{key, key[:55]}, `plugins.public_keys: "` + key[:55] + `" is neither a public key of minisign, 56 characters that begin with RW, nor the path of a file with one`},
		{SignaturesOff, []string{filepath.Join(dir, "empty")}, "plugins.public_keys: " + dir + "/empty holds no public key of minisign: name the .pub file that minisign -G wrote"},
		{SignaturesOff, []string{dir}, "plugins.public_keys: read " + dir + ": is a directory"},
	} {
		if _, err := NewTrust(tt.signatures, tt.keys); err == nil || err.Error() != tt.says {
			t.Errorf("NewTrust(%s, %s) = %v, want %s", tt.signatures, tt.keys, err, tt.says)
		}
	}
}

// A signature and a key that the original minisign made are accepted as such.
func TestMinisignItself(t *testing.T) {
	trust, err := NewTrust(SignaturesRequire, []string{minisignKey})
	must(t, err)
	m := Module{Name: "test", Folder: "x", Bytes: []byte("test"), Signature: []byte(minisignSignature)}
	if v, err := trust.Verify(m, ""); err != nil || !strings.HasPrefix(v.Signer, "E7620F1842B4E81F (timestamp:1555779966 file:test") {
		t.Errorf("%+v, %v", v, err)
	}
}

// From the documentation of jedisct1/go-minisign.
const (
	minisignKey       = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
	minisignSignature = "untrusted comment: signature from minisign secret key\n" +
		"RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n" +
		"trusted comment: timestamp:1555779966\tfile:test\n" +
		"QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n"
)
