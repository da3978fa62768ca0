package browser

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp/kb"

	"gnomon/engine"
)

// A candidate is compared with what is read, and promoted after a question that can be
// declined.
func promote(s *server) {
	before := s.await("count", func(engine.Status) bool { return true })
	text := strings.Replace(shop(s.t), "module = \"count.wasm\"\nstream = \"GITLOG\"\n", "module = \"count.wasm\"\nstream = \"GITLOG\"\nsettings = { of = \"everything\" }\n", 1)
	s.configure(text)
	s.await("count", func(st engine.Status) bool {
		return st.Candidate != nil && st.Candidate.Position == before.StreamLast
	})
	p := s.visit().open("/ui/projections/count").clicks("link", "Generations").sees("candidate")
	p.clicks("button", "Compare").sees("0 changed", "3 104 the same")
	p.clicks("link", "Promote the candidate").finds("dialog", "Promote")
	p.presses(kb.Escape).until("the question is gone", func() bool { return !p.has("dialog", "Promote") })
	if now := s.await("count", func(engine.Status) bool { return true }); now.Generation != before.Generation {
		s.t.Error("it was promoted without an answer")
	}
	p.clicks("link", "Promote the candidate").clicks("button", "Promote the candidate")
	now := s.await("count", func(st engine.Status) bool { return st.Generation != before.Generation })
	p.sees(now.Generation, "previous", "There is no candidate")
}

// An event that failed is shown with its data and the error, and retried by the module that
// has been mended meanwhile.
func deadLetter(s *server) {
	p := s.visit().open("/ui/projections/balances").clicks("link", "Dead letters").sees("amount is missing", "total: 7")
	was := s.await("balances", func(engine.Status) bool { return true }).Module // before the engine can see the new file
	mended, err := os.ReadFile(filepath.Join(built, "mended.wasm"))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "plugins", "balances.wasm"), mended, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.await("balances", func(st engine.Status) bool { return st.Module != was && st.State == engine.Live })
	p.clicks("link", "Retry").finds("dialog", "Retry")
	p.clicks("button", "Retry").sees("No event is set aside")
	s.await("balances", func(st engine.Status) bool { return st.Aside.Letters == 0 })
}
