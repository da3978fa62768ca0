package engine_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// accounts is a guest that is local to its key: of each account it keeps the
// sequences of its events in order, and a row for each of them.
func accounts(e abi.Record, st guest.State) error {
	list, _, err := st.Get(e.Key)
	if err != nil {
		return err
	}
	if err := st.Put(e.Key, fmt.Appendf(list[:len(list):len(list)], "%d ", e.Sequence)); err != nil {
		return err
	}
	return st.Put(fmt.Appendf(nil, "%s/%d", e.Key, e.Sequence), e.Data)
}

// split is a projection in partitions, by the second token of the subject.
func split(m guest.Module, partitions int, change ...func(*engine.Spec)) engine.Spec {
	return spec(m, append(change, func(s *engine.Spec) {
		s.Partitions = partitions
		s.KeyOf = func(e abi.Record) []byte { return e.Subject[2:] }
	})...)
}

// appendAccounts stores n events of some accounts.
func (b *bench) appendAccounts(n int) {
	for i := range n {
		b.server.Append(streamName, fmt.Sprint("a.", i*i%17), fmt.Append(nil, i))
	}
}

// However many partitions share the events, and however they are batched, the state
// is that of one instance, also after a restart with another number.
func TestPartitionsLeaveNoTrace(t *testing.T) {
	m := enginetest.FuncModule("accounts", accounts)
	var want map[string]string
	for _, partitions := range []int{1, 2, 3, 16, 64} {
		for _, events := range []int{1, 7, 100} {
			inBubble(t, func(t *testing.T, b *bench) {
				b.appendAccounts(150)
				batch := func(s *engine.Spec) { s.Batch.Events = events }
				e := b.start(split(m, partitions, batch))
				e.awaitLive(150)
				e.stop()
				b.appendAccounts(150)
				e = b.start(split(m, partitions%7+1, batch))
				if s := e.awaitLive(300); s.Start != 150 || s.Failures != 0 {
					t.Errorf("status %+v", s)
				}
				got, _ := e.content()
				if want == nil {
					want = got
				}
				if len(got) != 17/2+1+300 || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%d partitions, %d events a batch: %d rows, want %d\n%v\n%v", partitions, events, len(got), len(want), got, want)
				}
			})
		}
	}
}

// Partitions work at the same time: each waits here until another one works too.
func TestPartitionsWorkTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.appendAccounts(50)
		var met sync.WaitGroup
		met.Add(2)
		m := &enginetest.Module{Name: "meeting", New: func() enginetest.Guest {
			var once sync.Once
			return enginetest.Func(func(e abi.Record, st guest.State) error {
				once.Do(func() { met.Done(); met.Wait() })
				return accounts(e, st)
			})
		}}
		b.start(split(m, 2)).awaitLive(50)
	})
}

// An event that fails halts all partitions just before it: what others did of the
// same batch is rolled back.
func TestPartitionFails(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.appendAccounts(100)
		m := enginetest.FuncModule("fails", func(e abi.Record, st guest.State) error {
			if e.Sequence == 42 || e.Sequence == 77 {
				return enginetest.Refuse("not %d", e.Sequence)
			}
			return accounts(e, st)
		})
		e := b.start(split(m, 4, func(s *engine.Spec) { s.Batch.Events = 30 }))
		if s := e.awaitState(engine.Halted); !strings.HasPrefix(s.Reason, "event 42: ") || s.Position != 41 {
			t.Errorf("status %+v", s)
		}
		state, _ := e.content()
		rows := 0
		for key := range state {
			if strings.Contains(key, "/") {
				rows++
			}
		}
		if rows != 41 {
			t.Errorf("%d events are in the state, want 41", rows)
		}
	})
}

// A projection that is not local to its key is halted, with the key that two
// partitions used, whether the other one wrote it too or only read it; nothing of it
// is committed, and one instance goes on.
func TestPartitionsShareNoState(t *testing.T) {
	total := func(e abi.Record, st guest.State) error {
		n, _, err := st.Get([]byte("total"))
		if err != nil {
			return err
		}
		return st.Put([]byte("total"), append(n[:len(n):len(n)], 'x'))
	}
	peek := func(e abi.Record, st guest.State) error {
		if e.Sequence == 1 {
			return st.Put([]byte("total"), nil)
		}
		_, _, err := st.Get([]byte("total"))
		return err
	}
	for name, guest := range map[string]enginetest.Func{"write": total, "read": peek} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.appendAccounts(20)
			m := enginetest.FuncModule(name, guest)
			e := b.start(split(m, 2))
			s := e.awaitState(engine.Halted)
			if !strings.Contains(s.Reason, `"total"`) || !strings.Contains(s.Hint, "partitions = 1") || s.Position != 0 || s.Keys != 0 {
				t.Errorf("%s: status %+v", name, s)
			}
			e.stop()
			e = b.start(split(m, 1))
			if s := e.awaitLive(20); s.Keys != 1 {
				t.Errorf("%s: status %+v", name, s)
			}
		})
	}
}

// A commit holds what all partitions write: each has its share of the limit, and an
// event that goes over it is told so.
func TestPartitionsShareTheCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.appendAccounts(60)
		s := split(wide(9), 4)
		b.limit(s, state.TxLimit{Writes: 40, Bytes: 1 << 20})
		e := b.start(s)
		if got := e.awaitLive(60); got.Keys != 540 {
			t.Errorf("%d keys, want 540", got.Keys)
		}
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.appendAccounts(3)
		s := split(wide(11), 4)
		b.limit(s, state.TxLimit{Writes: 40, Bytes: 1 << 20})
		got := b.start(s).awaitState(engine.Halted)
		if !strings.HasPrefix(got.Reason, "event 1: ") || !strings.Contains(got.Reason, "10 keys or 262144 bytes for each of 4 partitions") {
			t.Errorf("reason %q", got.Reason)
		}
	})
}

// What cannot be split is refused: events without a key, and memory of the guest.
func TestPartitionsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start()
		keyless := split(ledgerModule, 2)
		keyless.KeyOf = nil
		for _, tt := range []struct {
			spec engine.Spec
			want string
		}{
			{keyless, "without a key"},
			{split(remembers(), 2), "in its own memory"},
		} {
			if _, err := e.Declare(t.Context(), tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "partitions = 1") {
				t.Errorf("%v, want %q", err, tt.want)
			}
		}
		if _, err := e.Declare(t.Context(), split(remembers(), 1)); err != nil {
			t.Error(err)
		}
	})
}
