package trial

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/testdriver"
	"gnomon/sdk/outcome"
)

// report is what comes of one test.
type report struct {
	*tester
	subject testdriver.Subject
	want    *outcome.Outcome // nil: nothing is expected

	base    *testdriver.Result
	varied  *testdriver.Varied // nil: nothing was varied
	answers []outcome.Query    // to the requests of --query
	differs []outcome.Difference
}

// How much of what differs, and of what there is, is shown.
const (
	shownDifferences = 20
	shownTypes       = 20
)

// test applies the events, and compares.
func (r *report) test(ctx context.Context, list *testdriver.Events) (err error) {
	p := cli.NewProgress(r.stderr, "test "+eventsFile(r.events), int64(list.Len()))
	defer func() { p.Finish() }()
	requests := r.queries
	if r.want != nil {
		requests = append(testdriver.Requests(r.want), requests...)
	}
	o := testdriver.Options{Halt: r.halt, Queries: requests, Progress: func(n int) { p.Set(int64(n)) }}
	if r.base, err = testdriver.Run(ctx, r.subject, list, o); err != nil {
		return r.explain(err)
	}
	got := r.base.Outcome
	r.answers = got.Queries[len(got.Queries)-len(r.queries):]
	if r.want != nil && !r.update {
		got.Queries = got.Queries[:len(got.Queries)-len(r.queries)]
		r.differs = outcome.Compare(r.want, &got)
	}
	if r.vary {
		p.Finish()
		r.varied, err = testdriver.Vary(ctx, r.base, testdriver.VaryOptions{
			Seed: r.seed, Keys: r.keys,
			Begin: func(variation string) {
				p.Finish()
				p = cli.NewProgress(r.stderr, "with "+variation, int64(list.Len()))
			},
			Progress: func(n int) { p.Set(int64(n)) },
		})
	}
	return err
}

// explain adds a way out to what a module does not start for.
func (r *report) explain(err error) error {
	if string(r.subject.Settings) == "{}" && strings.HasPrefix(err.Error(), "init ") {
		return cli.WithHint(err, "init was called with empty settings; for a module that needs some give them with --settings")
	}
	return err
}

// print says what came of the test, and fails when something differs.
func (r *report) print() error {
	w := r.stdout
	found := r.finding()
	fmt.Fprintf(w, "%s: %s\n", r.module, r.verdict())
	r.figures(w)
	for _, q := range r.answers {
		fmt.Fprintf(w, "\nquery %s\n%s\n", cli.ReadableText([]byte(q.Request)), answerText(q))
	}
	if len(r.differs) > 0 {
		fmt.Fprintf(w, "\nwhat is expected (-), and what there is (+):\n%s", outcome.Report(r.differs, shownDifferences))
	}
	if found != nil {
		r.printFinding(w, found)
	}
	if r.expect == "" {
		fmt.Fprintf(w, "\n%s", r.base.Outcome.Encode())
	}
	switch {
	case found != nil && r.update:
		return cli.WithHint(cli.Differs(fmt.Errorf("%s: what comes of the events is not always the same, so %s is not written", r.module, r.expect)), "repeat this run with --seed %d", r.seed)
	case found != nil:
		return cli.WithHint(cli.Differs(fmt.Errorf("%s: what comes of the events is not always the same", r.module)), "repeat this run with --seed %d", r.seed)
	case len(r.differs) > 0:
		return cli.WithHint(cli.Differs(fmt.Errorf("%s: what comes of the events is not what %s expects, in %s", r.module, r.expect, cli.Count(len(r.differs), "place", "places"))), "if it is right as it is now, write it with --update")
	case r.update:
		return r.updateExpectation()
	case r.noneApplied():
		first := r.base.Outcome.Errors[0]
		return cli.WithHint(fmt.Errorf("%s: no event could be applied; number %d: %s", r.module, first.Event, first.Error), "if that is right, keep it as what is expected: --expect testdata/expected.json --update")
	case r.expect == "":
		fmt.Fprintln(r.stderr, "hint: keep this as what is expected: --expect testdata/expected.json --update")
	}
	return nil
}

// noneApplied reports whether all events fail, and nobody has said that they are to.
func (r *report) noneApplied() bool {
	s := &r.base.Stats
	return r.want == nil && s.Events > 0 && s.Failed == s.Events
}

func (r *report) finding() *testdriver.Finding {
	if r.varied == nil {
		return nil
	}
	return r.varied.Finding
}

func (r *report) verdict() string {
	switch {
	case r.finding() != nil:
		return "not always the same"
	case len(r.differs) > 0:
		return "differs from " + r.expect
	case r.noneApplied() && !r.update:
		return "no event could be applied"
	case r.want == nil || r.update:
		return "ok"
	}
	return "ok, as " + r.expect + " expects"
}

