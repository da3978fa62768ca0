package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"gnomon/engine/guest"
	"gnomon/host/fuel"
	"gnomon/sdk/abi"
)

// Host compiles modules and runs them. It is safe for concurrent use. There is
// one for a process: wazero 1.12 miscompiles modules shared between runtimes.
type Host struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache // nil when nothing is kept; closed after runtime
	cacheDir string                  // of cache
	wasi     functions
	compiler bool
	trials   bool
}

// Options are what a Host is made with.
type Options struct {
	// CacheDir is a private directory for compiled code, which is run as it is
	// found. Empty: nothing is kept between processes.
	CacheDir string
	// Trials has new modules compiled and started in a process of their own first. The
	// program has to look at IsTrial before anything else. It needs a CacheDir.
	Trials bool
}

// Limits bound one module.
type Limits struct {
	ModuleBytes int64         // of the file
	Memory      uint64        // of the linear memory at its start, in bytes
	Table       uint64        // entries of each table, at its start and later; 0: DefaultTable
	Fuel        uint64        // of one call, in units of package fuel; 0: it is not metered
	Compile     time.Duration // on the processor, to compile and start it once; 0: two minutes

	// Section is the table of the configuration that has them, for errors; empty:
	// "projection".
	Section string
}

// setting is how a limit is called in the configuration.
func (l Limits) setting(name string) string {
	return cmp.Or(l.Section, "projection") + ".limits." + name
}

// DefaultTable is what a table may hold unless Limits say otherwise: an entry takes 8
// bytes of memory that is not the guest's own. A Go program has one for each function.
const DefaultTable = 100_000

func (l Limits) table() uint64 { return cmp.Or(l.Table, DefaultTable) }

// New makes a host. It fails when CacheDir cannot be used.
func New(ctx context.Context, o Options) (*Host, error) {
	h := &Host{trials: o.Trials}
	if o.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("open compilation cache %s: %w", o.CacheDir, err)
		}
		h.cache, h.cacheDir = cache, o.CacheDir
	}
	h.runtime, h.compiler = newRuntime(ctx, h.cache)
	if err := h.offer(ctx); err != nil {
		h.Close(ctx)
		return nil, err
	}
	return h, nil
}

// newRuntime prefers the compiler and falls back to the interpreter where
// executable memory cannot be had, for which wazero panics.
func newRuntime(ctx context.Context, cache wazero.CompilationCache) (r wazero.Runtime, compiler bool) {
	defer func() {
		if recover() != nil {
			r, compiler = wazero.NewRuntimeWithConfig(ctx, runtimeConfig(wazero.NewRuntimeConfigInterpreter(), nil)), false
		}
	}()
	return wazero.NewRuntimeWithConfig(ctx, runtimeConfig(wazero.NewRuntimeConfigCompiler(), cache)), true
}

func runtimeConfig(c wazero.RuntimeConfig, cache wazero.CompilationCache) wazero.RuntimeConfig {
	c = c.WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false) // there is none, see forCompiler
	if cache != nil {
		c = c.WithCompilationCache(cache)
	}
	return c
}

// offer instantiates what guests import.
func (h *Host) offer(ctx context.Context) error {
	if err := offerContract(ctx, h.runtime); err != nil {
		return fmt.Errorf("offer %s: %w", abi.Module, err)
	}
	wasi, err := wasi_snapshot_preview1.NewBuilder(h.runtime).Compile(ctx)
	if err != nil {
		return fmt.Errorf("compile %s: %w", abi.WASI, err)
	}
	h.wasi = functions{}
	for name, f := range wasi.ExportedFunctions() {
		h.wasi[name] = Signature{valueTypes(f.ParamTypes()), valueTypes(f.ResultTypes())}
	}
	if _, err := h.runtime.InstantiateModule(ctx, wasi, wazero.NewModuleConfig()); err != nil {
		return fmt.Errorf("offer %s: %w", abi.WASI, err)
	}
	return nil
}

func valueTypes(types []api.ValueType) []abi.ValueType {
	out := make([]abi.ValueType, len(types))
	for i, t := range types {
		out[i] = abi.ValueType(t)
	}
	return out
}

