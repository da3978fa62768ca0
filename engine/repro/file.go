package repro

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Names of the files in a bundle.
const (
	manifestFile = "manifest.json"
	moduleFile   = "module.wasm"
	settingsFile = "settings.json"
	eventFile    = "event.bin"
	stateFile    = "state.jsonl"
	memoryFile   = "memory/%04d"
)

// Bounds of a file. Read refuses what is larger, whatever a file says of itself.
const (
	MaxFile     = 1 << 30 // bytes, packed
	maxUnpacked = 2 << 30 // of all files in it
	maxManifest = 1 << 20 // of the manifest
	maxFiles    = 10_000  // in it
)

// part is a file in a bundle.
type part struct {
	name  string
	bytes []byte
}

// Write writes the bundle to one file.
func (b *Bundle) Write(w io.Writer) error {
	state, err := writeFacts(b.Facts)
	if err != nil {
		return err
	}
	parts := []part{{moduleFile, b.Module}, {settingsFile, b.Settings}, {eventFile, b.Event}, {stateFile, state}}
	for i, blob := range b.Memory {
		parts = append(parts, part{fmt.Sprintf(memoryFile, i), blob})
	}
	m := b.Manifest
	m.Files = map[string]string{}
	for _, p := range parts {
		m.Files[p.name] = digestOf(p.bytes)
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, p := range append([]part{{manifestFile, append(manifest, '\n')}}, parts...) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Deflate, Modified: m.Created})
		if err != nil {
			return err
		}
		if _, err := f.Write(p.bytes); err != nil {
			return err
		}
	}
	return z.Close()
}

func writeFacts(facts []Fact) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for _, f := range facts {
		if err := e.Encode(f); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// Read reads a bundle of at most MaxFile bytes. It fails with ErrDamaged unless the file
// is as it was written.
func Read(file []byte) (*Bundle, error) {
	if len(file) > MaxFile {
		return nil, damaged("it has %d bytes, more than %d", len(file), MaxFile)
	}
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, damaged("it is no zip file: %w", err)
	}
	if len(z.File) > maxFiles {
		return nil, damaged("it has %d files, more than %d", len(z.File), maxFiles)
	}
	u := &unpacking{left: maxUnpacked, files: map[string]*zip.File{}}
	for _, f := range z.File {
		if u.files[f.Name] != nil {
			return nil, damaged("it has %q twice", f.Name)
		}
		u.files[f.Name] = f
	}
	m, err := u.manifest()
	if err != nil {
		return nil, err
	}
	return u.bundle(m)
}

// unpacking is a bundle that is being read.
type unpacking struct {
	files map[string]*zip.File
	left  int64 // bytes that may be unpacked yet
}

// manifest reads what the rest is held against.
func (u *unpacking) manifest() (Manifest, error) {
	var m Manifest
	text, err := u.unpack(manifestFile, maxManifest)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, damaged("%s: %w", manifestFile, err)
	}
	switch {
	case m.Format != Format:
		return m, damaged("%s: format is %.100q, not %q", manifestFile, m.Format, Format)
	case m.Version < 1 || m.Version > Version:
		return m, fmt.Errorf("the bundle has version %d of the format, made by engine %.100s: this engine reads versions up to %d", m.Version, m.Engine, Version)
	}
	for name := range u.files {
		if m.Files[name] == "" && name != manifestFile {
			return m, damaged("it has %.200q, which its manifest has not", name)
		}
	}
	return m, nil
}

