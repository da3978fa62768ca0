package gnomontest

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gnomon/sdk/outcome"
)

// Expect runs the projection over events one by one, and fails the test when what comes of
// them is not what a file expects: the file, and what is compared, are those of engine test
// (see package gnomon/sdk/outcome). An event that fails is among the errors, and is passed
// over. Events are as engine import would store them: at their own time, unless Stored is set.
// Requests of the file are answered by the program's query handler.
//
// With GNOMON_UPDATE=1 in the environment, or where the test program has a flag -update that
// is set, the file is written instead.
func Expect(t testing.TB, events []Event, o Options, file string) {
	t.Helper()
	update := updating()
	want, err := readExpectation(file)
	if errors.Is(err, fs.ErrNotExist) && update {
		want, err = nil, nil
	}
	if err != nil {
		t.Fatalf("%v (GNOMON_UPDATE=1 writes it)", err)
	}
	got, err := resultOf(events, o, want)
	if err != nil {
		t.Fatal(err)
	}
	if update {
		writeExpectation(t, file, want, got)
		return
	}
	if all := outcome.Compare(want, got); len(all) > 0 {
		t.Errorf("what is expected (-), and what there is (+), differ in %d places:\n%s", len(all), outcome.Report(all, 20))
	}
}

// updating reports whether expectations are to be written.
func updating() bool {
	f := flag.Lookup("update")
	return os.Getenv("GNOMON_UPDATE") == "1" || f != nil && f.Value.String() == "true"
}

func readExpectation(file string) (*outcome.Outcome, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return outcome.Decode(b)
}

// resultOf is the outcome of events, with answers to what want has requests for; nil: none.
func resultOf(events []Event, o Options, want *outcome.Outcome) (*outcome.Outcome, error) {
	o.Batch, o.Restart = 1, 0
	failures := []outcome.Failure{}
	r := &run{goOn: true, settled: func(_, _ int, f *Failure) {
		if f != nil {
			failures = append(failures, outcome.Failure{Event: f.Sequence, Error: f.Text})
		}
	}}
	result, err := r.over(imported(events), o)
	if err != nil {
		return nil, err
	}
	got := result.outcome()
	got.Errors = failures
	if want == nil || want.Queries == nil {
		return got, nil
	}
	got.Queries = []outcome.Query{}
	for _, q := range want.Queries {
		answer := outcome.Query{Request: q.Request}
		var failure *Failure
		if answer.Answer, err = result.Query(q.Request); errors.As(err, &failure) {
			answer.Error = failure.Text
		} else if err != nil {
			return nil, err
		}
		got.Queries = append(got.Queries, answer)
	}
	return got, nil
}

// imported are events as engine import stores them.
func imported(events []Event) []Event {
	all := append([]Event{}, events...)
	for i := range all {
		e := &all[i]
		if at, err := time.Parse(time.RFC3339, e.Time); err == nil && e.Stored.IsZero() {
			e.Stored = at
		}
		if e.Source == "" {
			e.Source = "gnomon/import"
		}
	}
	return all
}

// outcome is a result in the form of the file.
func (r *Result) outcome() *outcome.Outcome {
	o := &outcome.Outcome{State: r.State, Emits: []outcome.Record{}, Logs: append([]string{}, r.Logged...)}
	for i, e := range r.Emitted {
		o.Emits = append(o.Emits, outcome.Record{Event: e.Sequence, Subject: e.Subject, Headers: r.headers[i], Data: e.Data})
	}
	return o
}

// writeExpectation replaces the file; sections that it did not have stay out.
func writeExpectation(t testing.TB, file string, was, o *outcome.Outcome) {
	t.Helper()
	if was != nil {
		o = o.Like(was)
	}
	b := o.Encode()
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, b) {
		return
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is written: read what it says before you keep it", file)
}
