package engine_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// caching is a guest of accounts that remembers what it has written, and refuses events
// whose data is "bad" when it has written.
type caching struct{ lists map[string]string }

func (c *caching) Event(e abi.Record, st guest.State) error {
	key := string(e.Key)
	if _, ok := c.lists[key]; !ok {
		list, _, err := st.Get(e.Key)
		if err != nil {
			return err
		}
		c.lists[key] = string(list)
	}
	c.lists[key] += fmt.Sprintf("%d ", e.Sequence)
	if err := st.Put(e.Key, []byte(c.lists[key])); err != nil {
		return err
	}
	if string(e.Data) == "bad" {
		return enginetest.Refuse("not %d", e.Sequence)
	}
	return nil
}

// A burst of events that fail is dealt with in one session: the stream is not read anew for
// any of them, and no instance goes on that has seen what was rolled back.
func TestMending(t *testing.T) {
	const events = 300
	for _, policy := range []engine.Policy{engine.Skip, engine.DeadLetter, engine.Quarantine} {
		for _, partitions := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", policy, partitions), func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bench) {
					want := map[string]string{}
					failed := map[string]bool{}
					for i := range uint64(events) {
						account, data := fmt.Sprint(i*i%7), "good"
						if i%3 != 1 {
							data = "bad"
						}
						sequence := b.server.Append(streamName, "a."+account, []byte(data))
						switch {
						case data == "bad":
							failed[account] = true
						case policy != engine.Quarantine || !failed[account]:
							want[account] += fmt.Sprintf("%d ", sequence)
						}
					}
					var made atomic.Int64
					m := &enginetest.Module{Name: "caching", New: func() enginetest.Guest {
						made.Add(1)
						return &caching{lists: map[string]string{}}
					}}
					s := split(m, partitions, func(s *engine.Spec) { s.OnError, s.Letters = policy, events })
					e := b.start(s)
					e.awaitLive(events)
					if got := e.applied(); fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("applied\n%v, want\n%v", got, want)
					}
					if n := e.Measures().Projections["p"].Sessions; n != 1 {
						t.Errorf("%d sessions, want 1", n)
					}
					if made.Load() < 2 {
						t.Errorf("%d instances: those that failed go on", made.Load())
					}
				})
			})
		}
	}
}
