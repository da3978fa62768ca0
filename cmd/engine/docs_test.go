package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/store"
	"gnomon/internal/testutil"
)

// What the guides tell a reader to write and run does what they say. Each page runs in an
// empty folder of its own, from top to bottom; an HTML comment before a block, which readers
// do not see, says what the block is:
//
//	<!-- file PATH -->    the content of a file
//	<!-- more PATH -->    appended to a file
//	<!-- run -->          commands, run with sh -e; engine is on the PATH
//	<!-- fails -->        commands that must fail
//	<!-- output -->       what the commands before printed, on both streams where they must
//	                      fail; a line … stands for any lines
//	<!-- background -->   commands that go on beside what follows: an engine, in the page's
//	                      folder; what follows waits until its projections are live
//	<!-- stop -->         ends that engine, whatever the block says, and waits for it
//	<!-- shown -->        nothing: it is an example that belongs into something else
//	<!-- needs LANGUAGE PROGRAM… -->  of a page: one of the programs, without which the page is
//	                      skipped; LANGUAGE is what internal/toolchains/install.sh calls them
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/authoring/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(pages, "../../docs/AUTHORING.md", "../../docs/operations/backup.md") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			long(t)
			p := readPage(t, path)
			for _, tool := range p.needs {
				testutil.Tool(t, tool[0], tool[1:]...)
			}
			p.run(t)
		})
	}
}

// Every block of the guides is held by a test, or says that it is not.
func TestDocsAreMarked(t *testing.T) {
	pages, err := filepath.Glob("../../docs/authoring/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		for _, b := range readPage(t, path).blocks {
			if b.does == "" {
				t.Errorf("%s:%d: a block that nothing runs: mark it with a comment (see TestDocs)", path, b.line)
			}
		}
	}
}

// page is a guide, and how far it was followed.
type page struct {
	path   string
	needs  [][]string
	blocks []block

	dir    string
	cache  string // of compiled modules
	server string // base URL of the engine that a block started
	stop   func() // ends it
	stdout string // of the block before
	stderr string
}

// block is a fenced block of a page.
type block struct {
	does, arg string // of the comment before it
	line      int
	text      string
}

var comment = regexp.MustCompile(`^<!-- (file|more|run|fails|output|background|stop|shown|needs)(?: (.*))? -->$`)

func readPage(t *testing.T, path string) *page {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{path: path}
	var mark block
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if m := comment.FindStringSubmatch(line); m != nil {
			if m[1] == "needs" {
				p.needs = append(p.needs, strings.Fields(m[2]))
				continue
			}
			mark = block{does: m[1], arg: m[2]}
			continue
		}
		fence := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		if len(fence) < 3 {
			if line != "" && mark.does != "" {
				t.Fatalf("%s:%d: a comment that no block follows", path, i+1)
			}
			continue
		}
		mark.line = i + 2
		for i++; i < len(lines) && lines[i] != fence; i++ {
			mark.text += lines[i] + "\n"
		}
		p.blocks = append(p.blocks, mark)
		mark = block{}
	}
	return p
}

func (p *page) run(t *testing.T) {
	p.dir, p.cache = t.TempDir(), compiled(t)
	for _, b := range p.blocks {
		if err := p.step(t, b); err != nil {
			t.Fatalf("%s:%d: %v", p.path, b.line, err)
		}
	}
}

func (p *page) step(t *testing.T, b block) error {
	switch b.does {
	case "file", "more":
		return p.write(b)
	case "run", "fails":
		p.awaitLive(t)
		err := p.sh(t, b.text)
		if b.does == "run" && err != nil {
			return fmt.Errorf("%w\n%s%s", err, p.stdout, p.stderr)
		}
		if b.does == "fails" {
			if err == nil {
				return fmt.Errorf("it must fail, and does not:\n%s", p.stdout)
			}
			p.stdout += p.stderr
		}
	case "output":
		if !matches(strings.Split(b.text, "\n"), strings.Split(p.stdout, "\n")) {
			return fmt.Errorf("printed was\n%s%s", p.stdout, p.stderr)
		}
	case "background":
		p.background(t, b.text)
	case "stop":
		p.stop()
		p.server = ""
	}
	return nil
}

func (p *page) write(b block) error {
	path := filepath.Join(p.dir, b.arg)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if b.does == "more" {
		flags = os.O_APPEND | os.O_WRONLY
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(b.text); err != nil {
		return err
	}
	return f.Close()
}

func (p *page) command(text string) *exec.Cmd {
	if p.server != "" {
		text = strings.ReplaceAll(text, "localhost:7780", strings.TrimPrefix(p.server, "http://"))
	}
	c := exec.Command("sh", "-e", "-c", text)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "GNOMON_SERVER="+p.server, "GNOMON_CACHE="+p.cache, "GORACE=atexit_sleep_ms=0")
	return c
}

func (p *page) sh(t *testing.T, text string) error {
	t.Helper()
	c := p.command(text)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	p.stdout, p.stderr = stdout.String(), stderr.String()
	return err
}

// background starts an engine, and waits until it serves.
func (p *page) background(t *testing.T, text string) {
	t.Helper()
	if err := errors.Join(p.anyPort(), p.shareCache()); err != nil {
		t.Fatal(err)
	}
	c := p.command(text)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out testutil.Log
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = sync.OnceFunc(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		c.Wait()
	})
	stop := p.stop
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the engine:\n%s", out.String())
		}
	})
	testutil.Until(t, func() bool {
		holder, _ := store.Running(filepath.Join(p.dir, "data"))
		if holder.HTTP == "" {
			return false
		}
		p.server = cli.BaseOf(holder)
		return true
	})
}

// anyPort has the engine of the page listen where it can. A reader's has the usual port.
func (p *page) anyPort() error {
	file := filepath.Join(p.dir, "config.toml")
	config, err := os.ReadFile(file)
	if err != nil || bytes.Contains(config, []byte("http")) {
		return err
	}
	return os.WriteFile(file, append([]byte("http.listen = \"127.0.0.1:0\"\n"), config...), 0o600)
}

// shareCache has the engine find what was compiled for other pages.
func (p *page) shareCache() error {
	data := filepath.Join(p.dir, "data")
	if err := os.Mkdir(data, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.Symlink(p.cache, filepath.Join(data, "cache"))
}

// awaitLive waits until the engine has every projection of the configuration, live. A reader
// takes longer to type what follows.
func (p *page) awaitLive(t *testing.T) {
	t.Helper()
	if p.server == "" {
		return
	}
	config, err := os.ReadFile(filepath.Join(p.dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(p.server, "")
	if err != nil {
		t.Fatal(err)
	}
	testutil.Until(t, func() bool {
		all, err := cl.Projections(context.Background())
		if err != nil || len(all) < bytes.Count(config, []byte("[[projection]]")) {
			return false
		}
		for _, s := range all {
			if s.State != engine.Live {
				return false
			}
		}
		return true
	})
}

// matches reports whether lines are those of a pattern, in which … stands for any.
func matches(pattern, lines []string) bool {
	for i, want := range pattern {
		if strings.TrimSpace(want) == "…" {
			for skip := 0; skip <= len(lines)-i; skip++ {
				if matches(pattern[i+1:], lines[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(lines) || lines[i] != want {
			return false
		}
	}
	return len(lines) == len(pattern)
}