// unpack reads one file, of at most limit bytes.
func (u *unpacking) unpack(name string, limit int64) ([]byte, error) {
	f := u.files[name]
	if f == nil {
		return nil, damaged("it lacks %s", name)
	}
	limit = min(limit, u.left)
	r, err := f.Open()
	if err != nil {
		return nil, damaged("%s: %w", name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, damaged("%s: %w", name, err)
	case int64(len(b)) > limit:
		return nil, damaged("%s has more than %d bytes", name, limit)
	}
	u.left -= int64(len(b))
	return b, nil
}

// bundle reads everything else.
func (u *unpacking) bundle(m Manifest) (*Bundle, error) {
	b := &Bundle{Manifest: m}
	state, memory := []byte(nil), map[string][]byte{}
	for name, want := range m.Files {
		text, err := u.unpack(name, maxUnpacked)
		if err != nil {
			return nil, err
		}
		if got := digestOf(text); got != want {
			return nil, damaged("%s has the SHA-256 %s, the manifest says %s", name, got, want)
		}
		switch {
		case name == moduleFile:
			b.Module = text
		case name == settingsFile:
			b.Settings = text
		case name == eventFile:
			b.Event = text
		case name == stateFile:
			state = text
		case strings.HasPrefix(name, "memory/"):
			memory[name] = text
		default:
			return nil, damaged("it has %.200q, which this engine does not know", name)
		}
	}
	if err := b.takeMemory(memory); err != nil {
		return nil, err
	}
	var err error
	if b.Facts, err = readFacts(state); err != nil {
		return nil, err
	}
	return b, b.check()
}

// takeMemory puts blobs in their order.
func (b *Bundle) takeMemory(blobs map[string][]byte) error {
	for i := range len(blobs) {
		blob, ok := blobs[fmt.Sprintf(memoryFile, i)]
		if !ok {
			return damaged("it lacks "+memoryFile, i)
		}
		b.Memory = append(b.Memory, blob)
	}
	return nil
}

// check holds what was read against each other.
func (b *Bundle) check() error {
	for _, name := range []string{moduleFile, settingsFile, eventFile, stateFile} {
		if b.Manifest.Files[name] == "" {
			return damaged("it lacks %s", name)
		}
	}
	if digest := b.Manifest.Files[moduleFile]; digest != b.Manifest.Module {
		return damaged("%s is the module %s, the manifest is about %s", moduleFile, digest, b.Manifest.Module)
	}
	if !json.Valid(b.Settings) {
		return damaged("%s is not JSON", settingsFile)
	}
	if n := recordsOf(b.Event, b.Manifest.Sequence); n == 0 || n > 1 && b.Manifest.Version == 1 {
		return damaged("%s is not the event %d", eventFile, b.Manifest.Sequence)
	}
	return nil
}

// recordsOf counts records; it returns 0 unless all are of a sequence.
func recordsOf(event []byte, sequence uint64) (n int) {
	for ; len(event) > 0; n++ {
		e, rest, err := abi.Next(event)
		if err != nil || e.Sequence != sequence {
			return 0
		}
		event = rest
	}
	return n
}

// readFacts reads the lines of a state.
func readFacts(state []byte) (facts []Fact, err error) {
	d := json.NewDecoder(bytes.NewReader(state))
	d.DisallowUnknownFields()
	for n := 1; ; n++ {
		var f Fact
		err := d.Decode(&f)
		if errors.Is(err, io.EOF) {
			return facts, nil
		}
		if err == nil {
			err = f.check()
		}
		if err != nil {
			return nil, damaged("%s: fact %d: %w", stateFile, n, err)
		}
		facts = append(facts, f)
	}
}

// check refuses a fact that says nothing, or contradicts itself.
func (f *Fact) check() error {
	switch {
	case (f.Get == nil) == (f.From == nil):
		return errors.New("exactly one of get and from is needed")
	case f.Get != nil && (f.To != nil || f.Rows != nil), f.From != nil && f.Value != nil:
		return errors.New("it is about a key and about a range")
	case f.Get != nil:
		return nil
	case f.To != nil && bytes.Compare(*f.From, *f.To) > 0:
		return errors.New("the range ends before it begins")
	}
	in := func(r Row) bool {
		return bytes.Compare(r.Key, *f.From) >= 0 && (f.To == nil || bytes.Compare(r.Key, *f.To) < 0)
	}
	for i, r := range f.Rows {
		if !in(r) || i > 0 && bytes.Compare(f.Rows[i-1].Key, r.Key) >= 0 {
			return fmt.Errorf("row %d is out of its range, or out of order", i)
		}
	}
	return nil
}

var (
	_ state.Rows = (*Recorder)(nil)
	_ state.Rows = (*Replay)(nil)
)
