package archive_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/archive"
	"gnomon/engine/enginetest"
	"gnomon/engine/state"
)

// small is an archive of a few rows of all kinds, in two steps.
func small(t testing.TB) []byte {
	t.Helper()
	ks := enginetest.NewKeyspace()
	h := newHistory(12, false)
	h.keys = 4
	for len(h.state) < 2 || len(h.letters) == 0 {
		h.commit(t, ks)
	}
	ck := h.last
	ck.Version, ck.Position.Sequence = ck.Version.Next(900), 900
	var err error
	if h.last, err = ks.Commit(t.Context(), state.Commit{Checkpoint: ck, Memory: [][]byte{[]byte("memory")}, KeepMemories: 1}); err != nil {
		t.Fatal(err)
	}
	h.last.Position.Sequence = 900
	h.commit(t, ks)
	h.commit(t, ks)
	return export(t, ks, h.last.Version, 0)
}

// read reads an archive to its end.
func read(file []byte) error {
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		return err
	}
	for {
		if _, _, err := r.Next(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// requireRefused fails unless a file is refused for a reason, and nothing of it imported.
func requireRefused(t *testing.T, what string, file []byte, why ...error) {
	t.Helper()
	err := read(file)
	if !slices.ContainsFunc(why, func(w error) bool { return errors.Is(err, w) }) {
		t.Errorf("%s: reading it says %v, want %v", what, err, why)
	}
	s := new(enginetest.Store)
	if _, err := load(s, file); err == nil {
		t.Errorf("%s: it is imported", what)
	}
	if _, err := s.Open(t.Context(), "p", "g", false); !errors.Is(err, state.ErrNoKeyspace) {
		t.Errorf("%s: an import leaves a keyspace: %v", what, err)
	}
}

// A bit that flips anywhere in an archive is noticed, and nothing is imported.
func TestFlippedBits(t *testing.T) {
	file := small(t)
	if err := read(file); err != nil {
		t.Fatal(err)
	}
	head, _ := blocksOf(file)
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		requireRefused(t, fmt.Sprintf("byte %d of %d", i, len(file)), bad, archive.ErrDamaged, archive.ErrFormat)
		if _, err := archive.NewReader(bytes.NewReader(bad)); err == nil && i < len(head) {
			t.Errorf("byte %d of a manifest of %d: its reader is made", i, len(head))
		}
	}
}

// An archive that ends too early, wherever, is noticed, and so is one that goes on.
func TestCutOff(t *testing.T) {
	file := small(t)
	for n := range file {
		why := archive.ErrDamaged
		if n == 0 {
			why = archive.ErrFormat
		}
		requireRefused(t, fmt.Sprintf("%d bytes of %d", n, len(file)), file[:n], why)
	}
	requireRefused(t, "a byte too many", append(bytes.Clone(file), 0), archive.ErrDamaged)
	requireRefused(t, "twice", append(bytes.Clone(file), file...), archive.ErrDamaged)
}

// On disk, too, a damaged archive leaves nothing.
func TestDamagedOnDisk(t *testing.T) {
	file := small(t)
	d := dir(t, t.TempDir())
	for i := 3; i < len(file); i += len(file)/10 + 1 {
		bad := bytes.Clone(file)
		bad[i] ^= 0x20
		if _, err := load(d, bad); !errors.Is(err, archive.ErrDamaged) && !errors.Is(err, archive.ErrFormat) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, err := load(d, file[:i]); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%d bytes: %v", i, err)
		}
		if _, err := d.Open(t.Context(), "p", "g", false); !errors.Is(err, state.ErrNoKeyspace) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	mustLoad(t, d, file)
}

// An incremental archive that is damaged leaves a keyspace at its base, and the next one
// brings it forward.
func TestDamagedIncremental(t *testing.T) {
	ks := keyspace(t, stores["disk"](t))
	h := newHistory(13, true)
	for range 20 {
		h.commit(t, ks)
	}
	base := h.freeze()
	ks.Pin(base.ck.Version)
	there := stores["disk"](t)
	mustLoad(t, there, export(t, ks, base.ck.Version, 0))
	for range 20 {
		h.commit(t, ks)
	}
	file := export(t, ks, h.last.Version, base.ck.Version)
	for _, bad := range [][]byte{file[:len(file)-1], file[:len(file)*2/3], flipped(file, len(file)-20), flipped(file, len(file)/2)} {
		if _, err := load(there, bad); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%v", err)
		}
		arrived, err := there.Open(t.Context(), "p", "g", false)
		if err != nil {
			t.Fatal(err)
		}
		base.require(t, arrived)
		if err := arrived.Close(); err != nil {
			t.Fatal(err)
		}
	}
	mustLoad(t, there, file)
	h.freeze().require(t, keyspace(t, there))
}

