package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A goal is a lower bound, or an upper one when lower values are better.
func TestRatio(t *testing.T) {
	for _, c := range []struct {
		r    ratio
		line string
	}{
		{ratio{Name: "wat/native", Value: 2, Goal: 2}, "RATIO wat/native 2.00 goal 2.00 ok"},
		{ratio{Name: "wat/native", Value: 1.9, Goal: 2}, "RATIO wat/native 1.90 goal 2.00 short"},
		{ratio{Name: "head/p50-ms", Value: 1.5, Goal: 3, Lower: true}, "RATIO head/p50-ms 1.50 goal 3.00 ok"},
		{ratio{Name: "head/p50-ms", Value: 3.5, Goal: 3, Lower: true}, "RATIO head/p50-ms 3.50 goal 3.00 short"},
	} {
		if line := c.r.judged().String(); line != c.line {
			t.Errorf("%q, want %q", line, c.line)
		}
	}
}

// A stream that walks visits every key once before it visits one again, and is the same
// every time.
func TestMovementsWalk(t *testing.T) {
	for _, keys := range []int{1, 10, 1000, 1_000_000} {
		seen := map[int]bool{}
		s := movements{stream: "S", events: keys, keys: keys, walk: true}
		_ = s.each(func(m movement) error { seen[m.account] = true; return nil })
		if first, second := s.sum(), s.sum(); len(seen) != keys || first != second {
			t.Errorf("%d keys: visited %d", keys, len(seen))
		}
	}
}

// A getter reads answers one after the other on one connection, of any status, and says
// what they reflect; an answer without a length is an error, not a wait for ever.
func TestGetter(t *testing.T) {
	connections := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
			return
		}
		w.Header().Set("Gnomon-As-Of-Seq", "42")
		if r.URL.Path != statePath("balance", accountKey(7)) {
			w.WriteHeader(http.StatusNotFound)
		} else {
			w.Header().Set("Gnomon-State", "live")
		}
		fmt.Fprintf(w, "%s\n", r.URL.Path)
	}))
	t.Cleanup(s.Close)
	g, err := dialGetter(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	for path, want := range map[string]got{
		statePath("balance", accountKey(7)): {status: 200, asOf: 42, live: true},
		"/nothing":                          {status: 404, asOf: 42},
	} {
		for range 2 {
			if a, err := g.get(path); a != want || err != nil {
				t.Errorf("%s: %+v, %v, want %+v", path, a, err, want)
			}
		}
	}
	if len(connections) != 1 {
		t.Errorf("%d connections", len(connections))
	}
	if _, err := g.get("/chunked"); !errors.Is(err, errAnswer) {
		t.Errorf("an answer without a length: %v", err)
	}
}

// The memory and the time of a process can be read: at least one page and no more than
// everything.
func TestProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc")
	}
	m, err := memoryOf(os.Getpid())
	if err != nil || m.All < 4 || m.Anon <= 0 || m.Anon+m.File > m.All {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := cpuOf(os.Getpid()); err != nil {
		t.Error(err)
	}
}

// Axes are logarithmic: equal ratios are equal distances, and the bounds are the edges.
func TestAxis(t *testing.T) {
	a := axis{low: 1, high: 10_000, from: 100, to: 500}
	for v, want := range map[float64]float64{1: 100, 10: 200, 100: 300, 10_000: 500} {
		if got := a.at(v); got < want-0.01 || got > want+0.01 {
			t.Errorf("%v is at %v, want %v", v, got, want)
		}
	}
	if got := (axis{low: 5, high: 5, from: 100, to: 500}).at(5); got != 300 {
		t.Errorf("the only value is at %v", got)
	}
	if got := fmt.Sprint(ticks(20, 500)); got != "[20 50 100 200 500]" {
		t.Errorf("ticks %s", got)
	}
}

// A plot is well-formed XML with a mark for each point, and names what it shows, whatever
// characters that has.
func TestPlot(t *testing.T) {
	svg := drawPlot("cost & growth", "ns", []panel{
		{"events", []line{{"<engine>", []point{{10_000, 700}, {100_000, 650}}}, {"native", []point{{10_000, 1700}, {100_000, 1650}}}}},
		{"keys", []line{{"engine", []point{{1, 700}}}}},
	})
	circles, text := 0, ""
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if e.Name.Local == "circle" {
				circles++
			}
		case xml.CharData:
			text += string(e) + "\n"
		}
	}
	if circles != 5 {
		t.Errorf("%d points, want 5", circles)
	}
	for _, want := range []string{"cost & growth", "<engine>", "native", "keys", "10⁴", "2,000"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the plot, which says %q", want, text)
		}
	}
}

// Numbers are written so that a person can compare them.
func TestNumbers(t *testing.T) {
	for f, want := range map[float64]string{0.123: "0.12", 9.999: "10.00", 12.34: "12.3", 123.6: "124", 1234567: "1,234,567", 0: "0.00"} {
		if got := short(f); got != want {
			t.Errorf("%v is written %s, want %s", f, got, want)
		}
	}
	if got := fmt.Sprint(steps(10_000, 1_000_000, 10), steps(1, 33, 2), steps(10, 5, 10)); got != "[10000 100000 1000000] [1 2 4 8 16 32] [5]" {
		t.Errorf("steps %s", got)
	}
	values := []float64{5, 1, 4, 2, 3}
	if quantile(values, 0.5) != 3 || quantile(values, 0) != 1 || quantile(values, 1) != 5 || values[0] != 5 {
		t.Errorf("quantiles of %v are wrong", values)
	}
}

// The numbers of a document are replaced by those of a run, and nothing else of it is.
func TestTablesInto(t *testing.T) {
	dir := t.TempDir()
	r := results{Go: "go1", Events: 1000, Rounds: 1, Ratios: []ratio{{Name: "a/b", Value: 1, Goal: 2}}}
	file, doc := filepath.Join(dir, "results.json"), filepath.Join(dir, "DOC.md")
	if err := errors.Join(r.write(file), os.WriteFile(doc, []byte("before\n"+numbersBegin+"old\n"+numbersEnd+"after\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := printTables([]string{"-results", file, "-into", doc}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(text, "before\n"+numbersBegin) || !strings.HasSuffix(text, numbersEnd+"after\n") || strings.Contains(text, "old") {
		t.Errorf("%s", text)
	}
	if strings.Count(text, "a/b") != 1 {
		t.Errorf("the goal is there %d times:\n%s", strings.Count(text, "a/b"), text)
	}
}

// A document without a place for numbers is left alone, with an error that names the
// marks.
func TestTablesNowhere(t *testing.T) {
	dir := t.TempDir()
	file, doc := filepath.Join(dir, "results.json"), filepath.Join(dir, "DOC.md")
	if err := errors.Join(results{}.write(file), os.WriteFile(doc, []byte("text\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	err := printTables([]string{"-results", file, "-into", doc})
	if err == nil || !strings.Contains(err.Error(), "<!-- numbers -->") {
		t.Errorf("error %v", err)
	}
	if b, _ := os.ReadFile(doc); string(b) != "text\n" {
		t.Errorf("%s", b)
	}
}
