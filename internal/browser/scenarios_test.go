package browser

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/query/wire"
)

// shop are two projections of a history of files, and one of payments.
func shop(t testing.TB) string {
	log, err := filepath.Abs(gitlog)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`
[[stream]]
name = "GITLOG"
subjects = ["gitlog.>"]
seed = %q

[[stream]]
name = "PAYMENTS"
subjects = ["payments.>"]
storage = "memory"

[[projection]]
name = "count"
module = "count.wasm"
stream = "GITLOG"

[[projection]]
name = "repo-files"
module = "repo-files.wasm"
stream = "GITLOG"

[[projection]]
name = "balances"
module = "balances.wasm"
stream = "PAYMENTS"
subjects = ["payments.account.>"]
on_error = "dead-letter"
on_change = "swap"
`, log)
}

// pays stores payments: the fourth, of account 2, has no amount.
func pays(s *server) {
	for _, e := range []string{`1 {"amount":40}`, `2 {"amount":5}`, `1 {"amount":2}`, `2 {"total":7}`, `3 {"amount":1}`} {
		account, data, _ := strings.Cut(e, " ")
		s.publish("PAYMENTS", wire.NewEvent{Subject: "payments.account." + account, Data: []byte(data)})
	}
	s.publish("PAYMENTS", wire.NewEvent{Subject: "payments.note", DataB64: []byte("<script>alert(1)</script>")})
}

// The suite shares an engine: each part leaves what the others look at as it is.
func TestDashboard(t *testing.T) {
	unraced(t)
	s := serve(t, shop(t), "")
	pays(s)
	s.awaitLive("count", "repo-files", "balances")
	for _, part := range []struct {
		name string
		test func(*server)
	}{
		{"overview", overview},
		{"stream", stream},
		{"state", state},
		{"slider", slider},
		{"explanation", explanation},
		{"every page", everyPage},
		{"live overview", liveOverview},
		{"keyboard", keyboard},
		{"lost connection", lostConnection},
		{"copying", copying},
		{"promote", promote},
		{"dead letter", deadLetter},
	} {
		t.Run(part.name, func(t *testing.T) { one := *s; one.t = t; part.test(&one) })
	}
}

// The overview has every projection, with its numbers, and leads to each.
func overview(s *server) {
	p := s.visit().open("/").sees("19 547", "repo-files", "balances")
	p.clicks("link", "repo-files").finds("heading", "repo-files")
	if got := p.address(); got != "/ui/projections/repo-files" {
		s.t.Errorf("the page is %s", got)
	}
}

// A stream's page shows events around a sequence, decoded, in pages; how far projections are;
// and nothing that an event says as anything but text.
func stream(s *server) {
	p := s.visit().open("/ui/streams/GITLOG")
	p.sees("gitlog.>", "19 547", "count is here")
	p.fills("Around a sequence or a time", "12000\r").sees("12 000", "11 985 to 12 014", `"case":`)
	p.clicks("link", "Older").sees("11 955 to 11 984")
	p.clicks("link", "First").sees("1 to 30")
	p.clicks("link", "Newer").sees("31 to 60")
	p.open("/ui/streams/PAYMENTS?subject=payments.note&around=6").sees("<script>alert(1)</script>")
	if strings.Contains(p.text(), "payments.account.2 ") {
		s.t.Error("events of other subjects are there")
	}
	p.sees("balances is here").clicks("link", "balances")
	p.finds("heading", "balances")
}
