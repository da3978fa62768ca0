package conformance

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Host is a host under test: what can make an instance of a module.
type Host interface {
	Start(ctx context.Context, module []byte, b Bounds, c guest.Config) (guest.Instance, error)
}

// Bounds are the limits of a guest.
type Bounds struct {
	Fuel  uint64 // of one call; 0: a hundred million
	Table uint64 // entries; 0: the default
}

// Scenario is what a guest is made to do, and what must come of it.
type Scenario struct {
	Rules []string // that it is about
	Name  string   // what holds, in a sentence
	Do    Script   // of guest probe
	Calls []Call

	Rows     map[string]string // of the state, before
	Settings string            // in place of the script
	Guest    string            // of guests, in place of probe; it logs what its calls did
	Memory   uint64            // limit, in bytes; 0: 8 MiB
	Bounds   Bounds
	Fails    string // starting the instance fails with such words
	Started  Want   // of the start

	// Sandbox says that it is about what only a sandbox has: pointers, traps, limits of
	// memory and fuel. A native stand-in cannot run it.
	Sandbox bool
}

// Call is a call of an export, and what must come of it.
type Call struct {
	Export  string
	Events  []abi.Record // of apply and upcast
	Request string       // of query
	Blobs   []string     // of restore
	From    int          // of migrate
	Fresh   bool         // in another instance than the call before

	Want
}

// Want is what must come of a call. What is nil, or empty, is not looked at, but
// Fails: a call without it must succeed.
type Want struct {
	Fails string // in the error
	// Steps is how many steps of the script give a result before the call ends; 0: all, unless it
	// fails; -1: none.
	Steps  int
	Rows   map[string]string // of the state
	Emits  []state.Emit
	Output string   // of upcast, or the answer of query; "-" for none
	Blobs  []string // of snapshot
	Logs   []string // lines beside those of the steps
}

// Check runs a scenario, and returns what is not as it must be.
func (s *Scenario) Check(ctx context.Context, h Host) []string {
	r := &running{scenario: s, host: h, state: NewState(s.Rows)}
	r.all(ctx)
	return r.problems
}

// running is a scenario under way.
type running struct {
	scenario *Scenario
	host     Host
	state    *State
	instance guest.Instance
	lines    []string // logged in the call under way
	problems []string
}

// Enabled implements guest.Log.
func (r *running) Enabled(level int) bool { return level >= int(abi.LevelInfo) }

// Line implements guest.Log.
func (r *running) Line(l guest.Line) {
	line := l.Text
	if l.Level != int(abi.LevelInfo) {
		line = strconv.Itoa(l.Level) + " " + line
	}
	r.lines = append(r.lines, line)
}

func (r *running) complain(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *running) all(ctx context.Context) {
	if !r.start(ctx) {
		return
	}
	defer func() { r.instance.Close(ctx) }()
	for i, c := range r.scenario.Calls {
		if c.Fresh {
			r.instance.Close(ctx)
			if !r.start(ctx) {
				return
			}
		}
		r.lines = nil
		before := len(r.problems)
		r.call(ctx, c)
		for n := before; n < len(r.problems); n++ {
			r.problems[n] = fmt.Sprintf("call %d, %s: %s", i+1, c.Export, r.problems[n])
		}
	}
}

// start makes an instance, and reports whether there is one.
func (r *running) start(ctx context.Context) bool {
	s := r.scenario
	settings := s.Settings
	if settings == "" && s.Guest == "" {
		var err error
		if settings, err = s.Do.settings(); err != nil {
			r.complain("%v", err)
			return false
		}
	}
	bounds := s.Bounds
	bounds.Fuel = cmp.Or(bounds.Fuel, 100_000_000)
	r.lines = nil
	var err error
	r.instance, err = r.host.Start(ctx, Guest(cmp.Or(s.Guest, "probe")), bounds, guest.Config{Settings: []byte(settings), Memory: cmp.Or(s.Memory, 8<<20), Log: r})
	want := s.Started
	want.Fails = s.Fails
	r.holdError(err, want)
	if err == nil || want.Steps != 0 {
		r.holdLines(s.Do[abi.ExportInit], err, want)
	}
	return err == nil
}

