package top

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/vt"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
)

// topEngine answers as an engine does, with what a test gives it.
type topEngine struct {
	*httptest.Server
	mu   sync.Mutex
	all  []engine.Status
	away atomic.Bool
	asks atomic.Int64 // how often it was asked
}

func newTopEngine(t *testing.T, all ...engine.Status) *topEngine {
	t.Helper()
	e := &topEngine{all: all}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asks.Add(1)
		e.mu.Lock()
		defer e.mu.Unlock()
		switch {
		case e.away.Load():
			http.Error(w, "gone", http.StatusBadGateway)
		default:
			about := wire.Engine{Version: "v1.2.3", Started: time.Now().Add(-5*time.Hour - time.Minute)}
			_ = cli.PrintJSON(w, wire.Projections{Projections: e.all, Engine: &about})
		}
	}))
	t.Cleanup(e.Close)
	return e
}

// person sits at a terminal on which engine top runs.
type person struct {
	t     *testing.T
	term  vt.MockTerm
	ended chan error
	end   context.CancelFunc
}

// sit starts it.
func sit(t *testing.T, e *topEngine, width, height int) *person {
	t.Helper()
	t.Setenv("NO_COLOR", "")
	p := &person{t: t, term: vt.NewMockTerm(vt.MockOptSize{X: vt.Col(width), Y: vt.Row(height)}), ended: make(chan error, 1)}
	screen, err := tcell.NewTerminfoScreenFromTty(p.term, tcell.OptSanitizeContent(true), tcell.OptTerm("xterm-256color"))
	if err == nil {
		err = screen.Init()
	}
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(e.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	p.end = end
	go func() { p.ended <- watchTop(ctx, cl, screen, &topView{server: "http://here"}) }()
	t.Cleanup(func() {
		end()
		<-p.ended
		close(p.ended)
	})
	return p
}

// screen is what is seen, in lines.
func (p *person) screen() string {
	size, err := p.term.WindowSize()
	if err != nil {
		p.t.Fatal(err)
	}
	var all strings.Builder
	for y := range size.Height {
		line := ""
		for x := 0; x < size.Width; x++ {
			cell := p.term.GetCell(vt.Coord{X: vt.Col(x), Y: vt.Row(y)})
			if cell.C == "" || cell.C == "\x00" {
				cell.C = " "
			}
			if strings.ContainsAny(cell.C, "▁▂▃▄▅▆▇█") { // how many there are is a matter of time
				cell.C = " "
			}
			line += cell.C
			x += max(cell.W, 1) - 1
		}
		all.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return all.String()
}

// sees waits until something is on the screen, and something else is not.
func (p *person) sees(something string, not ...string) {
	p.t.Helper()
	seen := ""
	ok := func() bool {
		seen = p.screen()
		for _, n := range not {
			if strings.Contains(seen, n) {
				return false
			}
		}
		return strings.Contains(seen, something)
	}
	for began := time.Now(); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			p.t.Fatalf("waited for %q without %q; the screen is\n%s", something, not, seen)
		}
	}
}

func (p *person) types(keys string) { p.term.SendRaw([]byte(keys)) }

// three projections: one is live, one catches up, one is halted with the words of a hostile guest.
func three() []engine.Status {
	return []engine.Status{
		{Projection: "balances", State: engine.Live, Stream: "EVENTS", Position: 1000, StreamLast: 1000, Keys: 12345, Bytes: 5 << 20, Rate: 250, Fuel: 1234, Memory: 3 << 20},
		{Projection: "orders", State: engine.CatchingUp, Stream: "EVENTS", Position: 250, StreamLast: 1000, Behind: 750, PositionTime: time.Now().Add(-3 * time.Hour), Rate: 90000, Candidate: &engine.GenerationStatus{ID: "0002", State: engine.CatchingUp, Position: 500, Behind: 500}},
		{Projection: "words", State: engine.Halted, Stream: "EVENTS", Position: 7, StreamLast: 1000, Behind: 993, Reason: "event 8: \x1b]0;owned\a\x1b[2J", Hint: "mend the module, or: engine dead-letters skip words", Failures: 3, Emits: &engine.EmitStatus{Trouble: "\x1b[31mred"}},
	}
}

