package dashboard_test

import (
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/dashboard"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// Tokens of these tests.
const (
	reads = "a-token-that-reads-all"
	acts  = "a-token-of-an-admin-of-all"
)

// script is what nobody may make a page run.
const script = "<script>alert(1)</script>\x1b[31m\x00\u202e"

// operated is an engine with a projection p, whose events of the data "poison" fail until it
// is mended, behind a server with a dashboard.
type operated struct {
	t      *testing.T
	nats   *enginetest.Server
	engine *engine.Engine
	spec   engine.Spec
	logs   guest.Logs
	mended atomic.Bool
	url    string
}

func operate(t *testing.T, policy engine.Policy, events ...string) *operated {
	t.Helper()
	o := &operated{t: t, nats: new(enginetest.Server)}
	o.nats.CreateFor("S", ">")
	for i := 0; i < len(events); i += 2 {
		o.nats.Append("S", events[i], []byte(events[i+1]))
	}
	log := slog.New(slog.DiscardHandler)
	o.engine = engine.New(engine.Options{Source: o.nats, Store: new(enginetest.Store), Catalog: new(enginetest.Catalog), Log: log})
	o.spec = engine.Spec{
		Name: "p", Stream: "S", Batch: streams.ReadLimit{Events: 100, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20,
		MemorySnapshots: engine.MemoryPolicy{Events: 1, Every: time.Hour, Keep: 1}, Pins: engine.PinPolicy{Max: 2}, History: engine.HistoryPolicy{All: true},
		Settings: []byte(`{"threshold":5}`), OnError: policy, Letters: 1000, KeepPrevious: time.Hour,
		KeyOf: func(e abi.Record) []byte { return e.Subject },
		Module: enginetest.FuncModule("picky", func(e abi.Record, st guest.State) error {
			if strings.HasPrefix(string(e.Data), "poison") && !o.mended.Load() {
				return enginetest.Refuse("poisoned by %s", e.Data)
			}
			return st.Put(e.Subject, e.Data)
		}),
	}
	if _, err := o.engine.Declare(t.Context(), o.spec); err != nil {
		t.Fatal(err)
	}
	files := map[access.Role]string{access.Read: reads, access.Admin: acts}
	var grants []access.Grant
	for role, token := range files {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		grants = append(grants, access.Grant{File: file, Role: role})
	}
	tokens, err := access.OpenTokens(grants, log)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(query.New(query.Options{
		Engine: o.engine, Access: tokens, Logs: &o.logs, Version: "test", Log: log, Origins: []string{"https://app.example.com"},
		Dashboard: func(api http.Handler) http.Handler { return dashboard.New(api, "test") },
	}))
	o.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := o.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	o.engine.Start(t.Context())
	o.until("it has read everything", func(s engine.Status) bool {
		return s.State == engine.Halted || s.State == engine.Live && s.Position == s.StreamLast // served, and not applied alone
	})
	return o
}

// until waits until what is known of p is so.
func (o *operated) until(_ string, is func(engine.Status) bool) {
	o.t.Helper()
	testutil.Until(o.t, func() bool { s, err := o.engine.Status("p"); return err == nil && is(s) })
}

// ask sends a request with a token, and headers as name and value in turns. It follows no
// redirect.
func (o *operated) ask(token, method, path, form string, headers ...string) (*http.Response, string) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, strings.NewReader(form))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return res, string(b)
}

const at = "/ui/projections/p"

var tabs = []string{"", "/generations", "/generations?compare=1", "/dead-letters", "/snapshots", "/module", "/log"}

// tags are what html is taken off.
var tags = regexp.MustCompile(`<[^>]*>`)

// said is what a page says, without what it is written with.
func said(body string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(body, " "))), " ")
}

// candidate declares another module, which is built beside the one that is read.
func (o *operated) candidate() {
	o.t.Helper()
	other := o.spec
	other.Settings = []byte(`{"threshold":6}`)
	other.Module = enginetest.FuncModule("other", func(e abi.Record, st guest.State) error { return st.Put(e.Subject, append(e.Data, '!')) })
	if _, err := o.engine.Declare(o.t.Context(), other); err != nil {
		o.t.Fatal(err)
	}
	o.until("the candidate has caught up", func(s engine.Status) bool {
		return s.Candidate != nil && s.Candidate.State == engine.Live && s.Candidate.Position == s.StreamLast
	})
}

