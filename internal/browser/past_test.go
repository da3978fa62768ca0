package browser

import (
	"strings"

	"github.com/chromedp/chromedp/kb"
)

// state is browsed by prefix and page; a key is opened, and then seen as it was.
func state(s *server) {
	p := s.visit().open("/ui/projections/repo-files").clicks("link", "State")
	p.fills("Keys that begin with", "author\r")
	p.until("only keys of authors are there", func() bool {
		return strings.Contains(p.address(), "prefix=author") && p.has("link", "author") && !strings.Contains(p.text(), "server/")
	})
	p.clicks("link", "Next").until("it is the next page", func() bool { return strings.Contains(p.address(), "after") })
	p.fills("Go to key", "total\r").finds("heading", "total")
	p.sees("as of 19 547")
	now := p.value()
	p.fills("As of a sequence or time", "12000\r").sees("as of 12 000")
	if then := p.value(); then == now || then == "" {
		s.t.Errorf("the value was %q, and is %q", then, now)
	}
	p.clicks("link", "Explain this value").sees("12 000", "changed", "file_modified")
}

// value is the value of a key on its page.
func (p *person) value() string {
	p.t.Helper()
	text := p.text()
	_, text, _ = strings.Cut(text, "\nValue")
	value, _, _ := strings.Cut(text, "Its bytes")
	return value
}

// Sliding back in time shows older states, and what changed up to there; with two sequences,
// what changed between them. It works with the keyboard alone.
func slider(s *server) {
	p := s.visit().open("/ui/projections/repo-files").clicks("link", "Time").sees("as of 19 547")
	p.focuses("slider", "To: a sequence").presses(kb.ArrowLeft+kb.ArrowLeft+kb.ArrowLeft).sees("as of 19 544", "What changed since 19 543")
	p.presses(kb.Home).until("it is the oldest one that is kept", func() bool {
		oldest, _, _ := strings.Cut(p.address(), "&")
		return strings.HasPrefix(oldest, "/ui/projections/repo-files/time?to=") && strings.Contains(strings.ReplaceAll(p.text(), " ", ""), "asof"+oldest[len("/ui/projections/repo-files/time?to="):]) && !p.has("link", "Oldest")
	})
	p.fills("To, a sequence or time", "15000").fills("From", "12000\r").sees("as of 15 000", "What changed since 12 000", "added", "changed")
	if before := p.address(); !strings.Contains(before, "from=12000") || !strings.Contains(before, "to=15000") {
		s.t.Errorf("the address is %s", before)
	}
	p.clicks("link", "the event in its stream").sees("14 985 to 15 014")
}

// explanation shows which events made a value, each with what was before and after it.
func explanation(s *server) {
	p := s.visit().open("/ui/projections/balances").clicks("link", "Explain").fills("Key", "1\r")
	p.sees("payments.account.1", "balance", "42", "40", "added", "changed")
	p.clicks("link", "in its stream").sees("balances is here")
}
