package bucket

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// entry is one of a tar file.
type entry struct {
	name, body string
	kind       byte
	link       string
}

// packed makes a tar file of anything.
func packed(t testing.TB, entries ...entry) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Size: int64(len(e.body)), Typeflag: e.kind, Linkname: e.link, Mode: 0o777}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// hostile are objects that are no deployments, by what is said of them.
func hostile(t testing.TB) map[string]string {
	wasm := entry{name: "bad.wasm", body: "x"}
	return map[string]string{
		strings.Repeat("\x00", 1024): "it holds no file bad.wasm",
		"":                           "it is no tar file, or a part of one",
		packed(t, entry{name: "bad.wasm", body: strings.Repeat("x", 3000)})[:2000] + strings.Repeat("\x00", 1024): "ends within",
		"this is no tar file":                      "it is no tar file",
		packed(t):                                  "it holds no file bad.wasm",
		packed(t, wasm)[:600]:                      "it is no tar file, or a part of one",
		packed(t, wasm)[:512]:                      "it is no tar file, or a part of one",
		packed(t, wasm, wasm):                      `it holds "bad.wasm" twice`,
		packed(t, entry{name: "other.wasm"}):       `it holds a file "other.wasm", and may hold bad.wasm, bad.toml, bad.wasm.minisig`,
		packed(t, wasm, entry{name: "x.toml"}):     `it holds a file "x.toml"`,
		packed(t, wasm, entry{name: "../bad"}):     `it holds a file "../bad"`,
		packed(t, wasm, entry{name: "/etc/bad"}):   `it holds a file "/etc/bad"`,
		packed(t, wasm, entry{name: "./bad.toml"}): `it holds a file "./bad.toml"`,
		packed(t, entry{name: "bad.wasm", kind: tar.TypeSymlink, link: "/etc/passwd"}):             `or not as a regular file`,
		packed(t, entry{name: "bad.wasm", kind: tar.TypeLink, link: "../../secret"}):               `or not as a regular file`,
		packed(t, wasm, entry{name: "bad.toml", kind: tar.TypeDir}):                                `or not as a regular file`,
		packed(t, entry{name: "bad.wasm", kind: tar.TypeFifo}):                                     `or not as a regular file`,
		packed(t, entry{name: "a"}, entry{name: "b"}, entry{name: "c"}, entry{name: "d"}, entry{}): `or not as a regular file`,
	}
}

// Whatever is put into the bucket, by whomever: what is no deployment is refused, once in
// the log and with the reason, nothing is written beside the folder, and what is a
// deployment is mirrored.
func TestHostileObjects(t *testing.T) {
	r := newRig(t)
	r.deploy("count", "v1")
	objects, err := r.js.ObjectStore(t.Context(), modules)
	must(t, err)
	for _, name := range []string{"../up", "/etc/absolute", "a/b", ".hidden", "-option", "a b", "a\nb", "ü", strings.Repeat("x", 101), "..", "."} {
		object, err := deployment("x", "v1").Pack()
		must(t, err)
		_, err = objects.PutBytes(t.Context(), name, object)
		must(t, err)
	}
	n := 0
	for object := range hostile(t) {
		name := fmt.Sprint("bad-", n)
		n++
		_, err := objects.PutString(t.Context(), name, object)
		must(t, err)
	}
	meta := func(name, text string) {
		_, err := r.js.Publish(t.Context(), metaOf(modules)+base64.URLEncoding.EncodeToString([]byte(name)), []byte(text))
		must(t, err)
	}
	meta("large", `{"name":"large","bucket":"GNOMON_MODULES","nuid":"x","size":999999999999,"chunks":1,"digest":"SHA-256=x"}`)
	meta("no-json", `{`)
	meta("link", `{"name":"link","options":{"link":{"bucket":"OTHER","name":"secret"}},"nuid":"x"}`)
	meta("no-nuid", `{"name":"no-nuid","size":1}`)
	meta("no-digest", `{"name":"no-digest","bucket":"GNOMON_MODULES","nuid":"x"}`)
	meta("lies", `{"name":"../../lies","bucket":"../../x","nuid":"x","size":0,"digest":""}`)
	_, err = r.js.Publish(t.Context(), metaOf(modules)+"no!base64", []byte("{}"))
	must(t, err)
	refused := 11 + n + 7

	stop := r.run()
	r.holds(map[string]string{"count.wasm": "v1"})
	r.eventually("all refusals", func() bool { return len(r.mirror.Status().Refused) == refused })
	r.deploy("count", "v2")
	r.holds(map[string]string{"count.wasm": "v2"})
	if s := r.mirror.Status(); s.Err != nil || len(s.Deployed) != 1 {
		t.Errorf("the status is %+v", s)
	}
	stop()
	text := r.log.String()
	if lines := strings.Count(text, "deployment is refused"); lines != refused || strings.Count(text, "\n") != strings.Count(text, "level=") {
		t.Errorf("%d refusals, in the log are %d:\n%s", refused, lines, text)
	}
	for _, says := range []string{`../up`, "999999999999 bytes", "it is a link", "no!base64"} {
		if !strings.Contains(text, says) {
			t.Errorf("the log does not say %s:\n%s", says, text)
		}
	}
	base := filepath.Dir(r.folder)
	must(t, filepath.WalkDir(base, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(base, path)
		if rel != "." && rel != "modules.d" && !strings.HasPrefix(rel, ".modules.d") {
			t.Errorf("%s was made", path)
		}
		return err
	}))
}

