package plugins

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"aead.dev/minisign"
)

// Signatures says what is made of modules that no trusted key has signed.
type Signatures string

// The values of plugins.signatures.
const (
	SignaturesOff     Signatures = "off"     // nobody looks
	SignaturesWarn    Signatures = "warn"    // they are used, and the log tells
	SignaturesRequire Signatures = "require" // they are refused
)

// ErrUntrusted says that a module is not the pinned one, or is not signed as it has to be.
var ErrUntrusted = errors.New("module is not trusted")

// Trust says whose modules are used. The zero value, and nil, ask for no signatures.
type Trust struct {
	signatures Signatures
	keys       []minisign.PublicKey
}

// NewTrust makes a Trust of public keys of minisign: keys themselves, such as "RWQ…", or
// paths of files that hold one, as minisign writes them.
func NewTrust(s Signatures, keys []string) (*Trust, error) {
	switch s {
	case SignaturesOff, SignaturesWarn, SignaturesRequire:
	default:
		return nil, fmt.Errorf("plugins.signatures is %q: use off, warn or require", string(s))
	}
	t := &Trust{signatures: s}
	for _, k := range keys {
		key, err := publicKey(k)
		if err != nil {
			return nil, fmt.Errorf("plugins.public_keys: %w", err)
		}
		t.keys = append(t.keys, key)
	}
	if s != SignaturesOff && len(t.keys) == 0 {
		return nil, fmt.Errorf("plugins.signatures is %q, and plugins.public_keys is empty: nothing could be trusted", string(s))
	}
	return t, nil
}

// publicKey reads a key, or the file that holds it.
func publicKey(text string) (minisign.PublicKey, error) {
	var key minisign.PublicKey
	if err := key.UnmarshalText([]byte(text)); err == nil {
		return key, nil
	}
	b, err := os.ReadFile(text)
	if errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("%q is neither a public key of minisign, 56 characters that begin with RW, nor the path of a file with one", text)
	}
	if err != nil {
		return key, err
	}
	if err := key.UnmarshalText([]byte(strings.TrimSpace(string(b)))); err != nil {
		return key, fmt.Errorf("%s holds no public key of minisign: name the .pub file that minisign -G wrote", text)
	}
	return key, nil
}

// Verdict says why a module is used.
type Verdict struct {
	// Signer is the id of the trusted key that signed it, and the comment that its owner
	// signed with it; empty when none did, or nobody looked.
	Signer string
	// Warning says what would be a refusal if signatures were required; nil: nothing.
	Warning error
}

// Verify holds a module against a pin, its SHA-256 digest in hex or "" for none, and
// against the signatures that are asked for. It fails with ErrUntrusted, or with
// ErrChanging when the signature is being written just now.
func (t *Trust) Verify(m Module, pin string) (Verdict, error) {
	if pin != "" && !strings.EqualFold(pin, m.SHA256) {
		return Verdict{}, untrusted("module %s has the SHA-256 digest %s, and %s is pinned: put the pinned one back, or set sha256 to the new digest if it is the one you mean", m.path(), m.SHA256, pin)
	}
	if t == nil || cmp.Or(t.signatures, SignaturesOff) == SignaturesOff {
		return Verdict{}, nil
	}
	signer, err := t.signer(m)
	if err != nil && t.signatures == SignaturesWarn {
		return Verdict{Warning: err}, nil
	}
	return Verdict{Signer: signer}, err
}

// signer says who signed a module.
func (t *Trust) signer(m Module) (string, error) {
	file, again := m.path()+".minisig", "minisign -Sm "+m.path()
	switch {
	case m.unsigned != nil && !errors.Is(m.unsigned, ErrChanging):
		return "", untrusted("signature %s cannot be read: %w", file, m.unsigned)
	case m.unsigned != nil:
		return "", fmt.Errorf("signature %s %w", file, m.unsigned)
	case m.Signature == nil:
		return "", untrusted("module %s is not signed: there is no %s beside it; sign it with: %s", m.path(), m.signatureName(), again)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(m.Signature); err != nil {
		return "", untrusted("%s is no signature of minisign (%w); sign again with: %s", file, err, again)
	}
	known := false
	for _, key := range t.keys {
		if key.ID() != s.KeyID {
			continue
		}
		known = true
		if minisign.Verify(key, m.Bytes, m.Signature) {
			return signedBy(s), nil
		}
	}
	if !known {
		return "", untrusted("module %s is signed by the key %s, and trusted are %s: sign it with one of these (%s), or add that key's public key to plugins.public_keys",
			m.path(), keyID(s.KeyID), t.keyIDs(), again)
	}
	return "", untrusted("signature %s by the trusted key %s is not of this module, whose SHA-256 digest is %s: one of the two was changed; sign again with: %s",
		file, keyID(s.KeyID), m.SHA256, again)
}

// untrusted makes an ErrUntrusted that says only why.
func untrusted(format string, args ...any) error {
	return &untrustedError{fmt.Errorf(format, args...)}
}

type untrustedError struct{ error }

func (e *untrustedError) Is(target error) bool { return target == ErrUntrusted }
func (e *untrustedError) Unwrap() error        { return e.error }

// signedBy is in one line, whatever the comment is.
func signedBy(s minisign.Signature) string {
	comment := strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s.TrustedComment)
	return keyID(s.KeyID) + " (" + comment + ")"
}

// keyID writes the id of a key as minisign does.
func keyID(id uint64) string { return fmt.Sprintf("%X", id) }

func (t *Trust) keyIDs() string {
	ids := make([]string, len(t.keys))
	for i, k := range t.keys {
		ids[i] = keyID(k.ID())
	}
	return strings.Join(ids, ", ")
}
