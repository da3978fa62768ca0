package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"gnomon/internal/testutil"
)

// person looks at a server through a window of a browser that has no memory of others.
type person struct {
	t    testing.TB
	ctx  context.Context
	base string

	mu      sync.Mutex
	trouble []string // what must not happen on any page
	refused bool     // answers that are errors are expected
}

// chromium starts the browser that the tests of a run share.
var chromium = sync.OnceValues(func() (context.Context, error) {
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.WindowSize(1200, 800),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"))
	ctx, _ := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	return ctx, chromedp.Do(ctx)
})

// visit opens a window. When the test ends, whatever the pages did that they must not is a
// failure.
func (s *server) visit() *person {
	s.t.Helper()
	testutil.Tool(s.t, "browser", "chromium")
	parent, err := chromium()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &person{t: s.t, base: s.url}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	p.ctx = ctx
	p.do(chromedp.Listen(p.ctx, p.heard))
	_, err = chromedp.Call(p.ctx, audits.Enable, cdp.Empty{})
	p.do(err)
	_, err = chromedp.Call(p.ctx, network.Enable, network.EnableParams{})
	p.do(err)
	_, err = chromedp.Call(p.ctx, log.Enable, cdp.Empty{})
	p.do(err)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("the page is %s:\n%s", p.address(), p.text())
		}
		cancel()
		for _, what := range p.trouble {
			s.t.Error(what)
		}
	})
	return p
}