func flipped(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

// large is an archive of several blocks.
func large(t *testing.T, seed uint64) []byte {
	t.Helper()
	ks := enginetest.NewKeyspace()
	ks.Max = state.TxLimit{Writes: 1 << 20, Bytes: 1 << 30}
	var ck state.Checkpoint
	ck.Version, ck.Position.Sequence = state.VersionAt(5), 5
	var c state.Commit
	for i := range 8 {
		key, value := fmt.Sprint(i), newHistory(seed+uint64(i), false).noise(700_000)
		ck.Keys, ck.Bytes = ck.Keys+1, ck.Bytes+int64(len(key)+len(value))
		ck.Digest.Add(state.Term([]byte(key), value))
		c.Writes = append(c.Writes, state.Write{Key: key, Value: value})
	}
	c.Checkpoint = ck
	if _, err := ks.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return export(t, ks, ck.Version, 0)
}

// Blocks that are left out, repeated, in another order, or of another archive are noticed.
func TestReorderedBlocks(t *testing.T) {
	head, blocks := blocksOf(large(t, 1))
	_, others := blocksOf(large(t, 100))
	if len(blocks) < 6 {
		t.Fatalf("%d blocks", len(blocks))
	}
	swapped := slices.Clone(blocks)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	for what, all := range map[string][][]byte{
		"swapped":    swapped,
		"left out":   slices.Delete(slices.Clone(blocks), 2, 3),
		"repeated":   slices.Insert(slices.Clone(blocks), 2, blocks[2]),
		"of another": slices.Replace(slices.Clone(blocks), 2, 3, others[2]),
		"no rows":    blocks[len(blocks)-1:],
		"no trailer": blocks[:len(blocks)-1],
	} {
		requireRefused(t, what, append(bytes.Clone(head), bytes.Join(all, nil)...), archive.ErrDamaged)
	}
}

// noise is what does not compress.
func (h *history) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(h.rnd.Uint32())
	}
	return b
}

// blocksOf cuts a file into its head and its blocks.
func blocksOf(file []byte) (head []byte, blocks [][]byte) {
	at := 20 + int(binary.LittleEndian.Uint32(file[12:]))
	head = file[:at]
	for at < len(file) {
		end := at + 13 + int(binary.LittleEndian.Uint32(file[at+5:]))
		blocks = append(blocks, file[at:end])
		at = end
	}
	return head, blocks
}

// What is no archive, or one of a later format, is refused as that.
func TestForeignFiles(t *testing.T) {
	newer := small(t)
	binary.LittleEndian.PutUint32(newer[8:], archive.Format+1)
	for what, file := range map[string]string{
		"empty": "", "text": "this is a text", "zip": "PK\x03\x04" + strings.Repeat("\x00", 100), "newer": string(newer),
		"text mode": strings.ReplaceAll(string(small(t)), "\r\n", "\n"),
	} {
		requireRefused(t, what, []byte(file), archive.ErrFormat)
	}
	if err := read(newer); !strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "newer one") {
		t.Errorf("%v", err)
	}
}

