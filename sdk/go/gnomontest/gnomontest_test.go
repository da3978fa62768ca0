package gnomontest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
)

// The projection of these tests counts the events of each subject; careless makes
// it count in a variable, which no snapshot saves.
var (
	careless bool
	counted  int
)

func init() {
	gnomon.OnInit(func() error { counted = 0; return nil })
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		if careless {
			counted++
			return gnomon.Store(st, "n", counted)
		}
		if ev.Subject() == "sometimes" {
			if counted++; counted > 1 {
				return fmt.Errorf("seen %d times", counted)
			}
			return nil
		}
		if ev.Subject() == "refused" {
			gnomon.Log.Warn("refused")
			return errors.New("this subject is refused")
		}
		return gnomon.Update(st, ev.Subject(), func(n *int) error { *n++; return nil })
	})
}

const lines = `{"subject":"a","id":"1","type":"t","time":"2026-03-01T10:00:00Z","data":{"x": 1}}

{"subject":"b","data":"text"}
`

func TestParseLog(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(lines))
	z.Close()
	for what, log := range map[string]string{"plain": lines, "compressed": packed.String(), "no last newline": strings.TrimSpace(lines)} {
		events, err := gnomontest.ParseLog(strings.NewReader(log))
		if err != nil || len(events) != 2 || string(events[0].Data) != `{"x": 1}` || events[1].Subject != "b" {
			t.Errorf("%s: %v, error %v", what, events, err)
		}
	}
	_, err := gnomontest.ParseLog(strings.NewReader(lines + "{"))
	if err == nil || !strings.HasPrefix(err.Error(), "line 4: ") {
		t.Errorf("error = %v, want one that names line 4", err)
	}
}

func TestRunStartsFromNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path, []byte(lines+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	events := gnomontest.ReadLog(t, path)
	for range 2 {
		got, err := gnomontest.Run(events, gnomontest.Options{Batch: 3})
		if err != nil || got.State["a"] != "2" || got.State["b"] != "2" || len(got.State) != 2 {
			t.Errorf("state = %v, error %v; want two of each subject", got.State, err)
		}
	}
}

// complaints collects what a check says, instead of failing the test.
type complaints struct {
	testing.TB
	text []string
}

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.text = append(c.text, fmt.Sprintf(format, args...))
}

func TestInvarianceFindsForgottenState(t *testing.T) {
	events := make([]gnomontest.Event, 100)
	for i := range events {
		events[i].Subject = "a"
	}
	gnomontest.CheckInvariance(t, events, gnomontest.Options{})

	careless = true
	defer func() { careless = false }()
	c := &complaints{TB: t}
	gnomontest.CheckInvariance(c, events, gnomontest.Options{})
	const want = `batches of 1, restart after every 1: event 2 (type "", subject "a") is the first that comes out otherwise: key "n" is "1", want "2"`
	if len(c.text) == 0 || c.text[0] != want {
		t.Errorf("complaints = %q, want %q", c.text, want)
	}
}

// Events that fail are passed over, whatever batch they come in; which of them fail, and with
// what, has to be the same.
func TestInvarianceGoesOnAfterFailures(t *testing.T) {
	events := make([]gnomontest.Event, 100)
	for i := range events {
		events[i] = gnomontest.Event{Subject: "a", Type: "t"}
		if i%9 == 4 {
			events[i].Subject = "refused"
		}
	}
	gnomontest.CheckInvariance(t, events, gnomontest.Options{})

	events[1].Subject, events[3].Subject = "sometimes", "sometimes"
	says := complaintsOf(t, func(t testing.TB) { gnomontest.CheckInvariance(t, events, gnomontest.Options{}) })
	const want = `batches of 1, restart after every 1: event 4 (type "t", subject "sometimes") is the first that comes out otherwise: it is applied, want that it fails with "seen 2 times"`
	if first, _, _ := strings.Cut(says, "\n"); first != want {
		t.Errorf("says %q, want %q", first, want)
	}
}
