package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// everything keeps all of a projection's past.
func everything(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true, Every: 50} }

// at reads the state as of a sequence, and checks its totals.
func (r *running) at(at engine.At) (state map[string]string, ck state.Checkpoint, err error) {
	r.t.Helper()
	reading, err := r.ReadAt(r.t.Context(), "p", at)
	if err != nil {
		return nil, ck, err
	}
	defer reading.Close()
	state = map[string]string{}
	if err := reading.Scan(nil, nil, func(key, value []byte) bool { state[string(key)] = string(value); return true }); err != nil {
		r.t.Fatal(err)
	}
	for key, value := range state {
		if got, ok, err := reading.Get([]byte(key)); err != nil || !ok || string(got) != value {
			r.t.Errorf("key %q: Get says %q, %v, %v, and Scan %q", key, got, ok, err, value)
		}
	}
	checkTotals(r.t, reading.Checkpoint, state)
	return state, reading.Checkpoint, nil
}

// wantAt checks that the state as of a sequence is that of the ledger up to there.
func (r *running) wantAt(sequence uint64, except ...uint64) {
	r.t.Helper()
	state, ck, err := r.at(engine.At{Sequence: sequence})
	if err != nil {
		r.t.Errorf("as of %d: %v", sequence, err)
		return
	}
	var want strings.Builder
	events := 0
	for seq := uint64(1); seq <= sequence; seq++ {
		if !slices.Contains(except, seq) {
			fmt.Fprintf(&want, "%d ", seq)
			events++
		}
	}
	if state["ledger"] != want.String() || len(state) != events+min(1, events) || ck.Position.Sequence != sequence {
		r.t.Errorf("as of %d there are %d keys at %d, and the ledger has %q", sequence, len(state), ck.Position.Sequence, state["ledger"])
	}
}

// The state as of any sequence is that of the events up to it, whatever was committed
// together, and after a restart too; sequences that are not applied yet are refused.
func TestReadAt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(300)
		e := b.start(spec(ledgerModule, everything))
		e.awaitLive(300)
		b.append(5)
		e.awaitLive(305)
		for range 2 {
			for _, seq := range []uint64{0, 1, 2, 49, 50, 51, 99, 100, 101, 250, 299, 300, 301, 303, 305} {
				e.wantAt(seq)
			}
			if _, _, err := e.at(engine.At{Sequence: 306}); !errors.Is(err, engine.ErrNotReached) || !strings.Contains(err.Error(), "305") {
				t.Errorf("beyond the end: %v", err)
			}
			e.stop()
			e = b.start(spec(ledgerModule, everything))
			e.awaitLive(305)
		}
		if s := e.status(); s.Events != 0 || s.Commits != 0 {
			t.Errorf("replays show in the status: %+v", s)
		}
	})
}

// A time stands for the last event that was stored by then.
func TestReadAtTime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		before := time.Now()
		b.append(100)
		e := b.start(spec(ledgerModule, everything))
		e.awaitLive(100)
		for _, c := range []struct {
			at   time.Time
			want uint64
		}{
			{before, 0}, {b.timeOf(1).Add(-1), 0}, {b.timeOf(1), 1}, {b.timeOf(57), 57}, {b.timeOf(57).Add(time.Second - 1), 57},
			{b.timeOf(100), 100}, {time.Now(), 100},
		} {
			_, ck, err := e.at(engine.At{Time: c.at})
			if err != nil || ck.Position.Sequence != c.want {
				t.Errorf("at %s: %d, %v, want %d", c.at, ck.Position.Sequence, err, c.want)
			}
		}
		if _, _, err := e.at(engine.At{Time: time.Now().Add(time.Minute)}); !errors.Is(err, engine.ErrNotReached) {
			t.Errorf("a time to come: %v", err)
		}
		b.server.Purge(streamName, 50)
		if _, _, err := e.at(engine.At{Time: b.timeOf(50).Add(-1)}); !errors.Is(err, engine.ErrEventsGone) {
			t.Errorf("a time of which the stream holds nothing: %v", err)
		}
	})
}

// So much is kept as the policy says, exactly from where the error says; nothing is kept of
// what it does not ask for.
func TestHistoryIsKept(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy engine.HistoryPolicy
		oldest uint64 // at most
		gone   uint64 // at least
	}{
		{"none", engine.HistoryPolicy{}, 399, 398},
		{"events", engine.HistoryPolicy{Events: 100, Every: 10}, 300, 280},
		{"age", engine.HistoryPolicy{Age: 100 * time.Second, Every: 10}, 300, 280},
		{"all", engine.HistoryPolicy{All: true}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				with := func(s *engine.Spec) { s.History = c.policy }
				e := b.start(spec(ledgerModule, with))
				for range 40 {
					b.append(10)
					e.awaitLive(b.last())
				}
				e.await("durable", func(s engine.Status) bool { return s.Durable == 400 })
				for range 2 {
					oldest := uint64(0)
					for seq := uint64(400); ; seq-- {
						_, _, err := e.at(engine.At{Sequence: seq})
						if errors.Is(err, engine.ErrNotKept) {
							oldest = seq + 1
							if want := fmt.Sprintf("the oldest is that of %d ", oldest); !strings.Contains(err.Error(), want) {
								t.Errorf("as of %d: %v, want %q", seq, err, want)
							}
							break
						}
						if err != nil {
							t.Fatalf("as of %d: %v", seq, err)
						}
						e.wantAt(seq)
						if seq == 0 {
							break
						}
					}
					if oldest > max(c.oldest, 1) && oldest > c.oldest+1 || oldest < c.gone {
						t.Errorf("the oldest is %d, want %d to %d", oldest, c.gone, c.oldest+1)
					}
					e.stop()
					e = b.start(spec(ledgerModule, with))
					e.awaitLive(400)
				}
			})
		})
	}
}

