package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/sdk/abi"
	"gnomon/sdk/outcome"
)

// GuestCheck is a guest, and what it is checked with.
type GuestCheck struct {
	Module   *host.Module
	Code     []byte             // of the module
	Events   *testdriver.Events // that it is made for
	Settings []byte             // JSON; nil: {}
	Memory   uint64             // limit, in bytes; 0: 64 MiB
	Requests [][]byte           // for query; nil: an empty one and {}
}

// CheckGuest runs a module under all that a host may do: batches of any size, instances that
// are dropped between calls, padding that is not zero, events of every shape, pages of one
// entry, other clocks. It fails when the module does not start. Whether the events of a key can
// be taken apart from the others is no rule, and not looked at: see testdriver.Vary.
func CheckGuest(ctx context.Context, c GuestCheck) (*Report, error) {
	k := &guestCheck{GuestCheck: c, report: newReport(), used: map[string]bool{}, traits: c.Module.Traits()}
	steps := []func(context.Context) error{k.given, k.shapes, k.memory, k.queries}
	ended := "" // why
	for _, s := range steps {
		if err := s(ctx); err != nil {
			if !k.broken(err) {
				return nil, err
			}
			ended = err.Error()
			break
		}
	}
	k.static()
	k.settle()
	if ended != "" {
		for _, r := range GuestRules {
			k.report.missing(r.ID, "the check ended with: %s", ended)
		}
	}
	return k.report, nil
}

// broken notes what a guest did in a place where nothing can go on, and reports whether that
// was the guest's failure, once it had started.
func (k *guestCheck) broken(err error) bool {
	var guest *guest.Error
	if !errors.As(err, &guest) {
		return false
	}
	switch guest.Call {
	case abi.ExportSnapshot, abi.ExportRestore:
		k.report.note("P7", Failed, "%s", err)
	case abi.ExportApply, abi.ExportUpcast:
		k.report.note(k.restartRule(), Failed, "%s", err)
	default:
		return false
	}
	return true
}

// guestCheck is a check under way.
type guestCheck struct {
	GuestCheck
	report *Report
	traits guest.Traits
	used   map[string]bool // by the guest, see observer
	base   *testdriver.Result
	failed map[uint64]bool // sequences of the given events that fail
}

// subject is the guest, observed.
func (k *guestCheck) subject(odd map[uint64]string, change func(*observer)) testdriver.Subject {
	o := &observer{Module: k.Module, report: k.report, odd: odd, used: k.used}
	if change != nil {
		change(o)
	}
	o.begin()
	return testdriver.Subject{Module: o, Settings: k.Settings, Memory: k.Memory}
}

// given applies the events as they are, and varies what must not show.
func (k *guestCheck) given(ctx context.Context) (err error) {
	if k.base, err = testdriver.Run(ctx, k.subject(nil, nil), k.Events, testdriver.Options{}); err != nil {
		return err
	}
	k.failed = map[uint64]bool{}
	for _, f := range k.base.Outcome.Errors {
		k.failed[f.Event] = true
	}
	if k.allFail() { // there is nothing to vary, and each may take all of its fuel
		return nil
	}
	return k.vary(ctx, k.base, "")
}

// allFail reports whether there are events, and no use in them.
func (k *guestCheck) allFail() bool {
	n := len(k.failed)
	return n > 0 && n == k.Events.Len()
}

// vary runs the variations, and blames the rules that they are about.
func (k *guestCheck) vary(ctx context.Context, base *testdriver.Result, rule string) error {
	v, err := testdriver.Vary(ctx, base, testdriver.VaryOptions{Seed: 1})
	if err != nil || v.Finding == nil {
		return err
	}
	f := v.Finding
	text := difference(f.Difference)
	if f.Event != 0 {
		text = fmt.Sprintf("event %d (%s): %s", f.Event, f.Type, text)
	}
	k.report.note(cmpRule(rule, k.ruleOf(f.Variation)), Failed, "with %s: %s", f.Variation, text)
	for _, name := range f.Also {
		k.report.note(cmpRule(rule, k.ruleOf(name)), Failed, "with %s the outcome is another", name)
	}
	return nil
}

func cmpRule(given, own string) string {
	if given != "" {
		return given
	}
	return own
}

// ruleOf is the rule that a variation is about.
func (k *guestCheck) ruleOf(variation string) string {
	switch {
	case strings.Contains(variation, "clock"), strings.Contains(variation, "random"):
		return "W6"
	case k.traits.Upcasts, strings.Contains(variation, "fresh instance"):
		return k.restartRule()
	}
	return "X8"
}

// restartRule is the rule that what an instance has done before must not show.
func (k *guestCheck) restartRule() string {
	switch {
	case k.traits.Upcasts:
		return "U11"
	case k.traits.Memory:
		return "P7"
	}
	return "X9"
}

// difference is a difference in one line.
func difference(d outcome.Difference) string {
	return fmt.Sprintf("%s %s: %.200s, otherwise %.200s", d.Section, d.Place, d.Got, d.Want)
}

// shapes applies events of every shape, and disturbs what a guest must not look at.
func (k *guestCheck) shapes(ctx context.Context) error {
	if k.allFail() {
		return nil
	}
	events, odd := shapesOf(k.Events, k.failed)
	base, err := testdriver.Run(ctx, k.subject(odd, nil), events, testdriver.Options{})
	if err != nil {
		return err
	}
	if !k.report.failed("X8", "X9", "P7", "U11", "W6") { // or the same would be found again
		if err := k.vary(ctx, base, "B11"); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		rule, says string
		change     func(*observer)
	}{
		{"B10", "flags set and padding that is not zero", func(o *observer) { o.litter = true }},
		{"C7", "pages of one entry", func(o *observer) { o.onePage = true }},
	} {
		got, err := testdriver.Run(ctx, k.subject(odd, d.change), events, testdriver.Options{})
		if err != nil {
			return err
		}
		if all := outcome.Compare(&base.Outcome, &got.Outcome); len(all) > 0 {
			k.report.note(d.rule, Failed, "with %s: %s", d.says, difference(all[0]))
		}
	}
	return nil
}