// act confirms a verb, sends its form, and returns what the page that it leads to says.
func (o *operated) act(verb, form string) string {
	o.t.Helper()
	res, body := o.ask(acts, "GET", at+"/do/"+verb+"?"+form, "")
	if res.StatusCode != 200 || !strings.Contains(body, `<form method="post" action="`+at+`/do/`+verb+`">`) {
		o.t.Fatalf("%s asks with %s: %s", verb, res.Status, said(body))
	}
	res, body = o.ask(acts, "POST", at+"/do/"+verb, form)
	to := res.Header.Get("Location")
	if res.StatusCode != http.StatusSeeOther || !strings.Contains(to, "?notice=") {
		o.t.Fatalf("%s: %s, %s", verb, res.Status, said(body))
	}
	res, body = o.ask(acts, "GET", to, "", "Accept", "text/html")
	if res.StatusCode != 200 {
		o.t.Fatalf("%s leads to %s: %s", verb, to, res.Status)
	}
	return said(body)
}

// Each act is asked about, done over a form, and told of on the page that it leads to.
func TestEachActOverAForm(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy engine.Policy
		before func(o *operated)
		verb   string
		form   string
		says   string
		then   func(s engine.Status) bool
	}{
		{"pause", "", nil, "pause", "", "Pause: done.", func(s engine.Status) bool { return s.State == engine.Paused }},
		{"resume", "", (*operated).pause, "resume", "", "Resume: done.", func(s engine.Status) bool { return s.State == engine.Live }},
		{"rebuild", "", nil, "rebuild", "", "Rebuild: done.", nil},
		{"accept", "", (*operated).lose, "accept", "reason=known", "goes on from sequence", func(s engine.Status) bool { return s.State != engine.Diverged }},
		{"promote", "", (*operated).candidate, "promote", "wait=10s", "Readers of p went over", func(s engine.Status) bool { return s.Candidate == nil && s.Previous != nil }},
		{"rollback", "", func(o *operated) { o.candidate(); o.act("promote", "") }, "rollback", "", "Readers of p went over", nil},
		{"snapshot", "", nil, "snapshot", "name=one", "Snapshot one is taken, at sequence 2: 2 keys", nil},
		{"delete a snapshot", "", func(o *operated) { o.act("snapshot", "name=one") }, "delete-snapshot", "snapshot=one", "Snapshot one is deleted.", nil},
		{"skip what it is halted before", engine.Halt, (*operated).poison, "skip", "seq=3", "Skip: 1 done", func(s engine.Status) bool { return s.State == engine.Live }},
		{"retry a key", engine.Quarantine, func(o *operated) { o.poison(); o.mended.Store(true) }, "retry", "key=k", "Retry: ", func(s engine.Status) bool { return s.Aside.Letters == 0 }},
		{"retry in vain", engine.Quarantine, (*operated).poison, "retry", "key=k", "Event 3 failed again", nil},
		{"drop a key", engine.Quarantine, (*operated).poison, "drop", "key=k", "Drop: 2 done, 0 left", func(s engine.Status) bool { return s.Aside.Letters == 0 }},
		{"skip all", engine.Quarantine, (*operated).poison, "skip", "all=true", "Skip: ", nil},
		{"remove", "", func(o *operated) { _ = o.engine.Withdraw(o.t.Context(), "p", "it is not declared") }, "remove", "", "p is removed, with its data.", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := operate(t, tt.policy, "a", "1", "b", "2")
			if tt.before != nil {
				tt.before(o)
			}
			if text := o.act(tt.verb, tt.form); !strings.Contains(text, tt.says) {
				t.Errorf("it says %q, want %q", text, tt.says)
			}
			if tt.then != nil {
				o.until("it is done", tt.then)
			}
		})
	}
}