// call makes a call and holds what came of it against what must.
func (r *running) call(ctx context.Context, c Call) {
	var out []byte
	var blobs [][]byte
	var err error
	switch c.Export {
	case abi.ExportApply:
		err = r.instance.Apply(ctx, records(c.Events), r.state)
	case abi.ExportUpcast:
		out, err = r.instance.Upcast(ctx, records(c.Events))
	case abi.ExportQuery:
		out, err = r.instance.Query(ctx, []byte(c.Request), r.state)
	case abi.ExportMigrate:
		err = r.instance.Migrate(ctx, c.From, r.state)
	case abi.ExportSnapshot:
		blobs, err = r.instance.Snapshot(ctx)
	case abi.ExportRestore:
		err = r.instance.Restore(ctx, asBytes(c.Blobs))
	default:
		err = fmt.Errorf("there is no export %q", c.Export)
	}
	r.holdError(err, c.Want)
	r.holdLines(r.scenario.Do[c.Export], err, c.Want)
	if err != nil {
		r.state.RollBack()
	}
	emits := r.state.Commit()
	r.holdState(emits, c.Want)
	if c.Output != "" && strings.TrimPrefix(c.Output, "-") != string(out) {
		r.complain("its output is %.200q, not %.200q", out, c.Output)
	}
	if c.Want.Blobs != nil && !slices.Equal(asStrings(blobs), c.Want.Blobs) {
		r.complain("its blobs are %.200q, not %.200q", blobs, c.Want.Blobs)
	}
}

func (r *running) holdError(err error, want Want) {
	switch {
	case want.Fails == "" && err != nil:
		r.complain("it failed: %v", err)
	case want.Fails != "" && err == nil:
		r.complain("it did not fail: %q was to be said", want.Fails)
	case err != nil && !strings.Contains(err.Error(), want.Fails):
		r.complain("it failed with %q, not with %q", err, want.Fails)
	}
}

// holdLines holds the lines of the steps, and the other ones, against what they must be.
func (r *running) holdLines(steps []Step, err error, want Want) {
	done := 0
	var logs []string
	for _, line := range r.lines {
		kind, digits, ok := strings.Cut(line, " ")
		if !ok || kind != "=" && kind != "#" || done >= len(steps) {
			logs = append(logs, line)
			continue
		}
		steps[done].hold(kind, digits, r.complain)
		done++
	}
	all := len(steps)
	if all > 0 && steps[all-1].op == opReturn {
		all--
	}
	switch {
	case want.Steps > 0 && done != want.Steps, want.Steps < 0 && done > 0:
		r.complain("%d steps gave a result, not %d", done, max(want.Steps, 0))
	case want.Steps == 0 && err == nil && done != all:
		r.complain("%d steps gave a result, not %d", done, all)
	}
	if want.Logs != nil && !slices.Equal(logs, want.Logs) {
		r.complain("it logged %.300q, not %.300q", logs, want.Logs)
	}
}

// hold holds the line of a step against what it must be.
func (s *Step) hold(kind, digits string, complain func(string, ...any)) {
	if s.op == opDump {
		got, err := hex.DecodeString(digits)
		if kind != "#" || err != nil || string(got) != string(s.bytes) {
			complain("%s is %.200q, not %.200q", s.says, got, s.bytes)
		}
		return
	}
	got, err := strconv.ParseUint(digits, 16, 64)
	if kind != "=" || err != nil {
		complain("%s: line %q is no result", s.says, digits)
	} else if s.result != nil && int64(got) != *s.result {
		complain("%s gave %d, not %d", s.says, int64(got), *s.result)
	}
}

func (r *running) holdState(emits []state.Emit, want Want) {
	if rows := r.state.rows; want.Rows != nil && !maps.Equal(rows, want.Rows) {
		r.complain("the state is %.300q, not %.300q", rows, want.Rows)
	}
	if want.Emits != nil && written(emits) != written(want.Emits) {
		r.complain("it emitted %.300s, not %.300s", written(emits), written(want.Emits))
	}
}

// written writes emits down, so that they can be compared and read.
func written(emits []state.Emit) string {
	var b strings.Builder
	for _, e := range emits {
		fmt.Fprintf(&b, "{of %d: %d, event %d: %q %q %q}", e.Cause, e.Index, e.Event, e.Subject, e.Headers, e.Data)
	}
	return b.String()
}

func records(events []abi.Record) (b []byte) {
	for i := range events {
		b = events[i].Append(b)
	}
	return b
}

func asBytes(list []string) [][]byte {
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(s)
	}
	return out
}

func asStrings(list [][]byte) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = string(b)
	}
	return out
}