// snapshotPoints is at how many places of the events snapshots are looked at.
const snapshotPoints = 8

// memory looks at what a guest saves of its memory.
func (k *guestCheck) memory(ctx context.Context) error {
	if !k.traits.Memory || k.traits.Upcasts {
		return nil
	}
	return k.walk(ctx, k.Events.Len(), func(s *testdriver.Session, at int) error {
		if at%max(1, k.Events.Len()/snapshotPoints) != 0 && at != k.Events.Len() {
			return nil
		}
		first, err := s.Instance().Snapshot(ctx)
		if err != nil {
			return err
		}
		again, err := s.Instance().Snapshot(ctx)
		if err != nil {
			return err
		}
		k.sameBlobs(at, "a second snapshot", first, again)
		fresh, err := k.restored(ctx, first, nil)
		if err != nil {
			return err
		}
		defer fresh.Close(ctx)
		if again, err = fresh.Snapshot(ctx); err == nil {
			k.sameBlobs(at, "the snapshot of an instance that was restored", first, again)
		}
		return err
	})
}

func (k *guestCheck) sameBlobs(at int, what string, want, got [][]byte) {
	if slices.EqualFunc(want, got, bytes.Equal) {
		return
	}
	a, b := slices.Concat(want...), slices.Concat(got...)
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	k.report.note("P8", Failed, "after %d events %s is another one: %d bytes in %d blobs and %d in %d, which differ from byte %d on", at, what, len(a), len(want), len(b), len(got), i)
}

// restored is a fresh instance with a memory.
func (k *guestCheck) restored(ctx context.Context, blobs [][]byte, change func(*observer)) (guest.Instance, error) {
	s := k.subject(nil, change)
	memory := s.Memory
	if memory == 0 {
		memory = 64 << 20
	}
	in, err := s.Module.Instantiate(ctx, guest.Config{Settings: s.Settings, Memory: memory})
	if err != nil || blobs == nil {
		return in, err
	}
	if err := in.Restore(ctx, blobs); err != nil {
		in.Close(ctx)
		return nil, err
	}
	return in, nil
}

// walk applies the first events that do not fail, in one instance, and looks after each, and
// at the end when that is at none of them.
func (k *guestCheck) walk(ctx context.Context, count int, look func(s *testdriver.Session, at int) error) error {
	s, err := testdriver.NewSession(ctx, k.subject(nil, nil), guest.Surroundings{})
	if err != nil {
		return err
	}
	defer s.Close(ctx)
	at := 0
	for i := range count {
		r := k.Events.Record(i)
		if k.failed[r.Sequence] {
			continue
		}
		if _, err := s.Call(ctx, r.Append(nil)); err != nil {
			return fmt.Errorf("event %d, which did not fail when instances were replaced after a failure, fails in one that lives on: %w", r.Sequence, err)
		}
		at = i + 1
		if err := look(s, at); err != nil {
			return err
		}
	}
	if at != count || count == 0 {
		return look(s, count)
	}
	return nil
}

// static looks at what is known without running.
func (k *guestCheck) static() {
	if text := host.FloatWarning(k.Code); text != "" {
		k.report.note("N1", Warning, "it %s", text)
	}
}

// settle says of the rules that nothing was found for whether there was an occasion to.
func (k *guestCheck) settle() {
	r := k.report
	if k.traits.Upcasts {
		for _, id := range []string{"X8", "X9", "P7", "P8", "Q8"} {
			r.missing(id, "it is an upcaster")
		}
	} else {
		r.missing("U11", "it is no upcaster")
		r.missing("U12", "it is no upcaster")
	}
	if k.Events.Len() == 0 {
		for _, id := range []string{"X8", "X9", "U11", "B10", "B11", "B12", "P7"} {
			r.missing(id, "there are no events: give some with --events")
		}
	}
	if k.allFail() {
		for _, id := range []string{"X8", "X9", "U11", "B10", "B11", "B12", "P7", "W6"} {
			r.missing(id, "every event fails, as the first: %s; give it events that it is made for, and settings", k.base.Outcome.Errors[0].Error)
		}
	}
	if !k.traits.Memory {
		r.missing("P7", "it keeps nothing in memory: it exports no snapshot")
		r.missing("P8", "it keeps nothing in memory: it exports no snapshot")
	} else {
		r.missing("X9", "it keeps state in its memory: see P7")
	}
	unused := func(id string, functions ...string) {
		if !slices.ContainsFunc(functions, func(f string) bool { return k.used[f] }) {
			r.missing(id, "it does not call %s", strings.Join(functions, ", "))
		}
	}
	for _, id := range []string{"X8", "X9", "U11", "P7", "B10", "B11", "B12"} {
		unused(id, abi.ImportBatchRead, abi.ImportInputRead)
	}
	unused("C7", abi.ImportStateScan)
	unused("E9", abi.ImportEmit)
	unused("S8", abi.ImportStateGet, abi.ImportStatePut, abi.ImportStateDelete, abi.ImportStateScan)
	short := false
	for f := range readers {
		short = short || k.used["short "+f] && f != abi.ImportBatchRead
	}
	if !short {
		r.missing("R7", "nothing that it read was larger than its buffers")
	}
	if !k.used["short "+abi.ImportBatchRead] && !k.used["short "+abi.ImportInputRead] {
		r.missing("B12", "no event was larger than its buffer")
	}
}
