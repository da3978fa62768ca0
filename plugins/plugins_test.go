package plugins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gnomon/host"
	"gnomon/internal/testutil/wasmgen"
)

func folder(t *testing.T, files map[string]string) (*Folder, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, dir
}

// write makes a file, and the folders around it.
func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// What is loaded are the bytes of the file with their digest, and its signature.
func TestLoad(t *testing.T) {
	f, dir := folder(t, map[string]string{"a.wasm": "abc", "a.wasm.minisig": "signed"})
	m, err := f.Load("a.wasm", 3)
	if err != nil {
		t.Fatal(err)
	}
	const sha256abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if string(m.Bytes) != "abc" || m.SHA256 != sha256abc || m.Name != "a.wasm" || m.Folder != dir || string(m.Signature) != "signed" {
		t.Errorf("module = %+v", m)
	}
}

// What cannot be loaded is refused by one line that says where it was looked for,
// and what is there.
func TestRefused(t *testing.T) {
	f, dir := folder(t, map[string]string{"a.wasm": "abc", "notes.txt": ""})
	outside := filepath.Join(t.TempDir(), "secret.wasm")
	write(t, outside, "x")
	must(t, os.Symlink(outside, filepath.Join(dir, "link.wasm")))
	must(t, os.Mkdir(filepath.Join(dir, "dir.wasm"), 0o700))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe.wasm"), 0o600))
	l, err := net.Listen("unix", filepath.Join(dir, "socket.wasm"))
	must(t, err)
	defer l.Close()
	written, err := os.Create(filepath.Join(dir, "written.wasm"))
	must(t, err)
	defer written.Close()
	tests := []struct{ name, want string }{
		{"b.wasm", "is not in " + dir + ", which holds a.wasm, dir.wasm, link.wasm"},
		{"../secret.wasm", "path escapes"},
		{outside, "path escapes"},
		{"link.wasm", "path escapes"},
		{"dir.wasm", "is not a regular file but d"},
		{"pipe.wasm", "is not a regular file but p"},
		{"socket.wasm", "no such device"},
		{"written.wasm", "is being written: another program has it open for writing"},
		{"", ""},
		{"a.wasm", "has 3 bytes or more: the limit is 2 (projection.limits.module)"},
	}
	for _, tt := range tests {
		_, err := f.Load(tt.name, 2)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), dir) {
			t.Errorf("Load(%s) = %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := f.Load("written.wasm", 2); !errors.Is(err, ErrChanging) {
		t.Errorf("a file that is open for writing: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "set plugins.dir") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of no folder = %v", err)
	}
}

// Of several folders that one is taken which holds the module; a module in two of them
// is refused, for nobody can tell which one is meant.
func TestLoadFromFolders(t *testing.T) {
	base := t.TempDir()
	a, b, none := filepath.Join(base, "a"), filepath.Join(base, "b"), filepath.Join(base, "none")
	write(t, filepath.Join(a, "one.wasm"), "1")
	write(t, filepath.Join(b, "two.wasm"), "2")
	write(t, filepath.Join(a, "both.wasm"), "3")
	write(t, filepath.Join(b, "both.wasm"), "3")
	for _, tt := range []struct {
		folders    []string
		name, want string // the folder, or the end of an error
	}{
		{[]string{a}, "one.wasm", a},
		{[]string{a, b}, "one.wasm", a},
		{[]string{a, b}, "two.wasm", b},
		{[]string{none, b}, "two.wasm", b},
		{[]string{a, b}, "both.wasm", "module both.wasm is in " + a + " and in " + b + ": remove one of them"},
		{[]string{a, b}, "three.wasm", "module three.wasm is not in " + a + ", which holds both.wasm, one.wasm, nor in " + b + ", which holds both.wasm, two.wasm"},
		{[]string{none}, "one.wasm", "folder of modules " + none + " does not exist: create it, or set plugins.dir to the one that holds your modules"},
		{[]string{none, none}, "one.wasm", "folder of modules " + none + " does not exist: create it, or set plugins.dir to the one that holds your modules"},
		{[]string{a, b}, "../b/two.wasm", "path escapes from parent"},
	} {
		m, err := Load(tt.folders, tt.name, 10)
		if err == nil && m.Folder != tt.want || err != nil && !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("Load(%v, %s) = from %q, %v, want %q", tt.folders, tt.name, m.Folder, err, tt.want)
		}
	}
}