// A person sees every projection with its numbers, sorts, filters, selects one, reads all of it, and quits.
func TestTop(t *testing.T) {
	p := sit(t, newTopEngine(t, three()...), 80, 24)
	p.sees("Gnomon v1.2.3  http://here  up 5h")
	p.sees("1 halted  1 catching-up  1 live  90k events/s  12k keys  5.0M  guests 3.0M\n")
	p.sees(" PROJECTION     STATE       BEHIND  AGE  EV/S           KEYS BYTES   POSITION\n")
	p.sees("balances       live             0        250            12k  5.0M       1000\n")
	p.sees("orders         catching-up    750   3h   90k              0    0B        250\n")
	p.sees("words          halted         993          0              0    0B          7\n")
	p.types("sss") // name, state, behind, events/s
	p.sees("sort: events/s")
	if rows := p.screen(); strings.Index(rows, "orders ") > strings.Index(rows, "balances ") {
		t.Errorf("not sorted by events/s:\n%s", rows)
	}
	p.types("/halt")
	p.sees("filter: halt", "orders", "balances")
	p.types("\x7f\x7f\x7f\x7for\r")
	p.sees("words ", "balances")
	p.types("\x1b")
	p.sees("balances")
	p.types("s\x1b[A\x1b[B\x1b[B\r") // by bytes: balances, orders, words
	p.sees("words is halted:", "balances")
	p.sees(`event 8: \x1b]0;owned\a\x1b[2J`)
	p.sees("mend the module")
	p.sees(`\x1b[31mred`)
	if title := p.term.GetTitle(); strings.Contains(title, "owned") {
		t.Error("a module's words have set the title of the terminal")
	}
	p.types("?")
	p.sees("AGE is how old the newest event is")
	p.types("\x1b")
	p.sees("orders", "AGE is")
	p.types("q")
	if err := <-p.ended; err != nil {
		t.Error(err)
	}
	p.ended <- nil
}

// A wider terminal has more columns, and a change of its size is taken at once, down to one
// that is hardly usable.
func TestTopResize(t *testing.T) {
	p := sit(t, newTopEngine(t, three()...), 140, 30)
	p.sees("CANDIDATE")
	p.sees("50 %")
	p.term.SetSize(vt.Coord{X: 80, Y: 10})
	p.sees("POSITION\n", "CANDIDATE")
	p.term.SetSize(vt.Coord{X: 20, Y: 6})
	p.sees("balances", "POSITION")
	p.term.SetSize(vt.Coord{X: 1, Y: 1})
	p.term.SetSize(vt.Coord{X: 200, Y: 50})
	p.sees("GENERATION")
}

// However low a terminal is, rows and details are drawn as far as there is room, which may be none.
func TestTopInFewLines(t *testing.T) {
	for height := 1; height <= 8; height++ {
		term := vt.NewMockTerm(vt.MockOptSize{X: 40, Y: vt.Row(height)})
		screen, err := tcell.NewTerminfoScreenFromTty(term, tcell.OptTerm("xterm-256color"))
		if err == nil {
			err = screen.Init()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, detail := range []bool{false, true} {
			v := &topView{detail: detail}
			v.answer(three(), nil, time.Now())
			drawTop(screen, v, time.Now())
		}
		screen.Fini()
	}
}

// While the engine is away that is shown with what was known, and what it says when it is back
// is taken; a held picture stays.
func TestTopOfAnEngineThatIsAway(t *testing.T) {
	e := newTopEngine(t, three()...)
	p := sit(t, e, 80, 24)
	p.sees("balances")
	e.away.Store(true)
	p.sees("trying on")
	p.sees("balances       live")
	e.mu.Lock()
	e.all[0].State = engine.Paused
	e.mu.Unlock()
	e.away.Store(false)
	p.sees("balances       paused", "trying on")
	p.types("p")
	p.sees("held: p goes on")
	e.mu.Lock()
	e.all[0].State = engine.Halted
	e.mu.Unlock()
	asked := e.asks.Load()
	testutil.Until(t, func() bool { return e.asks.Load() >= asked+2 }) // the answer to the first has come
	p.sees("balances       paused")
	p.types("p")
	p.sees("balances       halted")
}

// An engine without projections says what to do, and one that never answered, too.
func TestTopOfNothing(t *testing.T) {
	e := newTopEngine(t)
	p := sit(t, e, 80, 24)
	p.sees("engine new DIR --lang go")
	e = newTopEngine(t)
	e.away.Store(true)
	p = sit(t, e, 80, 24)
	p.sees("Start an engine with: engine run")
	p.types("\x03") // Ctrl-C
	if err := <-p.ended; err != nil {
		t.Error(err)
	}
	p.ended <- nil
}

// reversed is a state whose background and foreground have changed places.
var reversed = regexp.MustCompile(`\x1b\[[0-9;]*7m\d* ?(live|halted|catching-up)`)

// In a terminal of its own the program leaves everything as it was, however it ends.
func TestTopRestoresTheTerminal(t *testing.T) {
	e := newTopEngine(t, three()...)
	for name, end := range map[string]func(c *exec.Cmd, keys func(string)){
		"q":       func(_ *exec.Cmd, keys func(string)) { keys("q") },
		"Ctrl-C":  func(_ *exec.Cmd, keys func(string)) { keys("\x03") },
		"SIGTERM": func(c *exec.Cmd, _ func(string)) { _ = c.Process.Signal(syscall.SIGTERM) },
	} {
		c := exec.CommandContext(t.Context(), "engine", "top", "--server", e.URL)
		c.Env = append(c.Environ(), "TERM=xterm-256color", "NO_COLOR=1")
		tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
		if err != nil {
			t.Fatal(err)
		}
		var seen testutil.Log
		p := &person{t: t, term: vt.NewMockTerm(vt.MockOptSize{X: 80, Y: 24})}
		if err := p.term.Start(); err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(p.term, io.TeeReader(tty, &seen)) // until the other side is closed
		}()
		go func() { _, _ = io.Copy(tty, p.term) }() // keys, and what a terminal answers, until it is stopped
		p.sees("words          halted         993")
		end(c, p.types)
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		<-read
		_, _ = p.term.Drain(), p.term.Stop()
		_ = tty.Close()
		out := seen.String()
		for on, off := range map[string]string{"\x1b[?1049h": "\x1b[?1049l", "\x1b[?25l": "\x1b[?25h"} { // another screen; no cursor
			if !strings.Contains(out, on) || strings.LastIndex(out, off) < strings.LastIndex(out, on) {
				t.Errorf("%s: %q is not taken back by %q: %q", name, on, off, out)
			}
		}
		if strings.Contains(out, "\x1b[31") || strings.Contains(out, "\x1b[38") || strings.Contains(out, "owned\a") {
			t.Errorf("%s: colours though NO_COLOR is set, or the words of a guest: %q", name, out)
		}
		if reversed.MatchString(out) {
			t.Errorf("%s: without colours states look as what is selected: %q", name, out)
		}
	}
}