// An archive of another projection, source, module or generation is refused, unless the
// caller does not ask for one.
func TestForeignArchives(t *testing.T) {
	r, err := archive.NewReader(bytes.NewReader(small(t)))
	if err != nil {
		t.Fatal(err)
	}
	m := r.Manifest()
	for _, c := range []struct {
		want  archive.About
		words string // empty: it is taken
	}{
		{archive.About{}, ""},
		{about, ""},
		{archive.About{Projection: "p", Module: "module"}, ""},
		{archive.About{Projection: "other"}, `projection "p", and not of "other"`},
		{archive.About{Projection: "p", Source: "other"}, `source "4567", and not of "other"`},
		{archive.About{Projection: "p", Module: "other"}, `module "module", and not of "other"`},
		{archive.About{Projection: "p", Identity: "other"}, `generation "0123", and not of "other"`},
	} {
		err := m.Check(c.want)
		if c.words == "" && err != nil || c.words != "" && (!errors.Is(err, archive.ErrForeign) || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%+v: %v", c.want, err)
		}
	}
}

// The manifest and the trailer say what an archive has.
func TestManifest(t *testing.T) {
	file := small(t)
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	m := r.Manifest()
	if m.Projection != "p" || m.Origin == nil || !m.Origin.Created.Equal(created) || !m.Full() || len(m.Steps) != 2 || m.Created.IsZero() || string(m.Settings) != `{"a":1}` {
		t.Errorf("manifest %+v", m)
	}
	if ck := m.Checkpoint(); ck.Position.Stream != "S" || ck.Position.Sequence <= 900 || ck.Version.Sequence() != ck.Position.Sequence || len(ck.Anchors) != 1 || len(ck.Memories) != 1 {
		t.Errorf("checkpoint %+v", ck)
	}
	if _, ok := r.Trailer(); ok {
		t.Error("there is a trailer before the end")
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tr, ok := r.Trailer(); !ok || len(tr.Steps) != 2 || tr.Steps[0].Keys != m.Steps[0].Checkpoint.Keys || tr.Steps[0].MemoryParts != 2 || len(tr.SHA256) != 64 {
		t.Errorf("trailer %+v, %v", tr, ok)
	}
}

// forged is an archive whose checksums match, of a manifest that is changed first.
func forged(t testing.TB, content []byte, counts []archive.Counts, change func(*archive.Manifest)) []byte {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(small(t)))
	if err != nil {
		t.Fatal(err)
	}
	m := r.Manifest()
	m.Steps = m.Steps[:1]
	m.Steps[0].Checkpoint.Memories = nil
	change(&m)
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return archive.Seal(text, content, counts)
}

// A file whose checksums match, but whose rows are not what its manifest says, or none at
// all, is refused.
func TestForged(t *testing.T) {
	none := func(m *archive.Manifest) {
		ck := &m.Steps[0].Checkpoint
		ck.Keys, ck.Bytes, ck.Digest, ck.Aside.Letters = 0, 0, state.Digest{}, 0
	}
	one := []archive.Counts{{}}
	if _, err := load(new(enginetest.Store), forged(t, []byte{6}, one, none)); err != nil {
		t.Fatalf("nothing at all: %v", err)
	}
	row := "\x01\x01k\x01v"
	for _, c := range []struct {
		name    string
		content string
		counts  []archive.Counts
		change  func(*archive.Manifest)
		want    error
	}{
		{"another digest", "\x06", one, func(m *archive.Manifest) { none(m); m.Steps[0].Checkpoint.Digest[1]++ }, state.ErrContent},
		{"rows that are not counted", row + "\x06", []archive.Counts{{Keys: 1}}, none, state.ErrContent},
		{"counts of other rows", "\x06", []archive.Counts{{Keys: 1}}, none, archive.ErrDamaged},
		{"counts of other steps", "\x06", []archive.Counts{{}, {}}, none, archive.ErrDamaged},
		{"no end of a step", "", one, none, archive.ErrDamaged},
		{"a step too many", "\x06\x06", one, none, archive.ErrDamaged},
		{"a row after the end", "\x06" + row, one, none, archive.ErrDamaged},
		{"half a row", "\x01\x05ke", one, none, archive.ErrDamaged},
		{"a row of no kind", "\x63\x06", one, none, archive.ErrDamaged},
		{"an endless number", "\x01" + strings.Repeat("\xff", 11), one, none, archive.ErrDamaged},
		{"a key too large", "\x01" + uvarint(archive.MaxKey+1), one, none, archive.ErrDamaged},
		{"a value too large", "\x01\x01k" + uvarint(archive.MaxValue+1), one, none, archive.ErrDamaged},
		{"a deletion in a full archive", "\x02\x01k\x06", []archive.Counts{{Deleted: 1}}, none, state.ErrContent},
		{"a memory that is not listed", "\x05\x01m\x06", []archive.Counts{{MemoryParts: 1}}, none, state.ErrContent},
		{"no steps", "\x06", one, func(m *archive.Manifest) { m.Steps = nil }, archive.ErrDamaged},
		{"many steps", "\x06", one, func(m *archive.Manifest) { m.Steps = make([]archive.Point, 100) }, archive.ErrDamaged},
		{"a memory from nowhere", "\x06", one, func(m *archive.Manifest) { m.Steps[0].Checkpoint.Memories = []state.Memory{{Version: 1}} }, archive.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := forged(t, []byte(c.content), c.counts, c.change)
			s := new(enginetest.Store)
			if _, err := load(s, file); !errors.Is(err, c.want) {
				t.Errorf("import: %v, want %v", err, c.want)
			}
			if _, err := s.Open(t.Context(), "p", "g", false); !errors.Is(err, state.ErrNoKeyspace) {
				t.Errorf("there is a keyspace: %v", err)
			}
		})
	}
}

