package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// The overview follows what happens without being loaded again; while it is paused it stands
// still, and then goes on.
func liveOverview(s *server) {
	p := s.visit().open("/").sees("live", "6 / 6")
	evaluate[any](p, "window.neverLoadedAgain = true, 0")
	var batch []wire.NewEvent
	for n := range 500 {
		batch = append(batch, wire.NewEvent{Subject: fmt.Sprint("payments.account.", 10+n%7), Data: []byte(`{"amount":1}`)})
	}
	if _, err := s.client.PublishBatch(s.t.Context(), "PAYMENTS", batch); err != nil {
		s.t.Fatal(err)
	}
	p.sees("506 / 506")
	p.clicks("button", "Pause").sees("paused")
	s.publish("PAYMENTS", batch[0])
	s.await("balances", func(st engine.Status) bool { return st.Position == 507 })
	if text := p.text(); !strings.Contains(text, "506 / 506") {
		s.t.Errorf("it does not stand still: %s", text)
	}
	p.clicks("button", "Go on").sees("507 / 507")
	if !evaluate[bool](p, "window.neverLoadedAgain === true") {
		s.t.Error("the page was loaded again")
	}
}

// With the keyboard alone: the first key leads past the header, the filter is heeded as it is
// typed, a link that has the focus is followed, the help is shown and closed, and the overview comes back.
func keyboard(s *server) {
	p := s.visit().open("/").sees("repo-files")
	p.presses(kb.Tab)
	if got := p.focused(); got != "Skip to the content" {
		s.t.Errorf("the first key leads to %q", got)
	}
	p.presses("/").until("the filter has the focus", func() bool { return evaluate[string](p, "document.activeElement.id") == "filter" })
	p.fills("Filter by name", "repo").until("others are filtered out", func() bool { return !strings.Contains(p.text(), "balances") })
	p.focuses("link", "repo-files")
	p.presses("\r").finds("heading", "repo-files")
	p.presses("?").finds("dialog", "Keyboard shortcuts")
	p.presses(kb.Escape).until("the help is gone", func() bool { return !p.has("dialog", "Keyboard shortcuts") })
	p.presses("g").presses("o").until("it is the overview", func() bool { return p.address() == "/" })
}

// focused is the text of what has the focus.
func (p *person) focused() string {
	p.t.Helper()
	return evaluate[string](p, "(document.activeElement.innerText || '').trim()")
}

// Where tokens are asked for, a person logs in with one, sees what it may read, and logs out.
func TestLogin(t *testing.T) {
	unraced(t)
	dir := t.TempDir()
	const reader = "a-token-of-somebody-who-reads"
	if err := os.WriteFile(filepath.Join(dir, "readers"), []byte(reader), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, fmt.Sprintf(`
[[http.token]]
file = %q
role = "read"
projections = ["count"]

[[stream]]
name = "EVENTS"
subjects = ["events.>"]
storage = "memory"

[[projection]]
name = "count"
module = "count.wasm"
stream = "EVENTS"

[[projection]]
name = "secret"
module = "count.wasm"
stream = "EVENTS"
`, filepath.Join(dir, "readers")), reader)
	p := s.visit().expectsRefusal().open("/ui/projections/count")
	p.fills("Token", "wrong-token-of-nobody\r").finds("alert", "")
	p.fills("Token", reader+"\r").finds("heading", "count")
	p.open("/").sees("count")
	if text := p.text(); strings.Contains(text, "secret") {
		t.Errorf("it shows what the token may not read: %s", text)
	}
	p.open("/ui/streams/EVENTS").sees("it needs the role read of all projections")
	p.clicks("button", "Log out").finds("textbox", "Token")
}

// unraced skips a test where the race detector runs.
func unraced(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser and an engine: make test-guests runs it without the race detector")
	}
}