// heard notes what must not happen.
func (p *person) heard(event any) {
	var what string
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			what = "the console says: " + fmt.Sprint(e.Args)
		}
	case *runtime.EventExceptionThrown:
		what = "a script threw: " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			what += " " + x.Description
		}
	case *log.EventEntryAdded:
		p.mu.Lock()
		expected := p.refused && e.Entry.Source == "network"
		p.mu.Unlock()
		if !expected && (e.Entry.Level == "error" || e.Entry.Level == "warning") {
			what = fmt.Sprintf("the browser's log says: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	case *audits.EventIssueAdded:
		if d := e.Issue.Details.ContentSecurityPolicyIssueDetails; d != nil {
			what = fmt.Sprintf("the content security policy was violated: %s %s", d.ViolatedDirective, d.BlockedURL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && "http://"+u.Host != p.base {
			what = "a page asks another host: " + e.Request.URL
		}
	}
	if what != "" {
		p.mu.Lock()
		p.trouble = append(p.trouble, what)
		p.mu.Unlock()
	}
}

func (p *person) do(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// open goes to a page.
func (p *person) open(path string) *person {
	p.t.Helper()
	p.do(chromedp.Do(p.ctx, chromedp.Navigate(p.base+path)))
	return p
}

// evaluate is the value of an expression in the page.
func evaluate[T any](p *person, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	p.do(err)
	return v
}

// address is the path and the query of the page.
func (p *person) address() string {
	return evaluate[string](p, "location.pathname + location.search")
}

// text is what can be read on the page.
func (p *person) text() string {
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	if err != nil {
		return "" // the page is going away
	}
	return spaces.Replace(text)
}

// sees waits until texts can be read on the page.
func (p *person) sees(texts ...string) *person {
	p.t.Helper()
	for _, text := range texts {
		p.until("the page says "+text, func() bool { return strings.Contains(p.text(), text) })
	}
	return p
}

// spaces makes ordinary ones of those that do not break, and of thin ones.
var spaces = strings.NewReplacer("\u00a0", " ", "\u2009", " ", "\u202f", " ")

// until waits for a condition.
func (p *person) until(what string, holds func() bool) {
	p.t.Helper()
	for timeout := time.After(patience); !holds(); {
		select {
		case <-timeout:
			p.t.Fatalf("waited in vain until %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// part is something on the page that has a role and a name.
type part struct {
	name, value string
	node        cdp.BackendNodeID
}

// parts are those of a role whose name has a text in it, those whose name is the text first.
func (p *person) parts(role, name string) (all []part) {
	p.t.Helper()
	root, err := chromedp.Run(p.ctx, chromedp.Evaluate[*runtime.RemoteObject]("document"))
	if err != nil {
		return nil // the page is going away
	}
	found, err := chromedp.Call(p.ctx, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{ObjectID: root.ObjectID, Role: role})
	if err != nil {
		return nil
	}
	for _, n := range found.Nodes {
		is := part{text(n.Name), text(n.Value), n.BackendDOMNodeID}
		if !n.Ignored && strings.Contains(strings.ToLower(spaces.Replace(is.name)), strings.ToLower(name)) {
			all = append(all, is)
		}
	}
	slices.SortStableFunc(all, func(a, b part) int { return len(a.name) - len(b.name) })
	return all
}

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v.Value, &s) != nil {
		s = string(v.Value)
	}
	return s
}

// finds waits for a part of the page.
func (p *person) finds(role, name string) (found part) {
	p.t.Helper()
	p.until(fmt.Sprintf("there is a %s named %q", role, name), func() bool {
		all := p.parts(role, name)
		if len(all) > 0 {
			found = all[0]
		}
		return len(all) > 0
	})
	return found
}

// has reports whether the page has a part now.
func (p *person) has(role, name string) bool { p.t.Helper(); return len(p.parts(role, name)) > 0 }

// clicks clicks at the middle of a part.
func (p *person) clicks(role, name string) *person {
	p.t.Helper()
	p.loaded()
	var err error
	p.until(fmt.Sprintf("a %s named %q is clicked", role, name), func() bool {
		all := p.parts(role, name)
		if len(all) == 0 {
			return false
		}
		err = p.click(all[0].node)
		return err == nil
	})
	p.do(err)
	return p
}

func (p *person) click(node cdp.BackendNodeID) error {
	if _, err := chromedp.Call(p.ctx, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: node}); err != nil {
		return err
	}
	at, err := chromedp.Call(p.ctx, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: node})
	if err != nil {
		return err
	}
	if len(at.Quads) == 0 {
		return fmt.Errorf("it is not drawn")
	}
	q := at.Quads[0]
	return chromedp.Do(p.ctx, chromedp.MouseClickXY((q[0]+q[4])/2, (q[1]+q[5])/2))
}

// fills writes into a field, in place of what is there.
func (p *person) fills(label, value string) *person {
	p.t.Helper()
	var role string
	p.until("there is a field "+label, func() bool {
		for _, r := range []string{"textbox", "searchbox", "combobox", "spinbutton"} {
			if p.has(r, label) {
				role = r
			}
		}
		return role != ""
	})
	_, err := chromedp.Call(p.ctx, dom.Focus, dom.FocusParams{BackendNodeID: p.finds(role, label).node})
	p.do(err)
	evaluate[any](p, "document.activeElement.select && document.activeElement.select(), 0")
	p.do(chromedp.Do(p.ctx, chromedp.KeyEvent(value)))
	return p
}

// focuses gives a part the focus.
func (p *person) focuses(role, name string) *person {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, dom.Focus, dom.FocusParams{BackendNodeID: p.finds(role, name).node})
	p.do(err)
	return p
}

// loaded waits until the page's scripts have run: what it listens to would else be lost.
func (p *person) loaded() *person {
	p.t.Helper()
	p.until("the page is loaded", func() bool {
		state, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.readyState"))
		return err == nil && state == "complete" // an error: the page is going away
	})
	return p
}

// presses presses keys.
func (p *person) presses(keys string) *person {
	p.t.Helper()
	p.loaded()
	p.do(chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
	return p
}

// on has the window be of another size, and of a scheme: light or dark.
func (p *person) on(width, height int, scheme string) *person {
	p.t.Helper()
	p.do(chromedp.Do(p.ctx, chromedp.EmulateViewport(int64(width), int64(height))))
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	p.do(err)
	return p
}

// expectsRefusal says that answers may be errors from here on, such as 403.
func (p *person) expectsRefusal() *person {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = true
	return p
}

// picture is what the window shows, as a PNG.
func (p *person) picture() []byte {
	p.t.Helper()
	b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	p.do(err)
	return b
}