func uvarint(n uint64) string { return string(binary.AppendUvarint(nil, n)) }

// What a file claims takes no memory before it is there.
func TestClaimsTakeNoMemory(t *testing.T) {
	intact := small(t)
	claims := map[string][]byte{
		"value":    forged(t, []byte("\x01\x01k"+uvarint(archive.MaxValue)+"short"), nil, func(*archive.Manifest) {}),
		"manifest": append(bytes.Clone(intact[:12]), 0, 0, 0x40, 0),
		"block":    append(blockHead(intact), 'R', 0, 0, 0x10, 0, 0, 0, 0x10, 0, 1, 2, 3),
		"bomb":     append(blockHead(intact), 'R', 0xff, 0xff, 0xff, 0xff, 0, 0, 0x10, 0, 1, 2, 3),
	}
	for what, file := range claims {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read(file)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 12<<20 {
			t.Errorf("%s: it took %d bytes", what, used)
		}
	}
}

func blockHead(file []byte) []byte {
	head, _ := blocksOf(file)
	return bytes.Clone(head)
}

// Whatever a manifest and rows are, reading them does not panic, and what is imported is
// what the manifest says.
func FuzzContent(f *testing.F) {
	file := small(f)
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(r.Manifest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, []byte("\x01\x01k\x01v\x06\x06"), 1)
	f.Add(text, []byte("\x01\x01k\x01v\x02\x01l\x03\x08aaaaaaaa\x01v\x05\x02mm\x06\x06"), 2)
	f.Add([]byte(`{"steps":[{"version":65536,"checkpoint":{}}]}`), []byte("\x06"), 1)
	f.Fuzz(func(t *testing.T, manifest, content []byte, steps int) {
		if len(manifest) > 1<<20 {
			return
		}
		file := archive.Seal(manifest, content, make([]archive.Counts, min(max(0, steps), 3)))
		s := new(enginetest.Store)
		ck, err := load(s, file)
		if err != nil {
			return
		}
		ks, err := s.Open(t.Context(), "p", "g", false)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := load(new(enginetest.Store), export(t, ks, ck.Version, 0)); err != nil || again.Digest != ck.Digest {
			t.Fatalf("what was imported cannot travel on: %v", err)
		}
	})
}

// Whatever a file is, reading it does not panic.
func FuzzFile(f *testing.F) {
	f.Add(small(f))
	f.Fuzz(func(t *testing.T, file []byte) { _ = read(file) })
}
