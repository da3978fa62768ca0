package dashboard_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/query/dashboard"
	"gnomon/internal/testutil"
)

var all = engine.HistoryPolicy{All: true}

// link finds the address of a link by its text.
func link(t *testing.T, body, text string) string {
	t.Helper()
	m := regexp.MustCompile(`<a [^>]*href="([^"]*)"[^>]*>` + regexp.QuoteMeta(text) + `</a>`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("there is no link %q:\n%s", text, body)
	}
	return html.UnescapeString(m[1])
}

// The state is browsed by prefix, page after page, down to a key, whose page has all of the
// value; the same as of another sequence; and each view names the request and the command
// that it comes from.
func TestStatePages(t *testing.T) {
	var events []string
	for i := range 120 {
		events = append(events, fmt.Sprintf("user\tnumber %03d", i), fmt.Sprintf(`{"n":%d,"list":[1,{"deep":true}]}`, i))
	}
	s := newStatePages(t, all, append(events, "\xff\x00", "\x01\x02bytes", "text", "just text", "user\tnumber 000", `{"n":"changed"}`)...)
	first := s.has("/ui/projections/p/state", "as of 123", "just text", "user⇥number 001", "curl -s", "/v1/projections/p/state?limit=50", "engine scan p")
	if !strings.Contains(first, "changed") {
		t.Error("the newest value is not there")
	}
	alike := link(t, first, "alike")
	if u, _ := url.Parse(alike); u.Query().Get("prefix") != "user\t" {
		t.Errorf("keys that begin alike are at %s", alike)
	}
	pages, seen := 1, strings.Count(s.has(alike), "<tr>")-1
	for next := link(t, s.has(alike), "Next"); ; pages++ {
		body := s.has(next, ">First</a>")
		if seen += strings.Count(body, "<tr>") - 1; !strings.Contains(body, ">Next</a>") {
			break
		}
		next = link(t, body, "Next")
	}
	if pages != 2 || seen != 120 {
		t.Errorf("%d pages have %d keys", pages, seen)
	}
	key := link(t, first, "user⇥number 000")
	body := s.has(key, "as of 123", `<span class="string">&#34;changed&#34;</span>`, "engine get p $&#39;user\\tnumber 000&#39;")
	s.has(link(t, body, "Explain this value"), "user⇥number 000", "<code>.n</code>", "<code>.list</code>")
	s.has(key+"&at=5", "as of 5", `<span class="member">deep</span>: <span class="word">true</span>`, "?at=5", "--at 5")
	bytes := s.has("/ui/projections/p/state?prefix_b64=%2Fw%3D%3D", "0xff00")
	s.has(link(t, bytes, "0xff00"), "01 02 62 79 74 65 73", "engine get p $&#39;\\xff\\x00&#39;")
	s.has("/ui/projections/p/state?prefix=none", "There is no key")
	for path, want := range map[string]int{
		"/ui/projections/p/state?key=none": 404, "/ui/projections/none/state": 404, "/ui/projections/p/state?at=x": 400, "/ui/projections/p/state?at=999": 409,
		"/ui/projections/p/state?min_seq=x": 400, "/ui/projections/p/state?prefix_b64=%25": 400, "/ui/projections/p/time?to=x": 400, "/ui/projections/p/time?from=9&to=4": 400,
		"/ui/projections/none/time": 404, "/ui/projections/none/explain": 404, "/ui/projections/p/explain?key=a&at=0": 400, "/ui/projections/p/explain?key=a&since=x": 400,
	} {
		if status, body := s.get(path); status != want || !strings.Contains(body, `class="notice notice-error"`) {
			t.Errorf("%s: status %d, want %d: %s", path, status, want, body)
		}
	}
}

// Before the first event the tab Time is no error: it says how the stream gets one.
func TestTimeBeforeTheFirstEvent(t *testing.T) {
	s := newStatePages(t, all)
	body := s.has("/ui/projections/p/time", "It has applied no event yet", "engine publish --stream S")
	if strings.Contains(body, "notice-error\" role=\"alert\"><p>") {
		t.Errorf("it shows an error:\n%s", body)
	}
}

