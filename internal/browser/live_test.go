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

// When the connection is lost the pages say so; when it is back, the overview goes on by
// itself, curves, too, for which no status has to change.
func lostConnection(s *server) {
	p := s.visit().open("/").sees("live", "repo-files").clicks("button", "Pause").sees("paused")
	evaluate[any](p, `{
  const Source = EventSource, every = setInterval, ask = fetch;
  window.EventSource = class extends Source { constructor(...of) { super(...of); window.source = this; } };
  window.setInterval = (what) => every(what, 30);
  window.asked = 0;
  window.fetch = (...of) => { window.asked++; return ask(...of); };
}0`)
	p.clicks("button", "Go on").until("it is drawn now and then", func() bool { return evaluate[int](p, "window.asked") > 5 })
	evaluate[any](p, "source.onerror(), 0")
	p.sees("connection lost")
	evaluate[any](p, "source.onopen(), window.asked = 0")
	p.sees("live").until("it is drawn now and then", func() bool { return evaluate[int](p, "window.asked") > 5 })

	p.open("/ui/projections/repo-files/time").sees("as of 19 547")
	evaluate[any](p, "console.error = () => {}, 0") // htmx tells it, too
	evaluate[any](p, "window.answers = XMLHttpRequest.prototype.send, XMLHttpRequest.prototype.send = function () { setTimeout(() => this.onerror()); }, 0")
	p.clicks("link", "−1").finds("alert", "")
	p.sees("The engine does not answer")
	evaluate[any](p, "XMLHttpRequest.prototype.send = window.answers, 0")
	p.clicks("link", "−1").until("it is there again", func() bool { return strings.Contains(p.text(), "as of 19 546") && !p.has("alert", "") })
}

// A command is copied where the browser has no clipboard for pages, too: it has none for those
// that come over plain HTTP from another machine.
func copying(s *server) {
	p := s.visit().open("/ui/projections/count").sees("As a command")
	for _, clipboard := range []string{"navigator.clipboard", "undefined"} {
		evaluate[any](p, "Object.defineProperty(navigator, 'clipboard', {value: "+clipboard+", configurable: true}), document.querySelector('details.copy').open = true, 0")
		p.clicks("button", "Copy").finds("button", "Copied")
		p.until("it can be copied again", func() bool { return !p.has("button", "Copied") })
	}
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
		t.Skip("a browser and an engine: make test-projects runs it without the race detector")
	}
}
