package js_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
	"gnomon/sdk/js"
)

var testHost *host.Host

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gnomon-js-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if testHost, err = host.New(context.Background(), host.Options{CacheDir: testutil.Compiled(dir)}); err != nil {
			panic(err)
		}
		defer testHost.Close(context.Background())
		return m.Run()
	}())
}

const testFuel = 500_000_000 // limits.fuel, unless configured

// rig runs a script in the host, over a state in memory.
type rig struct {
	t     testing.TB
	in    guest.Instance
	state memory
	lines []string // of the log
}

// start attaches and starts a script.
func start(t testing.TB, script, settings string) *rig {
	t.Helper()
	r, err := tryStart(t, script, settings, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryStart(t testing.TB, script, settings string, limit uint64) (*rig, error) {
	t.Helper()
	m, err := load(t, script)
	if err != nil {
		return nil, err
	}
	return instantiate(t, m, settings, limit)
}

// load attaches and compiles a script, which takes half a second.
func load(t testing.TB, script string) (*host.Module, error) {
	t.Helper()
	module, err := js.Attach([]byte(script), js.Options{})
	if err != nil {
		return nil, err
	}
	m, err := testHost.Load(t.Context(), module, host.Limits{Fuel: testFuel})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(context.Background()) })
	return m, nil
}

// cases is one script with many bodies of onEvent, of which a setting selects one: it is
// compiled once.
type cases struct{ module *host.Module }

func newCases(t testing.TB, bodies []string) cases {
	t.Helper()
	script := "export const settings = { which: 0 };\nconst cases = [\n"
	for _, body := range bodies {
		script += "(event, state) => {\n" + body + "\n},\n"
	}
	m, err := load(t, script+"];\nexport function onEvent(event, state) { return cases[settings.which](event, state); }")
	if err != nil {
		t.Fatal(err)
	}
	return cases{m}
}

func (c cases) start(t testing.TB, which int) *rig {
	t.Helper()
	r, err := instantiate(t, c.module, fmt.Sprintf(`{"which":%d}`, which), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func instantiate(t testing.TB, m *host.Module, settings string, limit uint64) (r *rig, err error) {
	t.Helper()
	r = &rig{t: t, state: memory{rows: map[string]string{}}}
	r.in, err = m.Instantiate(t.Context(), guest.Config{Settings: []byte(settings), Memory: limit, Log: r})
	if err == nil {
		t.Cleanup(func() { r.in.Close(context.Background()) })
	}
	return r, err
}

// Line implements guest.Log.
func (r *rig) Line(l guest.Line) {
	r.lines = append(r.lines, fmt.Sprintf("%d %s", l.Level, l.Text))
}

// Enabled implements guest.Log: all but debug.
func (r *rig) Enabled(level int) bool { return level >= 0 }

// event makes a record of a type, data and header pairs.
func event(sequence uint64, kind, data string, headers ...string) abi.Record {
	pairs := map[string]string{"ce-type": kind}
	for i := 0; i < len(headers); i += 2 {
		pairs[headers[i]] = headers[i+1]
	}
	r := abi.Record{Sequence: sequence, TimeNs: 1_700_000_000_123_456_789, Subject: []byte("bank.accounts.a-1"), Data: []byte(data), Key: []byte("a-1")}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		r.Headers, _ = abi.AppendHeader(r.Headers, name, pairs[name])
	}
	return r
}

// events are of the type x, with the given data.
func events(data ...string) (all []abi.Record) {
	for i, d := range data {
		all = append(all, event(uint64(i+1), "x", d))
	}
	return all
}

// try applies events as one batch.
func (r *rig) try(records ...abi.Record) error {
	var batch []byte
	for i := range records {
		batch = records[i].Append(batch)
	}
	return r.in.Apply(r.t.Context(), batch, &r.state)
}

func (r *rig) apply(records ...abi.Record) {
	r.t.Helper()
	if err := r.try(records...); err != nil {
		r.t.Fatal(err)
	}
}

// want holds the state against keys and values.
func (r *rig) want(pairs ...string) {
	r.t.Helper()
	want := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		want[pairs[i]] = pairs[i+1]
	}
	if !maps.Equal(r.state.rows, want) {
		r.t.Errorf("the state is\n%q, want\n%q", r.state.rows, want)
	}
}

// memory implements guest.State.
type memory struct {
	rows    map[string]string
	emitted []state.Emit
	puts    int
}

func (m *memory) Get(key []byte) ([]byte, bool, error) {
	v, ok := m.rows[string(key)]
	return []byte(v), ok, nil
}

func (m *memory) Put(key, value []byte) error {
	m.rows[string(key)] = string(value)
	m.puts++
	return nil
}

func (m *memory) Delete(key []byte) error {
	delete(m.rows, string(key))
	return nil
}

func (m *memory) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(m.rows)) {
		if strings.HasPrefix(k, string(prefix)) && k > string(after) && !fn([]byte(k), []byte(m.rows[k])) {
			break
		}
	}
	return nil
}

func (m *memory) Emit(e state.Emit) error {
	m.emitted = append(m.emitted, state.Emit{Cause: e.Cause, Subject: e.Subject, Headers: bytes.Clone(e.Headers), Data: bytes.Clone(e.Data)})
	return nil
}
