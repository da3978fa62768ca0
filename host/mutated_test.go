package host

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine/guest"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

var (
	mutatedSeed  = flag.Uint64("mutated.seed", 0, "seed of the mutated modules; 0: a new one")
	mutatedFirst = flag.Uint64("mutated.first", 0, "the first module that is tried")
)

// However a module's bytes are changed, it is refused, or it is compiled and runs under
// its limits; memory that was taken meanwhile is given back. Ten thousand are tried, with
// GNOMON_SOAK a million: all of them, by each of the steps that they come to, in this
// process, for they are small. One of four has no fuel, and is only compiled: then less
// has looked at it before the compiler. -mutated.seed and -mutated.first, which a failure
// names, try one again.
func TestMutatedModules(t *testing.T) {
	rounds := uint64(10_000)
	if os.Getenv("GNOMON_SOAK") != "" {
		rounds = 1_000_000
	}
	seed := *mutatedSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	bases := mutationBases(t)
	limits := Limits{Memory: testMemory, Table: 10_000, Fuel: testFuel}
	before := heap()
	ends := map[string]int{}
	var slowest time.Duration
	for n := *mutatedFirst; n < rounds; n++ {
		if n%10_000 == 0 { // what crashes the process is in the last of these
			fmt.Fprintf(os.Stderr, "mutated modules from -mutated.seed %d -mutated.first %d on\n", seed, n)
		}
		began := time.Now()
		rnd := rand.New(rand.NewPCG(seed, n))
		l := limits
		if n%4 == 0 {
			l.Fuel = 0
		}
		end, err := tryMutated(t.Context(), mutated(rnd, bases[rnd.IntN(len(bases))]), l)
		if err != nil {
			t.Fatalf("-mutated.seed %d -mutated.first %d: %v", seed, n, err)
		}
		ends[end]++
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("%v; the slowest took %v; at most %s of memory", ends, slowest.Round(time.Microsecond), peakMemory())
	if *mutatedFirst > 0 {
		return
	}
	for _, end := range []string{"refused by the check", "refused by the compiler", "is compiled without fuel", "fails", "runs"} {
		if ends[end] == 0 {
			t.Errorf("no module %s: the test tests less than it should", end)
		}
	}
	if after := heap(); after > before+64<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", before, after)
	}
}

// tryMutated does with a module what a projection would, and says how it ended; err is
// what must not be.
func tryMutated(ctx context.Context, module []byte, l Limits) (end string, err error) {
	m, err := testHost.Load(ctx, module, l)
	if err != nil {
		if strings.Contains(err.Error(), "is not valid WebAssembly") {
			return "refused by the compiler", nil
		}
		return "refused by the check", nil
	}
	defer func() { err = errors.Join(err, m.Close(ctx)) }()
	if l.Fuel == 0 {
		return "is compiled without fuel", nil // it may not come to an end
	}
	in, err := m.Instantiate(ctx, guest.Config{Memory: l.Memory})
	if err != nil {
		return "fails to start", onlyGuest(err)
	}
	defer func() { err = errors.Join(err, in.Close(ctx)) }()
	err = in.Apply(ctx, batch("a", "b", "a"), &mapState{rows: map[string]string{}})
	if size := in.MemoryBytes(); size > l.Memory {
		return "", fmt.Errorf("it has %d bytes of memory", size)
	}
	if err != nil {
		return "fails", onlyGuest(err)
	}
	return "runs", nil
}

// onlyGuest is nil for a failure that is the guest's own.
func onlyGuest(err error) error {
	var guest *guest.Error
	if errors.As(err, &guest) {
		return nil
	}
	return err
}

// mutationBases are small modules that have, together, every kind of section.
func mutationBases(t *testing.T) [][]byte {
	t.Helper()
	count, err := os.ReadFile("testdata/count.wasm")
	if err != nil {
		t.Fatal(err)
	}
	i32, first := []abi.ValueType{abi.I32}, uint32(1)
	whole := w.Module{
		Imports: []w.Import{w.Contract(abi.ImportStateScan)}, Pages: 1, Globals: []int64{7}, Start: &first, Data: []byte("data"),
		Funcs: []w.Func{
			{},
			{Export: abi.ExportInit, Results: i32, Code: [][]byte{w.I32Const(0)}},
			{Export: abi.ExportSnapshot, Results: i32, Code: [][]byte{w.I32Const(0)}},
			{Export: abi.ExportRestore, Results: i32, Code: [][]byte{w.I32Const(0)}},
			w.Apply(w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(8), w.I32Const(1000), w.Call(0), w.Drop,
				brTable(2), w.GlobalGet(0), w.GlobalSet(0), w.I32Const(1), w.MemoryGrow, w.Drop, w.I32Const(0)),
		},
	}.Bytes()
	whole = appendSection(whole, sectionCustom, []byte("\x04name\x01\x04\x01\x00\x01f\x02\x06\x01\x00\x01\x00\x01l"))
	return [][]byte{count, growing(10, tableType(1, -1), tableType(2, 9)), whole, floating(true)}
}

// mutated changes, cuts or doubles a few bytes of a module, or writes the largest number
// over them; of every second one it only flips a bit or two, for with more it seldom comes
// beyond the first check.
func mutated(rnd *rand.Rand, module []byte) []byte {
	b, changes, kinds := slices.Clone(module), 1+rnd.IntN(4), 5
	if rnd.IntN(2) == 0 {
		changes, kinds = (changes+1)/2, 1
	}
	for range changes {
		at := 8 + rnd.IntN(len(b)-8)
		switch rnd.IntN(kinds) {
		case 0:
			b[at] ^= 1 << rnd.IntN(8)
		case 1:
			b[at] = byte(rnd.Uint32())
		case 2:
			b = slices.Delete(b, at, at+1)
		case 3:
			b = slices.Insert(b, at, b[at:min(len(b), at+4)]...)
		case 4:
			copy(b[at:], "\xff\xff\xff\xff\x0f")
		}
	}
	return b
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// peakMemory is the most that this process had in memory, where the system tells.
func peakMemory() string {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return "an unknown amount"
	}
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(line)
}