// The form of a promotion, and that of a rollback, is about the generation that it showed, however
// the page was come to; once another one is there, neither the question nor the form is taken, and
// what says so leads to the tab that has it.
func TestFormsAreAboutWhatWasShown(t *testing.T) {
	o := operate(t, "", "a", "1", "b", "2")
	o.candidate()
	s, err := o.engine.Status("p")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ verb, id string }{{"promote", s.Candidate.ID}, {"rollback", s.Generation}} {
		field := `name="generation" value="` + step.id + `"`
		for _, query := range []string{"", "?generation=" + step.id} {
			if res, body := o.ask(acts, "GET", at+"/do/"+step.verb+query, ""); res.StatusCode != 200 || !strings.Contains(body, field) || !strings.Contains(said(body), "--generation "+step.id) {
				t.Errorf("%s%s: %s, without %s", step.verb, query, res.Status, field)
			}
		}
		for _, method := range []string{"GET", "POST"} {
			path, form := at+"/do/"+step.verb+"?generation=gone", "generation=gone"
			if res, body := o.ask(acts, method, path, form); res.StatusCode != 409 || !strings.Contains(said(body), step.id) || !strings.Contains(body, `href="`+at+`/generations"`) {
				t.Errorf("%s %s of another one: %s, %s", method, step.verb, res.Status, said(body))
			}
		}
		o.act(step.verb, "generation="+step.id)
	}
}

// poison has an event fail, and another one of its key wait.
func (o *operated) poison() {
	o.nats.Append("S", "k", []byte("poison"))
	o.nats.Append("S", "k", []byte("4"))
	o.until("it failed", func(s engine.Status) bool {
		return s.Aside.Letters == 2 || s.State == engine.Halted && s.Failing == 3
	})
}

// pause pauses the projection, and waits until it is.
func (o *operated) pause() {
	if err := o.engine.Pause("p"); err != nil {
		o.t.Fatal(err)
	}
	o.until("it is paused", func(s engine.Status) bool { return s.State == engine.Paused })
}

// lose has a stream lose events that were not read.
func (o *operated) lose() {
	o.pause()
	for range 3 {
		o.nats.Append("S", "a", []byte("3"))
	}
	o.nats.Purge("S", 5)
	if err := o.engine.Resume("p"); err != nil {
		o.t.Fatal(err)
	}
	o.until("it found out", func(s engine.Status) bool { return s.State == engine.Diverged })
}

// A question says what exactly will happen, and to what; an API that refuses says why.
func TestQuestions(t *testing.T) {
	o := operate(t, engine.Quarantine, "a", "1", "b", "2")
	o.poison()
	o.mended.Store(true)
	o.candidate()
	for path, want := range map[string]string{
		"promote":                               "keys differ",
		"retry?key=k":                           "All events of the key k that are set aside are applied again",
		"drop?seq=3":                            "Event 3 is forgotten",
		"skip?all=true":                         "All events that are set aside are passed over",
		"snapshot":                              "2 keys",
		"retry":                                 "exactly one is needed",
		"retry?seq=x":                           "cannot be read",
		"rollback":                              "no previous generation",
		"explode":                               "there is no page at",
		"delete-snapshot?snapshot=%3Cscript%3E": "Snapshot <script> of p is given up",
	} {
		if _, body := o.ask(acts, "GET", at+"/do/"+path, ""); !strings.Contains(said(body), want) {
			t.Errorf("%s says %q, want %q", path, said(body), want)
		}
	}
	for verb, form := range map[string]string{"snapshot": "name=NO+NAME", "accept": "reason=", "promote": "wait=soon", "retry": "seq=77"} {
		if res, body := o.ask(acts, "POST", at+"/do/"+verb, form); res.StatusCode < 400 || !strings.Contains(body, "notice-error") {
			t.Errorf("%s with %q: %s, %s", verb, form, res.Status, said(body))
		}
	}
}