// A module that was cut off, at whatever length, is loaded as what it is, and never used:
// the sandbox refuses it, and so does a pin. Only a pin, or a signature, tells a module
// without its data from a module that has none.
func TestTruncatedAtEveryLength(t *testing.T) {
	count, err := os.ReadFile("../examples/wasm-projections/count/count.wasm")
	must(t, err)
	bare := wasmgen.Module{Pages: 1, Funcs: []wasmgen.Func{wasmgen.Apply(wasmgen.I32Const(0))}}
	data := bare
	data.Data = []byte("constants of the module")
	h, err := host.New(t.Context(), host.Options{})
	must(t, err)
	defer h.Close(t.Context())
	for _, tt := range []struct {
		name   string
		module []byte
		passes []int // the sandbox, of these lengths
	}{
		{"count.wasm", count, []int{len(count)}},
		{"with data", data.Bytes(), []int{len(bare.Bytes()), len(data.Bytes())}},
	} {
		cut := map[string]string{}
		for n := range len(tt.module) + 1 {
			cut[fmt.Sprint(n, ".wasm")] = string(tt.module[:n])
		}
		f, _ := folder(t, cut)
		var passes []int
		for n := range len(tt.module) + 1 {
			m, err := f.Load(fmt.Sprint(n, ".wasm"), 1<<20)
			if err != nil || string(m.Bytes) != string(tt.module[:n]) || m.SHA256 != digest(string(tt.module[:n])) {
				t.Fatalf("%s: %d bytes: loaded %d, %v", tt.name, n, len(m.Bytes), err)
			}
			if _, err := (*Trust)(nil).Verify(m, digest(string(tt.module))); (err == nil) != (n == len(tt.module)) {
				t.Errorf("%s: %d of %d bytes, pinned: %v", tt.name, n, len(tt.module), err)
			}
			used, err := h.Load(t.Context(), m.Bytes, host.Limits{ModuleBytes: 1 << 20, Memory: 64 << 20})
			if err == nil {
				passes = append(passes, n)
				must(t, used.Close(t.Context()))
			}
		}
		if !slices.Equal(passes, tt.passes) {
			t.Errorf("%s: the sandbox takes %d of its bytes, want %d", tt.name, passes, tt.passes)
		}
	}
}

// layouts are the ways in which a module gets into a folder: each puts a version there.
var layouts = map[string]func(t testing.TB, dir string, version int, content string){
	"renamed": func(t testing.TB, dir string, _ int, content string) {
		write(t, filepath.Join(dir, ".new"), content)
		must(t, os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, "a.wasm")))
	},
	"in place": func(t testing.TB, dir string, _ int, content string) { write(t, filepath.Join(dir, "a.wasm"), content) },
	"a link": func(t testing.TB, dir string, version int, content string) {
		write(t, filepath.Join(dir, "store", fmt.Sprint(version)), content)
		link(t, filepath.Join("store", fmt.Sprint(version)), filepath.Join(dir, "a.wasm"))
	},
	// As Kubernetes does: the file links into ..data, which links to the version's folder.
	"ConfigMap": func(t testing.TB, dir string, version int, content string) {
		data := fmt.Sprintf("..2026_%d", version)
		write(t, filepath.Join(dir, data, "a.wasm"), content)
		link(t, data, filepath.Join(dir, "..data"))
		if version == 0 {
			link(t, filepath.Join("..data", "a.wasm"), filepath.Join(dir, "a.wasm"))
		} else {
			must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..2026_%d", version-1))))
		}
	},
}

// link makes a link, in place of another one if need be, at once.
func link(t testing.TB, to, path string) {
	t.Helper()
	must(t, os.Symlink(to, path+"_tmp"))
	must(t, os.Rename(path+"_tmp", path))
}

// A module that is replaced while it is read, in any of the ways in which that is done, is
// one version or the other, and whole.
func TestReplacedWhileItIsRead(t *testing.T) {
	var versions []string
	for i := range 40 {
		versions = append(versions, strings.Repeat(string(rune('0'+i)), 50_000+i*1000))
	}
	for name, put := range layouts {
		t.Run(name, func(t *testing.T) {
			f, dir := folder(t, nil)
			put(t, dir, 0, versions[0])
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			var reader sync.WaitGroup
			defer reader.Wait()
			defer stop()
			var last atomic.Int64
			reader.Go(func() {
				for ctx.Err() == nil && int(last.Load()) < len(versions)-1 {
					m, err := f.Load("a.wasm", 1<<20)
					n := slices.Index(versions, string(m.Bytes))
					switch {
					case errors.Is(err, ErrChanging):
					case err != nil:
						t.Error(err)
						return
					case n < int(last.Load()) || m.SHA256 != digest(versions[n]):
						t.Errorf("%d bytes were loaded after version %d, which are version %d", len(m.Bytes), last.Load(), n)
						return
					default:
						last.Store(int64(n))
					}
				}
			})
			pause := time.NewTicker(25 * time.Millisecond) // in which a version can be read
			defer pause.Stop()
			for i := range versions[1:] {
				put(t, dir, i+1, versions[i+1])
				<-pause.C
			}
			reader.Wait()
			if int(last.Load()) != len(versions)-1 {
				t.Errorf("version %d was loaded last", last.Load())
			}
		})
	}
}
