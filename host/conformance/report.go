package conformance

import (
	"fmt"
	"slices"
)

// Verdict says what is known of a rule after a check.
type Verdict string

// The verdicts.
const (
	OK           Verdict = "ok"
	Failed       Verdict = "failed"
	Warning      Verdict = "warning"       // allowed, and seldom meant
	NotExercised Verdict = "not exercised" // there was no occasion to break it
)

// Finding is the verdict on a rule.
type Finding struct {
	GuestRule
	Verdict Verdict
	Text    string // why, or what is missing
}

// Report is what a check of a guest found.
type Report struct {
	Findings []Finding // one for each of GuestRules, in their order
}

func newReport() *Report {
	r := &Report{}
	for _, rule := range GuestRules {
		r.Findings = append(r.Findings, Finding{GuestRule: rule, Verdict: OK})
	}
	return r
}

func (r *Report) of(id string) *Finding {
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			return &r.Findings[i]
		}
	}
	panic("conformance: no rule for guests is called " + id)
}

// note notes a verdict, unless there is one that is as bad: the first of them is kept.
func (r *Report) note(id string, v Verdict, format string, args ...any) {
	f := r.of(id)
	if f.Verdict == Failed || f.Verdict == v || f.Verdict == Warning && v != Failed {
		return
	}
	f.Verdict, f.Text = v, fmt.Sprintf(format, args...)
}

// missing notes that a rule was not exercised, unless something was found all the same.
func (r *Report) missing(id string, format string, args ...any) {
	if f := r.of(id); f.Verdict == OK {
		f.Verdict, f.Text = NotExercised, fmt.Sprintf(format, args...)
	}
}

// failed reports whether one of some rules is broken.
func (r *Report) failed(ids ...string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return r.of(id).Verdict == Failed })
}

// Failed reports whether a rule is broken.
func (r *Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Verdict == Failed {
			return true
		}
	}
	return false
}