// Compiler reports whether modules are compiled. When not, they are interpreted,
// some seventy times slower, because the system refuses executable memory.
func (h *Host) Compiler() bool { return h.compiler }

// Close ends every instance and frees all compiled code.
func (h *Host) Close(ctx context.Context) error {
	err := h.runtime.Close(ctx)
	if h.cache != nil {
		err = firstError(err, h.cache.Close(ctx))
	}
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Check holds a module against the contract without compiling it. The error of one that does
// not keep it is a *Refusal, and the description is there all the same.
func (h *Host) Check(module []byte, l Limits) (*Binary, error) {
	if l.ModuleBytes > 0 && int64(len(module)) > l.ModuleBytes {
		return nil, fmt.Errorf("has %d bytes: the limit is %d (%s)", len(module), l.ModuleBytes, l.setting("module"))
	}
	b, err := Inspect(module)
	if err != nil {
		return nil, err
	}
	problems := check(b, h.wasi)
	if need := b.MinPages * pageSize; l.Memory > 0 && need > l.Memory {
		problems = append(problems, problem(otherProblem, "needs %d bytes of memory to start: the limit is %d (%s)", need, l.Memory, l.setting("memory")))
	}
	if b.Table > l.table() {
		problems = append(problems, problem(otherProblem, "declares a table of %d entries: the limit is %d (%s)", b.Table, l.table(), l.setting("table")))
	}
	if len(problems) > 0 {
		return b, &Refusal{problems}
	}
	return b, nil
}

// Load checks and compiles a module. Errors read as the continuation of its name.
func (h *Host) Load(ctx context.Context, module []byte, l Limits) (*Module, error) {
	b, err := h.Check(module, l)
	if err != nil {
		return nil, err
	}
	code := forCompiler(module, l.table())
	if l.Fuel > 0 {
		code, err = fuel.Rewrite(code, startFuel)
	} else { // all counts are held against the bytes all the same: the compiler believes them
		_, err = fuel.ReadFloats(code)
	}
	if err != nil {
		return nil, err
	}
	if err := h.try(ctx, module, code, l); err != nil {
		return nil, err
	}
	compiled, err := h.runtime.CompileModule(ctx, code)
	if err != nil {
		return nil, h.compileError(err)
	}
	sum := sha256.Sum256(module)
	is := &Module{host: h, compiled: compiled, binary: b, fuel: l.Fuel, setting: l.setting, digest: hex.EncodeToString(sum[:])}
	is.images.possible = canImage(b, module)
	return is, nil
}

// compileError tells what is wrong with a module from what is wrong with the system
// or the cache: the module is then as good as it was.
func (h *Host) compileError(err error) error {
	var file *fs.PathError
	var rename *os.LinkError
	var errno syscall.Errno
	switch {
	case strings.HasPrefix(err.Error(), "compilationcache: "): // is there, but cannot be understood
		return fmt.Errorf("cannot be loaded from the cache of compiled modules %s: %w: remove that folder, it is made anew", h.cacheDir, err)
	case errors.As(err, &file), errors.As(err, &rename):
		return fmt.Errorf("cannot be kept in the cache of compiled modules %s: %w: make room there, or make it a folder that can be written, and start again", h.cacheDir, err)
	case errors.As(err, &errno):
		return fmt.Errorf("cannot be compiled, the system refuses: %w", err)
	}
	return fmt.Errorf("is not valid WebAssembly: %w", err)
}

// Module is a compiled module. It implements guest.Module.
type Module struct {
	host     *Host
	compiled wazero.CompiledModule
	binary   *Binary
	fuel     uint64 // of one call; 0: it is not metered
	setting  func(limit string) string
	digest   string
	images   images
}

var _ guest.Module = (*Module)(nil)

// Digest implements guest.Module.
func (m *Module) Digest() string { return m.digest }

// Traits implements guest.Module.
func (m *Module) Traits() guest.Traits { return m.binary.traits() }

// Binary describes the module.
func (m *Module) Binary() *Binary { return m.binary }

// Close frees the compiled code. Instances must be closed before.
func (m *Module) Close(ctx context.Context) error { return m.compiled.Close(ctx) }
