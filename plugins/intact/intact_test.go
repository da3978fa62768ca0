package intact_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gnomon/plugins/intact"
)

// write makes a file of the test.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// A file that nobody writes is read as it is, through links too, by both functions.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty"), "")
	write(t, filepath.Join(dir, "full"), "12345678")
	if err := os.Symlink("full", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root := open(t, dir)
	for name, want := range map[string]string{"empty": "", "full": "12345678", "link": "12345678"} {
		b, err := intact.Read(root, name, 8)
		if err != nil || string(b) != want {
			t.Errorf("Read(%s) = %q, %v", name, b, err)
		}
		if b, err = intact.ReadFile(filepath.Join(dir, name), 8); err != nil || string(b) != want {
			t.Errorf("ReadFile(%s) = %q, %v", name, b, err)
		}
	}
}

// What is no file, too large, or outside is refused, and a pipe is not waited for.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "large"), "123456789")
	outside := write(t, filepath.Join(t.TempDir(), "outside"), "x")
	for name, to := range map[string]string{"absolute": outside, "up": "../outside", "loop": "loop", "dangling": "none"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	root := open(t, dir)
	for name, says := range map[string]string{
		"large": "has 9 bytes or more: the limit is 8", "absolute": "path escapes", "up": "path escapes", "../outside": "path escapes",
		"loop": "too many", "pipe": "is not a regular file but p", "folder": "is not a regular file but d", "socket": "no such device",
	} {
		b, err := intact.Read(root, name, 8)
		if err == nil || !strings.Contains(err.Error(), says) || b != nil {
			t.Errorf("Read(%s) = %q, %v, want %q", name, b, err, says)
		}
	}
	for _, name := range []string{"none", "dangling"} {
		if _, err := intact.Read(root, name, 8); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Read(%s): %v", name, err)
		}
	}
}

// A file that is open for writing is not read, however long nothing is written to it; it
// is when it was closed.
func TestOpenForWriting(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("that can be told on Linux only")
	}
	path := write(t, filepath.Join(t.TempDir(), "file"), "half")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := intact.ReadFile(path, 100); !errors.Is(err, intact.ErrChanging) || b != nil {
		t.Errorf("half a file was read: %q, %v", b, err)
	}
	_, err = f.WriteString(" and half")
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err := intact.ReadFile(path, 100); err != nil || string(b) != "half and half" {
		t.Errorf("read %q, %v", b, err)
	}
}

// Whatever is done to a file meanwhile, what is read was its content at one moment: one of
// the versions, and whole.
func TestReadWhileItIsWritten(t *testing.T) {
	versions := [][]byte{bytes.Repeat([]byte("a"), 300_000), bytes.Repeat([]byte("b"), 300_000), bytes.Repeat([]byte("c"), 200_000)}
	for name, replace := range map[string]func(path string, content []byte) error{
		"renamed": func(path string, content []byte) error {
			return errors.Join(os.WriteFile(path+"~", content, 0o600), os.Rename(path+"~", path))
		},
		"in place": func(path string, content []byte) error { return os.WriteFile(path, content, 0o600) },
		"in two steps": func(path string, content []byte) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.Write(content[:len(content)/2])
			runtime.Gosched()
			_, err2 := f.Write(content[len(content)/2:])
			return errors.Join(err, err2, f.Truncate(int64(len(content))), f.Close())
		},
		"removed": func(path string, content []byte) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, content, 0o600))
		},
		"linked": func(path string, content []byte) error {
			other := filepath.Join(filepath.Dir(path), string(content[:1]))
			_, err := os.Stat(other)
			if err != nil {
				err = os.WriteFile(other, content, 0o600)
			}
			return errors.Join(err, os.Symlink(other, path+"~"), os.Rename(path+"~", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "file"), string(versions[0]))
			ctx, stop := context.WithCancel(t.Context())
			var writer sync.WaitGroup
			defer writer.Wait()
			defer stop()
			writer.Go(func() {
				pause := time.NewTicker(30 * time.Millisecond) // in which it can be read
				defer pause.Stop()
				for i := 0; ctx.Err() == nil; i++ {
					if err := replace(path, versions[i%3]); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-pause.C:
					case <-ctx.Done():
					}
				}
			})
			seen := map[string]int{}
			for reads, deadline := 0, time.Now().Add(time.Minute); len(seen) < 3 || reads < 20; reads++ {
				b, err := intact.ReadFile(path, 1<<20)
				switch {
				case err == nil && !slices.ContainsFunc(versions, func(v []byte) bool { return bytes.Equal(v, b) }):
					t.Fatalf("what was read is none of the versions: %d bytes", len(b))
				case err == nil:
					seen[string(b[:1])]++
				case !errors.Is(err, intact.ErrChanging) && !errors.Is(err, fs.ErrNotExist):
					t.Fatal(err)
				}
				if time.Now().After(deadline) {
					t.Fatalf("versions read within a minute: %v", seen)
				}
			}
		})
	}
}

// A stamp tells states of a file from each other, whatever its times are set to.
func TestStamp(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), "x")
	stamp := func() intact.Stamp {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return intact.StampOf(info)
	}
	first := stamp()
	if first != stamp() {
		t.Error("a file that nobody touched has two stamps")
	}
	if err := errors.Join(os.WriteFile(path+"~", []byte("y"), 0o600), os.Chtimes(path+"~", time.Time{}, time.Unix(0, first.Modified)), os.Rename(path+"~", path)); err != nil {
		t.Fatal(err)
	}
	second := stamp()
	if first == second {
		t.Error("another file of the same size and time has the same stamp")
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s := stamp(); !s.Fresh(time.Now(), time.Minute) || s.Fresh(time.Now().Add(time.Hour), time.Minute) || s.Fresh(time.Now().Add(-time.Hour), time.Minute) {
		t.Error("fresh is not what was changed around now")
	}
	if _, err := intact.ReadFile(path, 1); err != nil {
		t.Errorf("a file whose time is to come: %v", err)
	}
}