func (r *report) updateExpectation() error {
	o := &r.base.Outcome
	if r.want != nil { // what somebody left out stays out
		o = o.Like(r.want)
	}
	changed, err := r.writeExpectation(o)
	switch {
	case err != nil:
		return err
	case changed:
		fmt.Fprintf(r.stdout, "\n%s is written: read what it says before you keep it\n", r.expect)
	default:
		fmt.Fprintf(r.stdout, "\n%s is as it was\n", r.expect)
	}
	return nil
}

func answerText(q outcome.Query) string {
	if q.Error != "" {
		return "error: " + cli.Readable([]byte(q.Error))
	}
	return cli.ReadableText([]byte(q.Answer))
}

// figures are what there is, and what it took.
func (r *report) figures(w io.Writer) {
	s, o := &r.base.Stats, &r.base.Outcome
	row := func(name, text string) { fmt.Fprintf(w, "  %-9s %s\n", name, text) }
	row("events", fmt.Sprintf("%s of %s, %s failed", cli.Comma(s.Events), eventsFile(r.events), cli.Comma(s.Failed)))
	if o.State != nil {
		row("outcome", fmt.Sprintf("%s of %s, %s emitted, %s", cli.Count(s.Keys, "key", "keys"), humanize.IBytes(uint64(s.Bytes)), cli.Comma(len(o.Emits)), cli.Count(len(o.Logs), "line of log", "lines of log")))
	} else {
		row("outcome", fmt.Sprintf("%s, %s", cli.Count(len(o.Records), "event", "events"), cli.Count(len(o.Logs), "line of log", "lines of log")))
	}
	if r.varied != nil && r.finding() == nil {
		row("same with", fmt.Sprintf("%s (seed %d)", strings.Join(r.varied.Names, ", "), r.seed))
		for _, text := range r.varied.Skipped {
			row("not tried", text)
		}
	}
	if s.Events == 0 {
		return
	}
	took := fmt.Sprintf("%s an event", (s.Took / time.Duration(s.Events)).Round(10*time.Nanosecond))
	if r.varied != nil && r.varied.Batched > 0 {
		took += fmt.Sprintf(", %s in batches", r.varied.Batched.Round(10*time.Nanosecond))
	}
	row("time", took)
	row("memory", fmt.Sprintf("%s when started, %s at most", humanize.IBytes(s.MemoryAtStart), humanize.IBytes(s.MemoryAtEnd)))
	if leak := s.Leak(); leak > 0 {
		row("warning", fmt.Sprintf("memory grows by %s for each event, and goes on to: what is kept that is not needed? The limit is %s (limits.memory)", humanize.IBytes(leak), humanize.IBytes(r.limits.Memory)))
	}
	if r.limits.Fuel == 0 {
		row("fuel", "not metered")
		return
	}
	row("fuel", fmt.Sprintf("init %s; an event %s on average; the limit of an event is %s (limits.fuel)", cli.Comma(s.InitFuel), cli.Comma(s.Fuel/uint64(s.Events)), cli.Comma(r.limits.Fuel)))
	r.table(w)
}

// table is what events took, by type.
func (r *report) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nevents\tfuel: least\tmedian\tmost\tof event\thost calls\t  type\n")
	types := r.base.Stats.Types
	for i, k := range types {
		if i == shownTypes {
			break
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%.1f\t  %s\n", cli.Comma(k.Events), cli.Comma(k.LeastFuel), cli.Comma(k.MedianFuel), cli.Comma(k.Most), k.MostAt, k.HostCalls, cli.Readable([]byte(k.Type)))
	}
	_ = t.Flush()
	if more := len(types) - shownTypes; more > 0 {
		fmt.Fprintf(w, "and %d types more\n", more)
	}
}

// printFinding names the first event that differs.
func (r *report) printFinding(w io.Writer, f *testdriver.Finding) {
	if f.Event == 0 {
		fmt.Fprintf(w, "\nafter the last event the memory of the module is not the same with %s (+) as one by one (-):\n", f.Variation)
	} else {
		fmt.Fprintf(w, "\nevent %d is the first that comes out otherwise with %s (+) than one by one (-):\n", f.Event, f.Variation)
		if f.Line > 0 {
			fmt.Fprintf(w, "  at        %s:%d, type %s, subject %s\n", eventsFile(r.events), f.Line, cli.Readable([]byte(f.Type)), cli.Readable([]byte(f.Subject)))
		}
	}
	for line := range strings.Lines(f.Difference.String()) {
		fmt.Fprintf(w, "  %s", line)
	}
	fmt.Fprintf(w, "\n  usually   %s\n", f.Cause)
	if len(f.Also) > 0 {
		fmt.Fprintf(w, "  also      %s\n", strings.Join(f.Also, ", "))
	}
}