// A person who may read sees every page and every question, is told why nothing can be
// done, and can do nothing, whatever form they send.
func TestReadersSeeAndDoNothing(t *testing.T) {
	o := operate(t, engine.Quarantine, "a", "1", "b", "2")
	o.poison()
	before, err := o.engine.Status("p")
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range tabs {
		res, body := o.ask(reads, "GET", at+tab, "")
		if res.StatusCode != 200 || strings.Contains(body, "data-ask") || strings.Contains(body, "threshold") {
			t.Errorf("%s: %s, %s", tab, res.Status, said(body))
		}
		if tab == "/dead-letters" && !strings.Contains(said(body), "this needs the role admin for p") {
			t.Errorf("%s does not say why nothing can be done: %s", tab, said(body))
		}
	}
	for verb, form := range map[string]string{
		"pause": "", "resume": "", "rebuild": "", "accept": "reason=x", "remove": "", "promote": "", "rollback": "", "snapshot": "name=one", "delete-snapshot": "snapshot=one",
		"retry": "all=true", "skip": "all=true", "drop": "all=true",
	} {
		if res, body := o.ask(reads, "POST", at+"/do/"+verb, form); res.StatusCode != http.StatusForbidden || !strings.Contains(said(body), "it needs the role admin") {
			t.Errorf("%s: %s, %s", verb, res.Status, said(body))
		}
	}
	if res, _ := o.ask(reads, "POST", at+"/bundle", "seq=3"); res.StatusCode != http.StatusForbidden {
		t.Errorf("bundle: %s", res.Status)
	}
	if _, body := o.ask(reads, "GET", at+"/do/pause", ""); !strings.Contains(body, `<button type="submit" disabled>`) {
		t.Errorf("the question can be answered: %s", body)
	}
	after, err := o.engine.Status("p")
	if err != nil || after.State != before.State || after.Aside != before.Aside || after.Position != before.Position {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
}

// Forms of other pages are refused, also of those of an origin that may use the API, and
// whatever a browser sends with them.
func TestFormsOfOtherPages(t *testing.T) {
	o := operate(t, "", "a", "1")
	for _, headers := range [][]string{
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://app.example.com"},
		{"Origin", "https://app.example.com", "Sec-Fetch-Site", "cross-site", "Cookie", "gnomon=" + acts},
	} {
		for _, path := range []string{"/do/pause", "/bundle"} {
			if res, body := o.ask(acts, "POST", at+path, "seq=1", headers...); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %q: %s, %s", path, headers, res.Status, said(body))
			}
		}
	}
	if s, err := o.engine.Status("p"); err != nil || s.State == engine.Paused {
		t.Errorf("it is %s, %v", s.State, err)
	}
	if res, _ := o.ask(acts, "POST", at+"/do/pause", "", "Origin", o.url, "Sec-Fetch-Site", "same-origin"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("of our own page: %s", res.Status)
	}
}

// What a module, an event or a name says is text on every page, and what a terminal or a
// reader would take for more than that is quoted.
func TestNothingIsMarkup(t *testing.T) {
	o := operate(t, engine.Quarantine, "a", "1", script, "poison"+script, script, `{"text":"`+"<script>alert(1)</script>"+`"}`)
	o.logs.Add("p", script, guest.Line{Text: script, First: 1, Last: 3, Generation: script})
	o.candidate()
	for _, tab := range append(slices.Clone(tabs), "/do/drop?key="+url.QueryEscape(script), "/do/delete-snapshot?snapshot="+url.QueryEscape(script), "/do/retry?seq="+url.QueryEscape(script)) {
		res, body := o.ask(acts, "GET", at+tab, "")
		if strings.Contains(body, "<script>alert") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Errorf("%s: %s", tab, body)
		}
		if tab == "/dead-letters" && (!strings.Contains(said(body), "poisoned by") || strings.Contains(body, "\x00")) {
			t.Errorf("%s: %s", tab, said(body))
		}
	}
}

// A command that is to be copied has no character that a terminal obeys, whatever key a link
// names, and an address in it has the key as it is.
func TestCommandsAreSafeToPaste(t *testing.T) {
	commands := regexp.MustCompile(`(?s)<code>(.*?)</code>`)
	o := operate(t, "", "a", "1")
	o.candidate()
	for path, want := range map[string]string{
		"/do/drop?key=" + url.QueryEscape(script):                          "--key $&#39;",
		"/generations?compare=1&prefix=" + url.QueryEscape("a&b+\x1b[31m"): "prefix=a%26b%2B%1B",
	} {
		_, body := o.ask(acts, "GET", at+path, "")
		text := fmt.Sprint(commands.FindAllString(body, -1))
		if strings.ContainsAny(text, "\x00\x1b\u202e") || !strings.Contains(text, want) {
			t.Errorf("%s: %q", path, text)
		}
	}
}