// What panics leaves the terminal as it was.
func TestTopRestoresTheTerminalAfterAPanic(t *testing.T) {
	term := vt.NewMockTerm(vt.MockOptSize{X: 80, Y: 24})
	screen, err := tcell.NewTerminfoScreenFromTty(term)
	if err == nil {
		err = screen.Init()
	}
	if err != nil {
		t.Fatal(err)
	}
	cl, cerr := client.New(newTopEngine(t).URL, "")
	if cerr != nil {
		t.Fatal(cerr)
	}
	over := &finished{Screen: screen}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panics")
			}
		}()
		_ = watchTop(t.Context(), cl, over, nil) // there is no view
	}()
	if !over.done {
		t.Error("the terminal is not given back")
	}
}

// finished knows whether a screen was given back.
type finished struct {
	tcell.Screen
	done bool
}

func (f *finished) Fini() { f.done = true; f.Screen.Fini() }

// Where standard output is no terminal there is one table, and a word about it; with --json a
// line for each answer.
func TestTopWithoutATerminal(t *testing.T) {
	e := newTopEngine(t, three()...)
	top := func(args ...string) (string, string) {
		var out, said strings.Builder
		if code := run(t.Context(), append([]string{"top", "--server", e.URL}, args...), strings.NewReader(""), &out, &said); code != cli.ExitDone {
			t.Errorf("top %q: exit %d\n%s", args, code, said.String())
		}
		return out.String(), said.String()
	}
	out, said := top()
	if !strings.HasPrefix(out, "PROJECTION   STATE") || strings.Contains(out, "\x1b") || said != "engine top: standard output is no terminal: this is one table, as with --once\n" {
		t.Errorf("prints %q, and says %q", out, said)
	}
	once, said := top("--once")
	if once != out || said != "" {
		t.Errorf("--once prints %q, and says %q", once, said)
	}
	lines, _ := top("--once", "--json")
	var got struct{ Projections []engine.Status }
	if err := json.Unmarshal([]byte(lines), &got); err != nil || len(got.Projections) != 3 || strings.Count(lines, "\n") != 1 {
		t.Errorf("--json prints %q: %v", lines, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var two twice
	two.end = cancel
	if code := run(ctx, []string{"top", "--server", e.URL, "--json"}, strings.NewReader(""), &two, &two); code != cli.ExitDone || bytes.Count(two.text, []byte("\n")) != 2 {
		t.Errorf("exit %d, and prints %q", code, two.text)
	}
}

// twice ends what writes to it after two lines.
type twice struct {
	text []byte
	end  func()
}

func (w *twice) Write(p []byte) (int, error) {
	if w.text = append(w.text, p...); bytes.Count(w.text, []byte("\n")) == 2 {
		w.end()
	}
	return len(p), nil
}

// A terminal that cannot place a cursor gets one table, without orders that it would show as text.
func TestTopOnADumbTerminal(t *testing.T) {
	c := exec.CommandContext(t.Context(), "engine", "top", "--server", newTopEngine(t, three()...).URL)
	c.Env = append(c.Environ(), "TERM=dumb")
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	out, _ := io.ReadAll(tty) // ends with an error, as a terminal whose program has ended does
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if bytes.Contains(out, []byte("\x1b")) || !bytes.Contains(out, []byte("TERM is dumb")) || !bytes.Contains(out, []byte("balances")) {
		t.Errorf("%q", out)
	}
}

// What is known of a projection and has no room in the terminal can be gone through, to its end and back.
func TestTopScrollsDetails(t *testing.T) {
	long := three()[2]
	long.Reason = strings.Repeat("理由が長い ", 150)
	p := sit(t, newTopEngine(t, long), 80, 24)
	p.sees("words")
	p.types("\r")
	p.sees("PgDn: ", "dead-letters skip")
	for range 9 { // further than there is
		p.types("\x1b[6~")
	}
	p.sees("dead-letters skip words", "PgDn: ", "projection   words")
	p.types("\x1b[5~\x1b[5~\x1b[5~\x1b[5~\x1b[5~")
	p.sees("projection   words", "dead-letters skip")
}

// No line is wider than the terminal, whatever it is written in, and nothing of it is lost.
func TestWrapped(t *testing.T) {
	for _, text := range []string{strings.Repeat("理由", 100), strings.Repeat("words and ", 30), "short", ""} {
		all := ""
		for i, line := range wrapped(text, 40) {
			if within([]rune(line), 40) != len([]rune(line)) {
				t.Errorf("%q is too wide", line)
			}
			if i > 0 {
				line = strings.TrimPrefix(line, "    ")
			}
			all += line
		}
		if got, want := strings.ReplaceAll(all, " ", ""), strings.ReplaceAll(text, " ", ""); got != want {
			t.Errorf("%q became %q", want, got)
		}
	}
}

// A token that is wrong ends it, with what to do: waiting does not help.
func TestTopWithoutAToken(t *testing.T) {
	e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":"unauthorized","detail":"a token is needed","hint":"set GNOMON_TOKEN"}`)
	}))
	t.Cleanup(e.Close)
	p := sit(t, &topEngine{Server: e}, 80, 24)
	err := <-p.ended
	var said strings.Builder
	if cli.PrintError(&said, err); !strings.Contains(said.String(), "\nhint: set GNOMON_TOKEN\n") {
		t.Errorf("ends with %v", err)
	}
	p.ended <- nil
}

