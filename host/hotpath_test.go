package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// benchBatch is a batch of events of about 200 bytes that all examples understand.
func benchBatch(events int) (b []byte) {
	for i := range events {
		data := fmt.Sprintf(`{"case":"%06d","activity":"step-%d","resource":"web","amount":%d,"note":"%064d"}`, i%97, i%7, i%100, i)
		r := abi.Record{Sequence: uint64(i + 1), TimeNs: int64(i) * 1e6, Subject: fmt.Appendf(nil, "case.%06d", i%97), Data: []byte(data)}
		b = r.Append(b)
	}
	return b
}

// benchState is a state that costs as little as a map can.
type benchState map[string][]byte

func (s benchState) Get(k []byte) ([]byte, bool, error) { v, ok := s[string(k)]; return v, ok, nil }
func (s benchState) Delete(k []byte) error              { delete(s, string(k)); return nil }
func (s benchState) Emit(state.Emit) error              { return nil }

func (s benchState) Put(k, v []byte) error {
	if old, ok := s[string(k)]; ok && len(old) == len(v) {
		copy(old, v)
		return nil
	}
	s[string(k)] = append([]byte(nil), v...)
	return nil
}

func (s benchState) Scan(_, _ []byte, _ func(k, v []byte) bool) error { return nil }

// benchInstance instantiates a module until the end of the benchmark.
func benchInstance(b *testing.B, module []byte) guest.Instance {
	b.Helper()
	in, err := benchModule(b, module).Instantiate(b.Context(), benchConfig())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(context.Background()) })
	return in
}

func benchConfig() guest.Config {
	return guest.Config{Memory: 64 << 20, Log: &logLines{}}
}

// benchModule compiles a module without metering it.
func benchModule(b *testing.B, module []byte) *Module {
	b.Helper()
	m, err := testHost.Load(b.Context(), module, Limits{Memory: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close(context.Background()) })
	return m
}

// goGuest compiles an example as authors do.
func goGuest(b *testing.B, name string) []byte {
	b.Helper()
	out := filepath.Join(b.TempDir(), name+".wasm")
	c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	c.Dir = filepath.Join("..", "examples", "wasm-projections", name)
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := c.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v\n%s", name, err, text)
	}
	return readModule(b, out)
}

func readModule(b *testing.B, file string) []byte {
	b.Helper()
	module, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return module
}

// applyAll calls the guest again and again with one batch, which must succeed.
func applyAll(b *testing.B, in guest.Instance, events int) {
	b.Helper()
	records, st := benchBatch(events), benchState{}
	b.ReportAllocs()
	for b.Loop() {
		if err := in.Apply(b.Context(), records, st); err != nil {
			b.Fatal(err)
		}
	}
	if len(st) == 0 && b.N > 0 {
		b.Fatal("the guest wrote nothing")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

// benchGuests are count in WAT, a get and a put of eight bytes, and process-map in Go, which
// reads three fields of JSON through the host and changes several keys.
func benchGuests(b *testing.B) map[string][]byte {
	b.Helper()
	return map[string][]byte{"wat": readModule(b, "testdata/count.wasm"), "go": goGuest(b, "process-map")}
}

// A call of the guest for one event, and for a batch: what the boundary costs, and what
// is left of it when many events share it.
func BenchmarkApply(b *testing.B) {
	for name, module := range benchGuests(b) {
		for _, events := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("guest=%s/batch=%d", name, events), func(b *testing.B) {
				applyAll(b, benchInstance(b, module), events)
			})
		}
	}
}

// projection_v1_json: a guest that declares four fields and reads the table of each
// batch, and does nothing else but to put one value.
func BenchmarkJSONFields(b *testing.B) {
	var names []byte
	for _, name := range []string{"case", "activity", "resource", "amount"} {
		names = abi.AppendName(names, name)
	}
	module := jsonModule(names, int32(len(names)))
	for _, events := range []int{1, 32} { // the guest has a page of memory, and room for 4 KiB of the table
		b.Run(fmt.Sprintf("batch=%d", events), func(b *testing.B) {
			applyAll(b, benchInstance(b, module), events)
		})
	}
}

// A new instance: what each restart, each generation and each event that failed takes first.
func BenchmarkInstantiate(b *testing.B) {
	for name, module := range benchGuests(b) {
		b.Run("guest="+name, func(b *testing.B) {
			b.ReportAllocs()
			m := benchModule(b, module)
			for b.Loop() {
				in, err := m.Instantiate(b.Context(), benchConfig())
				if err != nil {
					b.Fatal(err)
				}
				if err := in.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
