package dev

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/plugins/bucket"
)

// tried is where modules are built that are not tested yet, below the project.
const tried = "build/dev"

// build builds and tests the module, and returns its file. What the tools print is shown.
func (d *developer) build(ctx context.Context) (file string, err error) {
	if d.script != nil {
		return d.attach(ctx)
	}
	out := tried + "/" + filepath.Base(d.declared.Module)
	file = filepath.Join(d.dir, filepath.FromSlash(out))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	began := time.Now()
	engine := "ENGINE=" + makeWord(self) // which JavaScript is attached by, too
	if err := d.make(ctx, "OUT="+out, engine); err != nil {
		return "", fmt.Errorf("the module is not built: %w", err)
	}
	if _, err := os.Stat(file); err != nil {
		return "", cli.WithHint(err, "make has to build the file that its variable OUT names")
	}
	if !d.untested {
		if err := d.make(ctx, "test", "OUT="+out, engine); err != nil {
			return "", cli.WithHint(fmt.Errorf("the module is not loaded: %w", err), "where the new result is the right one, write it with: make update; or go without with --no-test")
		}
	}
	fmt.Fprintf(d.stdout, "built in %s\n", time.Since(began).Round(10*time.Millisecond))
	return file, nil
}

// make runs make in the project.
func (d *developer) make(ctx context.Context, args ...string) error {
	err := d.tool(ctx, d.stdout, d.stderr, "make", append([]string{"--no-print-directory", "-C", d.dir}, args...)...)
	if errors.Is(err, exec.ErrNotFound) {
		return cli.WithHint(err, "install make")
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", args[0], err)
	}
	return nil
}

// tool runs a program. It ends, with all that it started, when ctx does.
func (d *developer) tool(ctx context.Context, stdout, stderr io.Writer, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = stdout, stderr
	c.WaitDelay = 5 * time.Second
	// engine test compiles the module, and the engine finds it compiled; and the other way round.
	cache, err := filepath.Abs(filepath.Join(d.loaded.DataDir, "cache"))
	if err == nil {
		err = os.MkdirAll(cache, 0o700)
	}
	if err != nil {
		return err
	}
	c.Env = append([]string{"GNOMON_CACHE=" + cache}, os.Environ()...)
	inOwnGroup(c)
	return c.Run()
}

// makeWord is a path as a variable of make whose value a shell reads.
func makeWord(path string) string {
	if strings.ContainsAny(path, " \t'\"\\$&;()<>|*?[]#~`") {
		return "'" + strings.NewReplacer("'", `'\''`, "$", "$$", "#", `\#`).Replace(path) + "'"
	}
	return path
}

// place puts a module where the engine takes it from.
func (d *developer) place(ctx context.Context, file string) error {
	module, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if d.server != "" {
		return d.deploy(ctx, module)
	}
	to := filepath.Join(d.loaded.Plugins.Dir, d.declared.Module)
	if there, err := os.ReadFile(to); err == nil && bytes.Equal(there, module) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	whole := to + ".new" // a name that no engine takes for a module's
	if err := os.WriteFile(whole, module, 0o666); err != nil {
		return err
	}
	return os.Rename(whole, to)
}

// deploy puts a module into the bucket that the engine takes modules from, with the
// NAME.toml of the project if it has one.
func (d *developer) deploy(ctx context.Context, module []byte) error {
	if d.loaded.Plugins.Bucket == "" {
		return cli.WithHint(fmt.Errorf("%s names no bucket, by which an engine elsewhere takes modules", d.config), `set plugins.bucket = "GNOMON_MODULES" in it, for one, as in the configuration of that engine`)
	}
	name := strings.TrimSuffix(d.declared.Module, ".wasm")
	files := map[string][]byte{name + ".wasm": module}
	if declaration, err := os.ReadFile(filepath.Join(d.dir, name+".toml")); err == nil {
		files[name+".toml"] = declaration
	}
	object, err := bucket.Deployment{Name: name, Files: files}.Pack()
	if err != nil {
		return err
	}
	if _, err = d.client.Deploy(ctx, d.loaded.Plugins.Bucket, name, object); err != nil {
		return cli.Explain(err)
	}
	fmt.Fprintf(d.stdout, "%s.wasm is in %s: the engine takes it for a projection that its configuration declares, or %s.toml here\n", name, d.loaded.Plugins.Bucket, name)
	return nil
}

// takenWithin is how long an engine may take for a changed module to be read.
const takenWithin = time.Minute

// taken waits until readers see what a module makes of the events, and says so.
func (d *developer) taken(ctx context.Context, file string) error {
	module, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(module)
	if d.server == "" { // a bucket's modules come when they come
		done, err := d.client.Reload(ctx)
		if err != nil {
			return cli.Explain(err)
		}
		i := slices.IndexFunc(done.Projections, func(p wire.Declared) bool { return p.Projection == d.declared.Name })
		if i >= 0 && done.Projections[i].Refused != "" {
			return cli.WithHint(fmt.Errorf("the engine refuses the module: %s", done.Projections[i].Refused), "what ran goes on")
		}
	}
	soon, cancel := context.WithTimeoutCause(ctx, takenWithin, errNotTaken)
	defer cancel()
	if err := d.awaitRead(soon, hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	d.showState(ctx)
	return nil
}

var errNotTaken = cli.WithHint(errors.New("the engine has not taken the module yet"), "engine status says what it does")

// awaitRead waits until a module's generation is read, and promotes it if need be.
func (d *developer) awaitRead(ctx context.Context, module string) error {
	for {
		s, err := d.client.Projection(ctx, d.declared.Name)
		c := s.Candidate
		var p *wire.Problem
		toCome := d.server != "" && errors.As(err, &p) && p.Code == wire.CodeNoProjection
		switch {
		case err != nil && ctx.Err() == nil && !toCome:
			return cli.Explain(err)
		case err == nil && s.Module == module && c == nil && (s.State == engine.Live || s.State == engine.Halted):
			fmt.Fprintf(d.stdout, "loaded: %s is %s at %d, %d keys%s\n", s.Projection, s.State, s.Position, s.Keys, because(s.Reason))
			return nil
		case c != nil && c.Module == module && c.State == engine.Halted:
			return cli.WithHint(fmt.Errorf("the new module halts: %s", c.Reason), "%s", c.Hint)
		case c != nil && c.Module == module && c.State == engine.Live && !c.Auto:
			if _, err := d.client.Promote(ctx, d.declared.Name, 10*time.Second); err != nil {
				return cli.Explain(err)
			}
		}
		if !cli.Wait(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// because is a reason, if there is one, as the end of a sentence.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
