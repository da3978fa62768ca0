package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// explained is an explanation in short: sequence, cause, and the value before and after.
func explained(x engine.Explanation) string {
	var list []string
	for _, c := range x.Changes {
		show := func(v []byte) string {
			if v == nil {
				return "-"
			}
			return string(v)
		}
		list = append(list, fmt.Sprintf("%d %s %s>%s", c.Sequence, c.Cause, show(c.Before), show(c.After)))
	}
	return strings.Join(list, ", ")
}

// modulo counts events by their sequence modulo 10, deletes a count of 3, and refuses those
// that are bad.
func modulo(bad map[uint64]bool) enginetest.Func {
	return func(e abi.Record, st guest.State) error {
		if bad[e.Sequence] {
			return enginetest.Refuse("not this one")
		}
		key := fmt.Appendf(nil, "%d", e.Sequence%10)
		value, _, err := st.Get(key)
		if err != nil {
			return err
		}
		if len(value) == 2 {
			return st.Delete(key)
		}
		return st.Put(key, append(value[:len(value):len(value)], 'x'))
	}
}

// Every change of a key is told with the event that made it, newest first: from which value
// to which, whatever was committed together with it.
func TestExplain(t *testing.T) {
	for _, every := range []uint64{0, 1, 7} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(50)
			e := b.start(spec(enginetest.FuncModule("modulo", modulo(nil)), func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true, Every: every} }))
			e.awaitLive(50)
			b.append(10)
			e.awaitLive(60)
			const all = "55 event xx>-, 45 event x>xx, 35 event ->x, 25 event xx>-, 15 event x>xx, 5 event ->x"
			for _, c := range []struct {
				question engine.Question
				want     string
				oldest   uint64
				ended    string
			}{
				{engine.Question{}, all, 0, ""},
				{engine.Question{At: engine.At{Sequence: 54}}, all[len("55 event xx>-, "):], 0, ""},
				{engine.Question{At: engine.At{Sequence: 4}}, "", 0, ""},
				{engine.Question{Since: 25}, "55 event xx>-, 45 event x>xx, 35 event ->x", 25, ""},
				{engine.Question{Since: 24, At: engine.At{Sequence: 44}}, "35 event ->x, 25 event xx>-", 24, ""},
				{engine.Question{Limit: 2}, "55 event xx>-, 45 event x>xx", 45, "limit of 2"},
				{engine.Question{Limit: 1, At: engine.At{Sequence: 44}}, "35 event ->x", 35, "limit of 1"},
			} {
				c.question.Key = []byte("5")
				x, err := e.Explain(t.Context(), "p", c.question)
				if err != nil || explained(x) != c.want || x.Oldest != c.oldest || !strings.Contains(x.Ended, c.ended) || (c.ended == "") != (x.Ended == "") {
					t.Errorf("every %d, %+v: %s, down to %d, %q, %v; want %s", every, c.question, explained(x), x.Oldest, x.Ended, err, c.want)
				}
			}
			x, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("5"), Limit: 1})
			if err != nil || len(x.Changes) != 1 || !x.Changes[0].Time.Equal(b.timeOf(55)) || x.Changes[0].Subject != "e.x" || x.Changes[0].Module != e.status().Module {
				t.Errorf("%+v, %v", x, err)
			}
			if x, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("none")}); err != nil || len(x.Changes) != 0 || x.Sequence != 60 {
				t.Errorf("a key that never was: %+v, %v", x, err)
			}
			if _, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("5"), At: engine.At{Sequence: 61}}); !errors.Is(err, engine.ErrNotReached) {
				t.Errorf("as of what is not applied: %v", err)
			}
		})
	}
}

// What orders, migrations and events that are gone changed is told as such; and from where on
// history is kept.
func TestExplainOtherCauses(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		bad := map[uint64]bool{15: true}
		with := func(s *engine.Spec) {
			s.OnError, s.Letters, s.OnChange = engine.DeadLetter, 10, engine.SwapCode
			s.History = engine.HistoryPolicy{Events: 42, Every: 5}
		}
		e := b.start(spec(enginetest.FuncModule("modulo", modulo(bad)), with))
		b.append(30)
		e.awaitLive(30)
		clear(bad)
		if _, err := e.Order(t.Context(), "p", engine.RetryLetters, engine.Letters{}); err != nil {
			t.Fatal(err)
		}
		b.append(5)
		e.awaitLive(35)
		next := enginetest.FuncModule("next", modulo(nil))
		next.Migrate = func(_ int, st guest.State) error { return st.Put([]byte("5"), []byte("m")) }
		e.declare(spec(next, with, func(s *engine.Spec) { s.Schema = 2 }))
		b.append(10)
		e.awaitLive(45)
		ask := func(want, ended string) {
			t.Helper()
			x, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("5")})
			if err != nil || explained(x) != want || !strings.Contains(x.Ended, ended) || (ended == "") != (x.Ended == "") {
				t.Errorf("%s, %q, %v; want %s", explained(x), x.Ended, err, want)
			}
		}
		ask("45 event m>mx, 35 migration x>m, 35 event ->x, 30 order xx>-, 25 event x>xx, 5 event ->x", "history is kept from")
		b.server.Delete(streamName, 25)
		ask("45 event m>mx, 35 migration x>m, 35 event ->x, 30 order xx>-, 25 unknown x>xx, 5 event ->x", "history is kept from")
		for seq := uint64(30); seq <= 45; seq++ { // as of what another module applied, too
			if _, _, err := e.at(engine.At{Sequence: seq}); err != nil {
				t.Errorf("as of %d: %v", seq, err)
			}
		}
	})
}