// last is the last sequence of the stream.
func (b *bench) last() uint64 {
	info, err := b.server.Stream(b.t.Context(), streamName)
	if err != nil {
		b.t.Fatal(err)
	}
	return info.Last
}

// A sequence that holds no event of the projection's own, or none at all, is answered too;
// events that were there when they were applied and are gone are told apart from those.
func TestReadAtGaps(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(60)
		for _, seq := range []uint64{5, 6, 7, 60} {
			b.server.Delete(streamName, seq)
		}
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true} }))
		e.awaitLive(60)
		b.append(1)
		e.awaitLive(61)
		for seq := range uint64(62) {
			e.wantAt(seq, 5, 6, 7, 60)
		}
		b.server.Delete(streamName, 30)
		if _, _, err := e.at(engine.At{Sequence: 40}); !errors.Is(err, engine.ErrEventsGone) || !strings.Contains(err.Error(), "of 56 events") {
			t.Errorf("one event is gone: %v", err)
		}
		e.wantAt(61, 5, 6, 7, 60)
		b.server.Purge(streamName, 50)
		if _, _, err := e.at(engine.At{Sequence: 20}); !errors.Is(err, engine.ErrEventsGone) {
			t.Errorf("the beginning is gone: %v", err)
		}
		b.server.Create(streamName)
		var changed *engine.HistoryError
		if _, _, err := e.at(engine.At{Sequence: 40}); !errors.As(err, &changed) {
			t.Errorf("another stream: %v", err)
		}
	})
}

// What was set aside or skipped when it was applied is so in a replay, whatever becomes of
// it later; a module that does something else by now is found out.
func TestReadAtFailures(t *testing.T) {
	for _, policy := range []engine.Policy{engine.Skip, engine.DeadLetter, engine.Quarantine} {
		t.Run(string(policy), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				bad := map[uint64]bool{7: true, 23: true, 24: true}
				m := enginetest.FuncModule("choosy", func(e abi.Record, st guest.State) error {
					if bad[e.Sequence] {
						return enginetest.Refuse("not this one")
					}
					return ledger(e, st)
				})
				with := func(s *engine.Spec) {
					s.OnError, s.Letters, s.History = policy, 100, engine.HistoryPolicy{All: true}
					s.KeyOf = func(e abi.Record) []byte { return fmt.Append(nil, e.Sequence%10) }
				}
				aside := []uint64{7, 23, 24}
				if policy == engine.Quarantine {
					aside = []uint64{7, 17, 23, 24, 27, 33, 34, 37}
				}
				b.append(40)
				e := b.start(spec(m, with))
				e.awaitLive(40)
				clear(bad) // it is mended, and all the same
				for seq := range uint64(41) {
					e.wantAt(seq, aside...)
				}
				if policy == engine.Skip {
					return
				}
				if _, err := e.Order(t.Context(), "p", engine.RetryLetters, engine.Letters{}); err != nil {
					t.Fatal(err)
				}
				b.append(1)
				e.awaitLive(41)
				for seq := range uint64(40) {
					e.wantAt(seq, aside...)
				}
				for _, seq := range []uint64{40, 41} { // after the order
					state, ck, err := e.at(engine.At{Sequence: seq})
					if err != nil || len(state) != int(seq)+1 || ck.Aside.Letters != 0 {
						t.Errorf("as of %d: %d keys, aside %+v, %v", seq, len(state), ck.Aside, err)
					}
				}
				bad[12] = true
				if _, _, err := e.at(engine.At{Sequence: 13}); !errors.Is(err, engine.ErrNotRepeatable) || !strings.Contains(err.Error(), "event 12") {
					t.Errorf("what did not fail then: %v", err)
				}
			})
		})
	}
}