// The pages say what there is: generations with their difference, letters with event and
// queue, what is kept, the module, its log.
func TestPagesSayWhatThereIs(t *testing.T) {
	o := operate(t, engine.Quarantine, "a", `{"n":1}`, "k", "2")
	o.poison()
	o.logs.Add("p", "", guest.Line{Level: 4, Text: "watch out", First: 3, Last: 4})
	o.candidate()
	for tab, want := range map[string][]string{
		"/generations?compare=1": {"candidate", "0 added, 0 missing", "2 changed", "What is read"},
		"/dead-letters":          {"Event 3 failed k", "poisoned by poison", "Keys in quarantine", "Retry all", "The state of its key before it 2"},
		"/snapshots":             {"There is no snapshot", "survives a crash of the machine", "Every sequence can be read from"},
		"/module":                {"threshold", "quarantine", "SHA-256", "projection"},
		"/log":                   {"WARN 3–4", "watch out"},
	} {
		_, body := o.ask(acts, "GET", at+tab, "")
		for _, text := range want {
			if !strings.Contains(said(body), text) {
				t.Errorf("%s does not say %q: %s", tab, text, said(body))
			}
		}
	}
	if _, body := o.ask(acts, "GET", at+"/log?level=error", ""); strings.Contains(body, "watch out") {
		t.Error("a warning is no error")
	}
}

// Letters are paged, each once.
func TestLettersArePaged(t *testing.T) {
	var events []string
	for i := range 60 {
		events = append(events, fmt.Sprintf("k%02d", i), "poison")
	}
	o := operate(t, engine.DeadLetter, events...)
	o.until("all failed", func(s engine.Status) bool { return s.Aside.Letters == 60 })
	found := regexp.MustCompile(`id="event-(\d+)"`)
	next := regexp.MustCompile(`href="(\?after=\d+)"`)
	seen, query := 0, ""
	for pages := 1; ; pages++ {
		_, body := o.ask(acts, "GET", at+"/dead-letters"+query, "")
		for _, m := range found.FindAllStringSubmatch(body, -1) {
			if seen++; m[1] != fmt.Sprint(seen) {
				t.Fatalf("event %s is the %dth", m[1], seen)
			}
		}
		m := next.FindStringSubmatch(body)
		if m == nil {
			if pages != 3 || seen != 60 {
				t.Errorf("%d events on %d pages", seen, pages)
			}
			return
		}
		query = m[1]
	}
}

// The first tab has the buttons for what can be done in the state that a projection is in.
func TestActionsByState(t *testing.T) {
	buttons := regexp.MustCompile(`href="/ui/projections/p/do/([^"]*)"`)
	for _, tt := range []struct {
		name   string
		policy engine.Policy
		before func(o *operated)
		want   string
	}{
		{"live", "", func(*operated) {}, "pause rebuild"},
		{"paused", "", (*operated).pause, "resume rebuild"},
		{"halted", engine.Halt, (*operated).poison, "skip?seq=3 pause rebuild"},
		{"diverged", "", (*operated).lose, "accept pause rebuild"},
		{"with a candidate", "", (*operated).candidate, "pause promote?generation=CANDIDATE rebuild"},
		{"withdrawn", "", func(o *operated) { _ = o.engine.Withdraw(o.t.Context(), "p", "it is not declared") }, "remove"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := operate(t, tt.policy, "a", "1", "b", "2")
			tt.before(o)
			_, body := o.ask(acts, "GET", at, "")
			var got []string
			for _, m := range buttons.FindAllStringSubmatch(body, -1) {
				got = append(got, m[1])
			}
			want := tt.want
			if s, err := o.engine.Status("p"); err == nil && s.Candidate != nil {
				want = strings.ReplaceAll(want, "CANDIDATE", s.Candidate.ID)
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("the buttons are %q, want %q", text, want)
			}
		})
	}
}