// The tab Time shows what the last event changed, at any sequence that is asked for, and what
// changed between two; the members of a value that differ are named. Its steps lead to the
// sequences nearby.
func TestTimePages(t *testing.T) {
	s := newStatePages(t, all, "a", `{"n":1,"same":[1,2]}`, "b", "1", "a", `{"n":2,"same":[1,2],"more":"x"}`, "b", "gone", "c", "1")
	last := s.has("/ui/projections/p/time", "as of 5", "What changed since 4", "1 added", "/v1/projections/p/changes?from=4&amp;limit=50&amp;to=5", "engine changes p --from 4 --to 5")
	if strings.Contains(last, ">+1</a>") {
		t.Error("there is a step beyond the end")
	}
	fourth := s.has(link(t, last, "−1"), "as of 4", "1 removed", `<tr class="removed">`, "/ui/streams/S?around=4", "<dt>Subject</dt><dd>b</dd>", `<pre class="text">gone</pre>`)
	s.has(link(t, fourth, "−1"), "as of 3", "1 changed", "<code>.n</code>", `<del class="bare">1</del>`, `<ins class="bare">2</ins>`, "<code>.more</code>", "<ins>&#34;x&#34;</ins>")
	s.has(link(t, fourth, "Oldest"), "as of 1", "1 added", "What changed since 0")
	both := s.has("/ui/projections/p/time?from=2&to=5", "1 added", "1 changed", "1 removed", `data-to="5" data-from="2"`, `data-least="0" data-most="5"`)
	if body := s.has(link(t, both, "−1")); !strings.Contains(body, "What changed since 2") {
		t.Errorf("a step has lost the first point: %s", body)
	}
	s.has(link(t, both, "Only the last event"), "What changed since 4")
	s.has("/ui/projections/p/time?prefix=c&to=4", "Nothing.", "It has no key")
	e, err := s.nats.Event(t.Context(), "S", 3)
	if err != nil {
		t.Fatal(err)
	}
	s.has("/ui/projections/p/time?to="+url.QueryEscape(dashboard.RFC3339(e.TimeNs)), "as of 3", "What changed since 2")
	_, sliding := s.get("/ui/projections/p/time?to=4", "HX-Request", "true")
	if !strings.Contains(sliding, "1 removed") || strings.Contains(sliding, `id="below"`) || !strings.Contains(sliding, `hx-get="/ui/projections/p/time?below=4&amp;to=4"`) {
		t.Errorf("while one slides: %s", sliding)
	}
	if _, below := s.get("/ui/projections/p/time?below=4&to=4", "HX-Request", "true"); !strings.Contains(below, `<div id="below"`) || strings.Contains(below, "1 removed") {
		t.Errorf("when the hand rests: %s", below)
	}
	if status, body := s.get("/ui/projections/p/time?to=9", "HX-Request", "true"); status != http.StatusOK || !strings.Contains(body, "is not reached") {
		t.Errorf("a script is answered %d: %s", status, body)
	}
}

// What is not kept is refused with the reason and offered to be computed, which gives what was
// there.
func TestPagesOfWhatIsNotKept(t *testing.T) {
	var events []string
	for i := range 60 {
		events = append(events, "a", fmt.Sprint(i))
	}
	s := newStatePages(t, engine.HistoryPolicy{Events: 5, Every: 1}, events...)
	testutil.Until(t, func() bool { past, err := s.engine.Past("p"); return err == nil && past.Oldest.Sequence > 3 })
	for _, path := range []string{"/ui/projections/p/state?at=3", "/ui/projections/p/state?key=a&at=3", "/ui/projections/p/time?to=3&from=2"} {
		status, body := s.get(path)
		if status != http.StatusGone || !strings.Contains(body, "history is no longer kept") {
			t.Errorf("%s: %d: %s", path, status, body)
		}
		s.has(link(t, body, "Compute it from the events"), "as of 3", "2")
	}
}

// An explanation has the changes of a key, newest first, with the members that differ, and
// leads to the state, to the time and to the event of each; and goes on where it was cut.
func TestExplainPages(t *testing.T) {
	s := newStatePages(t, all, "a", `{"n":1}`, "b", "1", "a", `{"n":2}`, "a", "gone", "a", `{"n":3}`)
	s.has("/ui/projections/p/explain", "Name a key")
	body := s.has("/ui/projections/p/explain?key=a&limit=2", "/ui/streams/S?around=5", `<span class="member">n</span>: <span class="number">3</span>`, `<span class="subject">a</span>`, "The event's data, 7 B", "/v1/projections/p/explain?key=a&amp;limit=2", "engine explain p a --limit 2", "removed", "added")
	if strings.Index(body, ">5</a>") > strings.Index(body, ">4</a>") {
		t.Error("the newest change is not the first")
	}
	older := s.has(link(t, body, "Older"), "<code>.n</code>", "as of 3")
	s.has(link(t, older, "3"), "What changed since 2")
	s.has("/ui/projections/p/explain?key=b&since=2", "Nothing changed this key")
}

// What keys, values and subjects say is text, whatever it is.
func TestStatePagesShowTextOnly(t *testing.T) {
	const probe = `<script>alert(1)</script><img src=x onerror=alert(1)>"'</textarea>{{.}}javascript:alert(1)`
	s := newStatePages(t, all, probe, `"`+`<script>alert(2)</script>`+`"`, "b", probe, probe, `{"<script>alert(3)</script>":"<img onerror=x>"}`, "\u202egnp.exe", `{"a":1}`)
	key := url.Values{"key": {probe}}.Encode()
	prefix := url.Values{"prefix": {probe}, "at": {"3"}}.Encode()
	for _, path := range []string{
		"/ui/projections/p/state", "/ui/projections/p/state?" + key, "/ui/projections/p/state?key=b", "/ui/projections/p/state?" + prefix, "/ui/projections/p/state?" + key + "x",
		"/ui/projections/p/time", "/ui/projections/p/time?from=1&to=3", "/ui/projections/p/time?to=3", "/ui/projections/p/explain?" + key, "/ui/projections/p/explain?key=b",
		"/ui/projections/p/state?at=" + url.QueryEscape(probe), "/ui/projections/p/time?to=" + url.QueryEscape(probe), "/ui/projections/p/explain?key=b&since=" + url.QueryEscape(probe),
	} {
		_, body := s.get(path)
		for _, bad := range []string{"<script>alert", "<img src=x", "<img onerror", "</textarea>", `href="javascript:`, "\u202e", " style=", " onerror=alert(1)>"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
	}
}