// As of random sequences a projection with deletions and scans has the state that a naive
// model has, with guests that keep state in their memory and such that do not.
func TestReadAtAgreesWithModel(t *testing.T) {
	for _, m := range []*enginetest.Module{enginetest.FuncModule("rearrange", rearrange), remembers()} {
		t.Run(m.Name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				seed := rand.Uint64()
				rnd := rand.New(rand.NewPCG(seed, 1))
				with := func(s *engine.Spec) {
					s.History = engine.HistoryPolicy{All: true, Every: uint64(1 + rnd.IntN(60))}
					s.Batch.Events = 1 + rnd.IntN(40)
				}
				e := b.start(spec(m, with))
				for range 5 {
					b.append(1 + rnd.IntN(100))
					e.awaitLive(b.last())
					if rnd.IntN(2) == 0 {
						e.stop()
						e = b.start(spec(m, with))
						e.awaitLive(b.last())
					}
				}
				model := newModel(m)
				for seq := range b.last() + 1 {
					if seq > 0 {
						ev, err := b.server.Event(t.Context(), streamName, seq)
						if err != nil {
							t.Fatal(err)
						}
						if err := model.guest.Event(ev, model); err != nil {
							t.Fatal(err)
						}
					}
					if rnd.IntN(3) > 0 {
						continue
					}
					state, _, err := e.at(engine.At{Sequence: seq})
					if err != nil || fmt.Sprint(state) != fmt.Sprint(model.rows) {
						t.Fatalf("seed %d: as of %d: %v, %v, want %v", seed, seq, state, err, model.rows)
					}
				}
			})
		})
	}
}

// rearrange is a guest that writes, deletes and scans.
func rearrange(e abi.Record, st guest.State) error {
	key := fmt.Appendf(nil, "k%d", e.Sequence*7919%13)
	if e.Sequence%5 == 0 {
		return st.Delete(key)
	}
	seen := 0
	if err := st.Scan([]byte("k"), nil, func(_, _ []byte) bool { seen++; return true }); err != nil {
		return err
	}
	return st.Put(key, fmt.Append(nil, seen, e.Sequence))
}

// model is a state that one event after the other is applied to.
type model struct {
	guest enginetest.Guest
	rows  map[string]string
}

func newModel(m *enginetest.Module) *model { return &model{m.New(), map[string]string{}} }

func (m *model) Get(key []byte) ([]byte, bool, error) {
	value, ok := m.rows[string(key)]
	return []byte(value), ok, nil
}

func (m *model) Put(key, value []byte) error { m.rows[string(key)] = string(value); return nil }

func (m *model) Delete(key []byte) error { delete(m.rows, string(key)); return nil }

func (m *model) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	for _, key := range slices.Sorted(maps.Keys(m.rows)) {
		if strings.HasPrefix(key, string(prefix)) && key > string(after) && !fn([]byte(key), []byte(m.rows[key])) {
			break
		}
	}
	return nil
}

func (m *model) Emit(state.Emit) error { return nil }

// What is not kept is computed from the events on demand; and not where events are gone, or
// where something else than events has made the state what it was.
func TestReplayAll(t *testing.T) {
	for _, m := range []*enginetest.Module{enginetest.FuncModule("rearrange", rearrange), remembers()} {
		t.Run(m.Name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(120)
				e := b.start(spec(m, func(s *engine.Spec) { s.MemorySnapshots.Keep = 1 }))
				e.awaitLive(120)
				for range 5 {
					b.append(10)
					e.awaitLive(b.last())
				}
				model := newModel(m)
				for seq := uint64(1); seq <= 100; seq++ {
					ev, err := b.server.Event(t.Context(), streamName, seq)
					if err != nil {
						t.Fatal(err)
					}
					if err := model.guest.Event(ev, model); err != nil {
						t.Fatal(err)
					}
				}
				if _, _, err := e.at(engine.At{Sequence: 100}); !errors.Is(err, engine.ErrNotKept) {
					t.Fatalf("what is not kept: %v", err)
				}
				all := engine.At{Sequence: 100, Replay: true}
				if state, _, err := e.at(all); err != nil || !maps.Equal(state, model.rows) {
					t.Errorf("replayed: %v, %v, want %v", state, err, model.rows)
				}
				b.server.Delete(streamName, 130)
				if _, _, err := e.at(all); err != nil {
					t.Errorf("a later event is gone: %v", err)
				}
				b.server.Delete(streamName, 50)
				if _, _, err := e.at(all); !errors.Is(err, engine.ErrEventsGone) || !strings.Contains(err.Error(), "without one is 50") {
					t.Errorf("an event is gone: %v", err)
				}
			})
		})
	}
}

// What was passed over when it failed is not applied by a replay of everything, though it
// would not fail any more, as after a limit was raised: the replay is refused.
func TestReplayAllOfSkipped(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		fails := true
		m := enginetest.FuncModule("tight", func(e abi.Record, st guest.State) error {
			if fails && e.Sequence == 3 {
				return enginetest.Refuse("limit")
			}
			return ledger(e, st)
		})
		b.append(10)
		e := b.start(spec(m, func(s *engine.Spec) { s.OnError = engine.Skip }))
		e.awaitLive(10)
		fails = false
		b.append(10)
		e.awaitLive(20)
		if _, _, err := e.at(engine.At{Sequence: 5, Replay: true}); !errors.Is(err, engine.ErrNotRepeatable) || !strings.Contains(err.Error(), "1 events that failed were passed over") {
			t.Errorf("a replay of everything: %v", err)
		}
	})
}