// Numbers, sizes and times take five characters at most, whatever they are.
func TestShortForms(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{shortNumber(0), "0"}, {shortNumber(9999), "9999"}, {shortNumber(10000), "10k"}, {shortNumber(9.96e6), "9960k"}, {shortNumber(12.3e6), "12M"}, {shortNumber(1e20), ">999T"},
		{shortBytes(0), "0B"}, {shortBytes(1023), "1023B"}, {shortBytes(1024), "1.0K"}, {shortBytes(10 << 20), "10M"}, {shortBytes(1 << 63), ">999T"},
		{shortTime(0), "<1s"}, {shortTime(99 * time.Second), "99s"}, {shortTime(100 * time.Second), "1m"}, {shortTime(100 * time.Hour), "4d"}, {shortTime(999 * 24 * time.Hour), "999d"},
		{shortTime(1000 * 24 * time.Hour), "2y"}, {shortTime(math.MaxInt64), "292y"},
	} {
		if tt.got != tt.want || len(tt.got) > 5 {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
	for _, d := range []time.Duration{99 * time.Minute, 99 * time.Hour, 999 * 24 * time.Hour, math.MaxInt64} { // the width of its column
		if got := shortTime(d); len(got) > 4 {
			t.Errorf("%v is %q, which its column cuts", d, got)
		}
	}
	for want, rates := range map[string][]float64{"        ": nil, "      ▁█": {0, 9}, "▁▁▁▁▁▁▁▁": make([]float64, sparkLength)} {
		if got := spark(rates); got != want {
			t.Errorf("%v is %q, want %q", rates, got, want)
		}
	}
}
