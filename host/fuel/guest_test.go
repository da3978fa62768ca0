package fuel

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"gnomon/sdk/abi"
	"gnomon/sdk/jsonfields"
)

// world is what a guest of the contract sees: a batch, and a state in a map.
type world struct {
	context.Context
	batch  []byte
	state  map[string][]byte
	fields *jsonfields.Reader
	said   string
}

type worldKey struct{}

func (w *world) Value(key any) any {
	if _, ok := key.(worldKey); ok {
		return w
	}
	return w.Context.Value(key)
}

// digest is one number for the state.
func (w *world) digest() uint64 {
	keys := make([]string, 0, len(w.state))
	for k := range w.state {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	h := fnv.New64a()
	for _, k := range keys {
		fmt.Fprintf(h, "%q=%q;", k, w.state[k])
	}
	return h.Sum64()
}

// give copies b to the guest's buffer if it fits, and returns its length.
func give(m api.Module, b []byte, ptr, capacity uint64) uint64 {
	if uint64(len(b)) <= capacity {
		m.Memory().Write(uint32(ptr), b)
	}
	return uint64(len(b))
}

// contract is as much of the host's functions as the example guests need.
var contract = map[string]func(w *world, m api.Module, stack []uint64){
	abi.ImportBatchRead: func(w *world, m api.Module, s []uint64) { s[0] = give(m, w.batch, s[0], s[1]) },
	abi.ImportStateGet: func(w *world, m api.Module, s []uint64) {
		key, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
		if value, ok := w.state[string(key)]; ok {
			s[0] = give(m, value, s[2], s[3])
			return
		}
		code := abi.NotFound
		s[0] = uint64(uint32(code))
	},
	abi.ImportStatePut: func(w *world, m api.Module, s []uint64) {
		key, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
		value, _ := m.Memory().Read(uint32(s[2]), uint32(s[3]))
		if old, ok := w.state[string(key)]; ok && len(old) == len(value) {
			copy(old, value)
		} else {
			w.state[string(key)] = append([]byte(nil), value...)
		}
		s[0] = 0
	},
	abi.ImportStateDelete: func(w *world, m api.Module, s []uint64) {
		key, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
		delete(w.state, string(key))
		s[0] = 0
	},
	abi.ImportConfigRead: func(_ *world, m api.Module, s []uint64) { s[0] = give(m, []byte("{}"), s[0], s[1]) },
	abi.ImportFail: func(w *world, m api.Module, s []uint64) {
		text, _ := m.Memory().Read(uint32(s[1]), uint32(s[2]))
		w.said = string(text)
	},
	abi.ImportFieldsDeclare: func(w *world, m api.Module, s []uint64) {
		var names []string
		rest, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
		for len(rest) > 0 {
			name, after, err := abi.NextName(rest)
			if err != nil {
				panic(err)
			}
			names, rest = append(names, string(name)), after
		}
		w.fields = jsonfields.NewReader(names...)
		s[0] = uint64(len(names))
	},
	abi.ImportFieldsRead: func(w *world, m api.Module, s []uint64) {
		table, err := w.fields.AppendTable(nil, w.batch)
		if err != nil {
			panic(err)
		}
		s[0] = give(m, table, s[0], s[1])
	},
}

// newRuntime offers the contract and the system interface.
func newRuntime(tb testing.TB, c wazero.RuntimeConfig) wazero.Runtime {
	tb.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, c.WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false).WithMemoryLimitPages(4096))
	tb.Cleanup(func() { r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	offer(tb, r, abi.Module, abi.Imports())
	offer(tb, r, abi.ModuleJSON, abi.ImportsJSON())
	return r
}

func offer(tb testing.TB, r wazero.Runtime, name string, list []abi.Func) {
	tb.Helper()
	types := func(list []abi.ValueType) (out []api.ValueType) {
		for _, t := range list {
			out = append(out, api.ValueType(t))
		}
		return out
	}
	b := r.NewHostModuleBuilder(name)
	for _, f := range list {
		call := contract[f.Name]
		b = b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			if call == nil {
				if len(stack) > 0 {
					stack[0] = 0
				}
				return
			}
			w, ok := ctx.(*world)
			if !ok {
				w = ctx.Value(worldKey{}).(*world)
			}
			call(w, m, stack)
		}), types(f.Params), types(f.Results)).Export(f.Name)
	}
	if _, err := b.Instantiate(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

// guest is an instance of a projection in a world of its own.
type guest struct {
	*world
	module api.Module
	apply  api.Function
	stack  [1]uint64
}

func newGuest(tb testing.TB, r wazero.Runtime, compiled wazero.CompiledModule) *guest {
	tb.Helper()
	ctx := context.Background()
	g := &guest{world: &world{Context: ctx, state: map[string][]byte{}}}
	nano := int64(0)
	var err error
	g.module, err = r.InstantiateModule(g.world, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStderr(os.Stderr).WithRandSource(rand.NewChaCha8([32]byte{})).
		WithNanotime(func() int64 { nano += 1000; return nano }, 1))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { g.module.Close(ctx) })
	for _, name := range []string{abi.ExportInitialize, abi.ExportInit} {
		if f := g.module.ExportedFunction(name); f != nil {
			if _, err := f.Call(g.world); err != nil {
				tb.Fatalf("%s: %v", name, err)
			}
		}
	}
	g.apply = g.module.ExportedFunction(abi.ExportApply)
	return g
}

// run applies a batch, which must succeed.
func (g *guest) run(tb testing.TB, batch []byte) {
	g.batch = batch
	g.stack[0] = 0
	if err := g.apply.CallWithStack(g.world, g.stack[:]); err != nil || g.stack[0] != 0 {
		tb.Fatalf("apply: code %d, %v, %s", int32(g.stack[0]), err, g.said)
	}
}

// gitlog is n events of the shipped log from the one numbered from on, with fields
// for the guests that balance accounts.
func gitlog(tb testing.TB, from, n int) (batch []byte) {
	tb.Helper()
	f, err := os.Open("../../examples/wasm-projections/data/gitlog.jsonl.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	for i := 0; i < from+n && lines.Scan(); i++ {
		var ev struct {
			Subject string
			Data    map[string]any
		}
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			tb.Fatal(err)
		}
		if i < from {
			continue
		}
		ev.Data["account"], ev.Data["amount"] = fmt.Sprint("a", i%97), i%1000
		data, err := json.Marshal(ev.Data)
		if err != nil {
			tb.Fatal(err)
		}
		r := abi.Record{Sequence: uint64(i + 1), TimeNs: int64(i) * 1e9, Subject: []byte(ev.Subject), Data: data}
		batch = r.Append(batch)
	}
	return batch
}

var goGuests sync.Map // of build results by name

// goGuest compiles a guest as authors do, once for all tests.
func goGuest(tb testing.TB, dir string) []byte {
	tb.Helper()
	build := func() ([]byte, error) {
		out, err := os.MkdirTemp("", "guest")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(out)
		file := filepath.Join(out, "guest.wasm")
		c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, ".")
		c.Dir = filepath.Join("..", "..", dir)
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if text, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", dir, err, text)
		}
		return os.ReadFile(file)
	}
	once, _ := goGuests.LoadOrStore(dir, sync.OnceValues(build))
	module, err := once.(func() ([]byte, error))()
	if err != nil {
		tb.Fatal(err)
	}
	return module
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	f, err := os.Open(filepath.Join("..", "..", name))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func mustRewrite(tb testing.TB, module []byte) []byte {
	tb.Helper()
	out, err := Rewrite(module, MaxBudget)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
