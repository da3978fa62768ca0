package gnomon_test

import (
	"testing"
	"time"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
)

func TestEvent(t *testing.T) {
	stored := time.Date(2026, 3, 1, 9, 0, 5, 123456789, time.UTC)
	mustRun(t, func(ev gnomon.Event, _ gnomon.State) error {
		for what, c := range map[string][2]string{
			"subject":        {ev.Subject(), "orders.eu.17"},
			"first token":    {ev.Token(1), "orders"},
			"last token":     {ev.Token(3), "17"},
			"token 0":        {ev.Token(0), ""},
			"token 4":        {ev.Token(4), ""},
			"type":           {ev.Type(), "placed"},
			"id":             {ev.ID(), "o-1"},
			"header":         {ev.Header("nats-msg-id"), "o-1"},
			"header, absent": {ev.Header("x"), ""},
			"key":            {ev.Key(), "17"},
			"data":           {string(ev.Data()), `{"amount":5}`},
			"time":           {ev.Time().Format(time.RFC3339Nano), "2026-03-01T09:00:00.25Z"},
			"stored":         {ev.Stored().Format(time.RFC3339Nano), stored.Format(time.RFC3339Nano)},
		} {
			if c[0] != c[1] {
				t.Errorf("%s is %q, want %q", what, c[0], c[1])
			}
		}
		var v struct{ Amount int }
		if err := ev.JSON(&v); err != nil || v.Amount != 5 || ev.Sequence() != 12 {
			t.Errorf("amount %d, sequence %d, error %v", v.Amount, ev.Sequence(), err)
		}
		return nil
	}, gnomontest.Event{
		Subject: "orders.eu.17", ID: "o-1", Type: "placed", Time: "2026-03-01T10:00:00.250+01:00",
		Data: []byte(`{"amount":5}`), Key: "17", Sequence: 12, Stored: stored,
	})
}

// An event without a time of its own, or with one that cannot be read, has the time
// at which it was stored.
func TestTimeFallsBack(t *testing.T) {
	mustRun(t, func(ev gnomon.Event, _ gnomon.State) error {
		if !ev.Time().Equal(ev.Stored()) {
			t.Errorf("time of %q is %s, want %s", ev.Header("ce-time"), ev.Time(), ev.Stored())
		}
		return nil
	}, gnomontest.Event{Subject: "a"}, gnomontest.Event{Subject: "b", Time: "yesterday"})
}
