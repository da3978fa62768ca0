package fuel

import (
	"context"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// metered runs batches through a rewritten guest and returns what each one used.
func metered(tb testing.TB, c wazero.RuntimeConfig, module []byte, instances int, batches ...[]byte) (used [][]uint64, digest uint64) {
	tb.Helper()
	r := newRuntime(tb, c)
	compiled := compile(tb, r, module)
	for range instances {
		g := newGuest(tb, r, compiled)
		m := NewMeter(g.module.ExportedGlobal(Global).(api.MutableGlobal))
		var each []uint64
		for _, batch := range batches {
			m.Fill(1 << 40)
			g.run(tb, batch)
			each = append(each, m.Used())
		}
		used, digest = append(used, each), g.digest()
	}
	return used, digest
}

// The example guests write the same state metered as they do without, and use the same
// fuel in every instance and in both engines.
func TestExamplesGiveTheSameResults(t *testing.T) {
	batches := [][]byte{gitlog(t, 0, 1), gitlog(t, 1, 1), gitlog(t, 2, 30)}
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			if e.golang && testing.Short() && e.name != "process-map" {
				t.Skip("a Go guest takes seconds to compile")
			}
			t.Parallel()
			engine := wazero.NewRuntimeConfigCompiler()
			if e.golang && testing.Short() { // which goes with the race detector: compiling takes ten seconds
				engine = wazero.NewRuntimeConfigInterpreter()
			}
			original := e.module(t)
			r := newRuntime(t, engine)
			plain := newGuest(t, r, compile(t, r, original))
			for _, batch := range batches {
				plain.run(t, batch)
			}
			begin := time.Now()
			module := mustRewrite(t, original)
			t.Logf("%d bytes became %d (%+.1f %%) in %v", len(original), len(module), 100*float64(len(module)-len(original))/float64(len(original)), time.Since(begin))
			used, digest := metered(t, engine, module, 2, batches...)
			if digest != plain.digest() {
				t.Error("the state is another when it is metered")
			}
			if !e.golang || !testing.Short() {
				interpreted, _ := metered(t, wazero.NewRuntimeConfigInterpreter(), module, 1, batches...)
				used = append(used, interpreted...)
			}
			for _, other := range used[1:] {
				for i, n := range other {
					if n != used[0][i] || n == 0 {
						t.Errorf("batch %d used %d, %d before", i, n, used[0][i])
					}
				}
			}
			t.Logf("used %v", used[0])
		})
	}
}

// The cost of metering: the same batch by turns through instances of a guest as it is
// and of the rewritten one. Instances of wazero differ in speed by chance, so there are
// some of each, and the fastest counts.
func BenchmarkMetering(b *testing.B) {
	const instances = 3
	batch := gitlog(b, 0, 500)
	for _, e := range examples() {
		if e.once {
			continue
		}
		b.Run("guest="+e.name, func(b *testing.B) {
			original := e.module(b)
			r := newRuntime(b, wazero.NewRuntimeConfigCompiler())
			var guests [2][instances]*guest
			var best [2]time.Duration
			for i, module := range [][]byte{original, mustRewrite(b, original)} {
				compiled := compile(b, r, module)
				for k := range guests[i] {
					guests[i][k] = newGuest(b, r, compiled)
					guests[i][k].run(b, batch)
				}
				best[i] = time.Hour
			}
			for b.Loop() {
				for k := range instances {
					for i := range guests {
						begin := time.Now()
						guests[i][k].run(b, batch)
						best[i] = min(best[i], time.Since(begin))
					}
				}
			}
			b.ReportMetric(float64(best[0].Nanoseconds())/500, "plain-ns/event")
			b.ReportMetric(float64(best[1].Nanoseconds())/500, "metered-ns/event")
			b.ReportMetric(float64(best[1])/float64(best[0]), "ratio")
		})
	}
}

// What it takes to rewrite a Go guest.
func BenchmarkRewrite(b *testing.B) {
	module := goGuest(b, "examples/wasm-projections/repo-files")
	b.SetBytes(int64(len(module)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Rewrite(module, MaxBudget); err != nil {
			b.Fatal(err)
		}
	}
}

func compile(tb testing.TB, r wazero.Runtime, module []byte) wazero.CompiledModule {
	tb.Helper()
	c, err := r.CompileModule(context.Background(), module)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// example is a guest that comes with the repository.
type example struct {
	name   string
	module func(testing.TB) []byte
	golang bool
	once   bool // refuses events that it has seen
}

func examples() []example {
	wat := func(file string) func(testing.TB) []byte {
		return func(tb testing.TB) []byte { return readFile(tb, file) }
	}
	golang := func(dir string) func(testing.TB) []byte {
		return func(tb testing.TB) []byte { return goGuest(tb, dir) }
	}
	return []example{
		{name: "count", module: wat("examples/wasm-projections/count/count.wasm")},
		{name: "balance", module: wat("bench/guests/balance.wasm")},
		{name: "process-map", module: golang("examples/wasm-projections/process-map"), golang: true},
		{name: "repo-files", module: golang("examples/wasm-projections/repo-files"), golang: true, once: true},
		{name: "sessions", module: golang("examples/wasm-projections/sessions"), golang: true},
	}
}
