package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"gnomon/engine/guest"
)

// A module is compiled and started once in a process of its own, under limits of
// the system, before this one touches it: compiling takes time and memory that grow
// with the square of a function's size and heed no context, and what fails there
// cannot be caught. The process leaves the compiled code in the cache, where this
// one finds it; where modules are interpreted there is none, and only the limits count.

// trialVariable is the environment variable that makes a process a trial.
const trialVariable = "GNOMON_TRIAL"

const (
	// defaultTrialTime bounds a trial: of the processor, and half as much again on the
	// clock, unless Limits say otherwise.
	defaultTrialTime = 2 * time.Minute
	// trialMemory is the address space of a trial beside the guest's memory, in bytes: a
	// Go program that compiles a module of 30 MB needs a third of it.
	trialMemory = 4 << 30
	// trialOutput bounds what is read of a trial's words, in bytes.
	trialOutput = 64 << 10
)

// trialTask is what a trial is asked to do; the module follows it.
type trialTask struct {
	CacheDir string `json:"cache_dir"`
	Limits   Limits `json:"limits"`
}

// trialReport is what a trial says at last. One that was killed says nothing.
type trialReport struct {
	Error string `json:"error,omitempty"` // of Load
}

// IsTrial reports whether this process was started to try a module: it must call
// ServeTrial and end.
func IsTrial() bool { return os.Getenv(trialVariable) != "" }

// ServeTrial tries the module on the standard input. It returns the exit code.
func ServeTrial() int {
	var report trialReport
	if err := serveTrial(os.Stdin); err != nil {
		report.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return 1
	}
	return 0
}

func serveTrial(in io.Reader) error {
	d := json.NewDecoder(in)
	var task trialTask
	if err := d.Decode(&task); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	module, err := io.ReadAll(io.MultiReader(d.Buffered(), in))
	if err != nil {
		return fmt.Errorf("read module: %w", err)
	}
	module = bytes.TrimPrefix(module, []byte("\n"))
	if err := limitProcess(trialMemory+task.Limits.Memory, task.Limits.trialTime()); err != nil {
		return fmt.Errorf("limit the process: %w", err)
	}
	ctx := context.Background()
	h, err := New(ctx, Options{CacheDir: task.CacheDir})
	if err != nil {
		return err
	}
	defer h.Close(ctx)
	m, err := h.Load(ctx, module, task.Limits)
	if err != nil {
		return err
	}
	// Only that it comes to an end matters here: why it fails is found, and told, where
	// the module is used.
	if in, err := m.Instantiate(ctx, guest.Config{Memory: task.Limits.Memory}); err == nil {
		return in.Close(ctx)
	}
	return nil
}

func (l Limits) trialTime() time.Duration {
	if l.Compile > 0 {
		return l.Compile
	}
	return defaultTrialTime
}

// try tries a module in a process of its own, unless it passed before. Code is what the
// compiler is given of it.
func (h *Host) try(ctx context.Context, module, code []byte, l Limits) error {
	if !h.trials || h.cacheDir == "" {
		return nil
	}
	mark := filepath.Join(h.cacheDir, "tried-"+h.trialKey(code))
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := runTrial(ctx, trialTask{CacheDir: h.cacheDir, Limits: l}, module); err != nil {
		return err
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return h.compileError(err)
	}
	return nil
}

// trialKey names code together with what compiles it.
func (h *Host) trialKey(code []byte) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s %t ", runtime.Version(), wazeroVersion(), h.compiler)
	sum.Write(code)
	return hex.EncodeToString(sum.Sum(nil))
}

func wazeroVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/tetratelabs/wazero" {
				return d.Version
			}
		}
	}
	return "unknown"
}

func runTrial(ctx context.Context, task trialTask, module []byte) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot be tried: %w", err)
	}
	header, err := json.Marshal(task)
	if err != nil {
		return fmt.Errorf("cannot be tried: %w", err)
	}
	// Half as much again on the clock: others may have the processor.
	ctx, cancel := context.WithTimeout(ctx, task.Limits.trialTime()*3/2)
	defer cancel()
	var out, errs limitedBuffer
	c := exec.CommandContext(ctx, self)
	c.Env = append(os.Environ(), trialVariable+"=1", "GOTRACEBACK=single")
	c.Stdin = io.MultiReader(bytes.NewReader(append(header, '\n')), bytes.NewReader(module))
	c.Stdout, c.Stderr = &out, &errs
	c.WaitDelay = 5 * time.Second
	if err := c.Run(); err != nil {
		return trialFailure(ctx, err, errs.String(), task.Limits)
	}
	var report trialReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return fmt.Errorf("cannot be tried: the process said %.200q", out.String())
	}
	if report.Error != "" {
		return errors.New(report.Error)
	}
	return nil
}

// trialFailure says which limit a trial went over.
func trialFailure(ctx context.Context, err error, said string, l Limits) error {
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &exit) && overCPU(exit):
		return fmt.Errorf("takes more than %s to compile and to start: the limit is %s; it may be made to be slow", l.trialTime(), l.setting("compile_time"))
	case ctx.Err() != nil:
		return ctx.Err()
	case strings.Contains(said, "out of memory"), strings.Contains(said, "cannot allocate memory"):
		return fmt.Errorf("takes more than %d MiB of memory to compile and to start: it may be made to", (trialMemory+l.Memory)>>20)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return fmt.Errorf("made the compiler fail: %w: %.300s", err, line)
}

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, trialOutput-b.Len()))])
	return len(p), nil
}