// More objects than anybody deploys are no modules; the folder stays as it is.
func TestTooManyObjects(t *testing.T) {
	r := newRig(t)
	r.deploy("count", "v1")
	r.mirror = r.open()
	must(t, r.mirror.Once(t.Context(), r.js))
	for i := range maxModules {
		_, err := r.js.PublishAsync(metaOf(modules)+base64.URLEncoding.EncodeToString([]byte{byte(i), byte(i >> 8), 'x'}), []byte("{}"))
		must(t, err)
	}
	<-r.js.PublishAsyncComplete()
	if err := r.mirror.Once(t.Context(), r.js); err == nil || !strings.Contains(err.Error(), "holds 1001 objects: the limit is 1000") {
		t.Errorf("error = %v", err)
	}
	r.holds(map[string]string{"count.wasm": "v1"})
}

// What Pack made is unpacked as it was; what it did not make is refused, and says why.
func TestUnpack(t *testing.T) {
	d := deployment("bad", "module", "toml", "")
	object, err := d.Pack()
	must(t, err)
	if got, err := Unpack("bad", object); err != nil || got.Name != "bad" || len(got.Files) != 3 || string(got.Files["bad.toml"]) != "toml" {
		t.Errorf("unpacked: %+v, %v", got, err)
	}
	if again, err := d.Pack(); err != nil || !bytes.Equal(object, again) {
		t.Error("packed again it is another object")
	}
	if _, err := Unpack("../bad", object); !errors.Is(err, ErrBad) {
		t.Errorf("another name: %v", err)
	}
	for object, says := range hostile(t) {
		if _, err := Unpack("bad", []byte(object)); !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %s", object, err, says)
		}
	}
}

// Whatever the bytes, they are refused or become files of the module's own names.
func FuzzUnpack(f *testing.F) {
	for object := range hostile(f) {
		f.Add([]byte(object))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		d, err := Unpack("bad", object)
		if err != nil {
			if !errors.Is(err, ErrBad) {
				t.Errorf("error = %v", err)
			}
			return
		}
		if err := d.check(); err != nil {
			t.Error(err)
		}
		if _, err := d.Pack(); err != nil {
			t.Error(err)
		}
	})
}

// A module is read with what stands beside it; what cannot be deployed is refused before
// anything is sent.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"count.wasm": "w", "count.toml": "t", "count.wasm.minisig": "s", "count.txt": "x",
		"bare.wasm": "w", ".hidden.wasm": "w", "a b.wasm": "w",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir, "folder.wasm"), 0o700))
	for name, want := range map[string]int{"count.wasm": 3, "bare.wasm": 1} {
		if d, err := Read(filepath.Join(dir, name)); err != nil || len(d.Files) != want {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	for name, says := range map[string]string{
		"none.wasm": "no such file", "count.txt": "count.txt is not named as a module, NAME.wasm", ".hidden.wasm": `the name ".hidden"`,
		"a b.wasm": `the name "a b": use up to 100 of letters`, "folder.wasm": "folder.wasm is not a regular file but d",
	} {
		if _, err := Read(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", name, err, says)
		}
	}
	r := newRig(t)
	large := Deployment{Name: "a", Files: map[string][]byte{"a.wasm": make([]byte, MaxBytes), "a.toml": {1}}}
	for says, d := range map[string]Deployment{
		"its files have 268435457 bytes: the limit is 268435456": large,
		"it holds no file a.wasm":                                {Name: "a"},
		"the name":                                               deployment("../a", "x"),
	} {
		if _, err := Deploy(t.Context(), r.js, modules, d); !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), says) {
			t.Errorf("error = %v, want %s", err, says)
		}
	}
	if _, err := r.js.ObjectStore(t.Context(), modules); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("there is a bucket: %v", err)
	}
}
