package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// A stream that is no longer the one that was read is noticed before anything is
// applied, whether the engine runs or is started later; the reason shows both
// facts, the hint the ways out, and what was applied before is still read.
func TestDivergedStream(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *bench)
		want   string
	}{
		{"recreated and shorter", func(b *bench) { b.server.Create(streamName); b.append(5) }, "stream S was created at"},
		{"recreated and longer", func(b *bench) { b.server.Create(streamName); b.append(50) }, "stream S was created at"},
		{"lost its tail", func(b *bench) { b.server.Rewind(streamName, 15) }, "stream S ends at sequence 15, but events up to 20 were applied"},
		{"numbers used again", func(b *bench) { b.server.Rewind(streamName, 15); b.append(30) }, "stream S holds another event at sequence 20 than was applied"},
		{"events lost unread", func(b *bench) { b.append(10); b.server.Purge(streamName, 26) }, "stream S begins at sequence 26, but 21 is the next to apply: 5 sequences were removed"},
		{"one event lost unread", func(b *bench) { b.append(10); b.server.Purge(streamName, 22) }, "stream S begins at sequence 22, but 21 is the next to apply: 1 sequences were removed"},
	} {
		t.Run(c.name+" between two runs", func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(20)
				e := b.start(spec(ledgerModule))
				e.awaitLive(20)
				e.stop()
				c.change(b)
				e = b.start(spec(ledgerModule))
				e.wantDiverged(c.want)
			})
		})
		t.Run(c.name+" during a run", func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(20)
				e := b.start(spec(ledgerModule))
				e.awaitLive(20)
				b.server.SetDown(true)
				c.change(b)
				b.server.SetDown(false)
				e.wantDiverged(c.want)
			})
		})
	}
}

// What diverged goes on by itself, and applies every event once, when the stream that was read is
// there again; when the stream differs in another way by then, the reason says that one.
func TestRestoredStream(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *bench)
	}{
		{"recreated", func(b *bench) { b.server.Create(streamName); b.append(50) }},
		{"lost its tail", func(b *bench) { b.server.Rewind(streamName, 15) }},
		{"numbers used again", func(b *bench) { b.server.Rewind(streamName, 15); b.append(30) }},
		{"events lost unread", func(b *bench) { b.append(10); b.server.Purge(streamName, 26) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(20)
				e := b.start(spec(ledgerModule))
				e.awaitLive(20)
				restore := b.server.Copy(streamName)
				b.server.SetDown(true)
				c.change(b)
				b.server.SetDown(false)
				e.awaitState(engine.Diverged)
				restore()
				e.awaitLive(20)
				b.append(5)
				e.awaitLive(25)
				e.wantLedger(1, 25)
			})
		})
	}
	t.Run("another difference", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(20)
			e := b.start(spec(ledgerModule))
			e.awaitLive(20)
			b.server.Rewind(streamName, 15)
			e.awaitState(engine.Diverged)
			b.append(10)
			e.await("the reason of now", func(s engine.Status) bool {
				return s.State == engine.Diverged && strings.HasPrefix(s.Reason, "stream S holds another event at sequence 20")
			})
		})
	})
}

// A stream that is deleted after it was read is told as such, and not as one to catch up with;
// when it is there again, the projection goes on.
func TestDeletedStream(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		restore := b.server.Copy(streamName)
		b.server.Remove(streamName)
		e.await("the reason", func(s engine.Status) bool {
			return s.State == engine.Stalled && strings.Contains(s.Reason, "stream not found") && strings.Contains(s.Reason, "up to 20") && s.Hint != ""
		})
		restore()
		e.awaitLive(20)
		b.append(5)
		e.awaitLive(25)
		e.wantLedger(1, 25)
	})
}

// What diverged is accepted, with a reason that is kept, when no event to come would be
// taken for one that was applied: then it goes on where the stream does. A rebuild makes
// the state that of the stream as it is.
func TestWaysOut(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(b *bench)
		code     string
		to       uint64 // position after it is accepted; 0: it is not
		begins   uint64 // first event of the stream then
		ends     uint64
		accepted []uint64 // events that the state lacks when it is
	}{
		{"recreated and shorter", func(b *bench) { b.server.Create(streamName); b.append(5) }, "", 0, 1, 5, nil},
		{"recreated and longer", func(b *bench) { b.server.Create(streamName); b.append(50) }, "stream-recreated", 20, 1, 50, nil},
		{"lost its tail", func(b *bench) { b.server.Rewind(streamName, 15) }, "", 0, 1, 15, nil},
		{"numbers used again", func(b *bench) { b.server.Rewind(streamName, 15); b.append(30) }, "history-changed", 20, 1, 45, nil},
		{"events lost unread", func(b *bench) { b.append(10); b.server.Purge(streamName, 26) }, "events-lost", 25, 26, 30, []uint64{21, 22, 23, 24, 25}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(20)
				e := b.start(spec(ledgerModule))
				e.awaitLive(20)
				if _, err := e.Accept(t.Context(), "p", "why not"); !errors.Is(err, engine.ErrNothingToAccept) {
					t.Errorf("before: %v", err)
				}
				e.stop()
				c.change(b)
				e = b.start(spec(ledgerModule))
				diverged := e.awaitState(engine.Diverged)
				if offered := strings.Contains(diverged.Hint, "engine accept p --reason"); offered != (c.to != 0) {
					t.Errorf("hint %q: it offers to accept: %t, which is refused: %t", diverged.Hint, offered, c.to == 0)
				}
				a, err := e.Accept(t.Context(), "p", "restored by hand")
				if c.to == 0 {
					if !errors.Is(err, engine.ErrNotAcceptable) {
						t.Errorf("accepted: %+v, %v", a, err)
					}
					e.awaitState(engine.Diverged)
				} else {
					if err != nil || a.Code != c.code || a.From != 20 || a.To != c.to || a.Reason != "restored by hand" || a.Facts == "" {
						t.Errorf("accepted: %+v, %v", a, err)
					}
					e.awaitLive(c.ends)
					e.wantLedger(1, c.ends, c.accepted...)
					if kept := b.catalog.Projection("p").Accepted; len(kept) != 1 || kept[0] != a {
						t.Errorf("kept %+v", kept)
					}
					e.stop() // and it stays accepted
					e = b.start(spec(ledgerModule))
					e.awaitLive(c.ends)
				}
				if err := e.Rebuild(t.Context(), "p"); err != nil {
					t.Fatal(err)
				}
				e.await("the rebuild", func(s engine.Status) bool { return s.Building == "" && s.State == engine.Live })
				e.wantLedger(c.begins, c.ends)
			})
		})
	}
}

func (r *running) wantDiverged(reason string) {
	r.t.Helper()
	s := r.awaitState(engine.Diverged)
	if !strings.HasPrefix(s.Reason, reason) {
		r.t.Errorf("reason %q, want %q", s.Reason, reason)
	}
	if !strings.Contains(s.Hint, "restore") || !strings.Contains(s.Hint, "engine rebuild p") {
		r.t.Errorf("hint %q names no way out", s.Hint)
	}
	if s.Position != 20 {
		r.t.Errorf("position %d, want 20", s.Position)
	}
	r.wantLedger(1, 20)
	if ready, _ := r.Ready(); ready {
		r.t.Error("ready though the stream diverged")
	}
}

// What was accepted is no licence for what comes after: events that are lost before the
// first one is read are noticed as they were before.
func TestLostAfterAccept(t *testing.T) {
	for name, change := range map[string]func(b *bench){
		"events lost unread": func(b *bench) { b.append(10); b.server.Purge(streamName, 31) },
		"another stream, without what was read": func(b *bench) {
			b.server.Create(streamName)
			b.append(30)
			b.server.Purge(streamName, 26)
			for seq := range uint64(5) {
				b.server.Delete(streamName, 26+seq)
			}
		},
		"another stream, without the last one": func(b *bench) {
			b.server.Create(streamName)
			b.append(20)
			b.server.Delete(streamName, 20)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(20)
				e := b.start(spec(ledgerModule))
				e.awaitLive(20)
				e.stop()
				change(b)
				e = b.start(spec(ledgerModule))
				e.awaitState(engine.Diverged)
				a, err := e.Accept(t.Context(), "p", "known")
				if err != nil {
					t.Fatal(err)
				}
				e.awaitLive(a.To)
				e.stop()
				b.append(10)
				b.server.Purge(streamName, a.To+6)
				e = b.start(spec(ledgerModule))
				s := e.awaitState(engine.Diverged)
				if want := fmt.Sprintf("stream S begins at sequence %d, but %d is the next to apply", a.To+6, a.To+1); !strings.HasPrefix(s.Reason, want) {
					t.Errorf("reason %q, want %q", s.Reason, want)
				}
			})
		})
	}
}

// What is accepted is committed when that is answered, also when another commit was under
// way.
func TestAcceptIsCommitted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := spec(ledgerModule)
		gates := map[uint64]chan struct{}{21: make(chan struct{}), 23: make(chan struct{})}
		b.keyspace(s).Refuse = func(c state.Commit) error {
			if gate := gates[c.Checkpoint.Position.Sequence]; gate != nil {
				<-gate
			}
			return nil
		}
		b.append(20)
		e := b.start(s)
		e.awaitLive(20)
		b.append(1)
		e.await("an event applied", func(s engine.Status) bool { return s.Applied == 21 && s.Committed == 20 })
		b.server.SetSilent(true)
		b.append(5)
		b.server.Purge(streamName, 24)
		answer := make(chan error, 1)
		go func() { _, err := e.Accept(t.Context(), "p", "known"); answer <- err }()
		synctest.Wait()
		for _, seq := range []uint64{21, 23} {
			select {
			case err := <-answer:
				t.Fatalf("answered before the commit at %d: %v", seq, err)
			default:
			}
			close(gates[seq])
			synctest.Wait()
		}
		if err := <-answer; err != nil {
			t.Error(err)
		}
		b.server.SetSilent(false)
		e.awaitLive(26)
		e.wantLedger(1, 26, 22, 23)
	})
}

// A guest that keeps state in its own memory can go on too: the memory is stored when
// the projection stops, for what came before cannot be applied again.
func TestAcceptWithMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(25)
		s := spec(remembers(), func(s *engine.Spec) {
			s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 10}
		})
		e := b.start(s)
		e.awaitLive(25)
		b.server.SetSilent(true)
		b.append(10)
		b.server.Purge(streamName, 31)
		b.server.SetSilent(false)
		e.awaitState(engine.Diverged)
		if a, err := e.Accept(t.Context(), "p", "known"); err != nil || a.From != 25 || a.To != 30 {
			t.Fatalf("%+v, %v", a, err)
		}
		check := func() {
			t.Helper()
			e.awaitLive(35)
			e.wantLedger(1, 35, 26, 27, 28, 29, 30)
			if state, _ := e.content(); state["count/35"] != "30" {
				t.Errorf("the guest remembers %s events, want 30", state["count/35"])
			}
		}
		check()
		e.stop()
		// No older memory is left: what came after it is another history's.
		if ck, err := b.keyspace(s).Latest(); err != nil || len(ck.Memories) != 2 || ck.Memories[1].Version.Sequence() != 30 {
			t.Errorf("%+v, %v", ck.Memories, err)
		}
		e = b.start(s)
		check()
	})
}

// A stream that was trimmed of what was read, or of what nobody had read when the
// projection was new, is still the same stream.
func TestTrimmedStream(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		b.server.Purge(streamName, 6)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		e.wantLedger(6, 20)
		e.stop()
		b.server.Purge(streamName, 21)
		b.append(5)
		e = b.start(spec(ledgerModule))
		e.awaitLive(25)
		e.wantLedger(6, 25)
	})
}

// A projection that begins after an event has read nothing yet, and notices all the same
// that the stream lost that event, or the first one that it was to read.
func TestNothingReadYet(t *testing.T) {
	for start, with := range map[string]engine.Start{"new": {New: true}, "at 21": {Sequence: 21}, "time": {Time: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		for what, c := range map[string]struct {
			change func(b *bench)
			reason string
		}{
			"tail lost":          {func(b *bench) { b.server.Rewind(streamName, 15); b.append(10) }, "stream S holds another event at sequence 20"},
			"events lost unread": {func(b *bench) { b.append(10); b.server.Purge(streamName, 26) }, "stream S begins at sequence 26, but 21 is the next to apply"},
		} {
			t.Run(start+", "+what, func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bench) {
					b.append(20)
					s := spec(ledgerModule, func(s *engine.Spec) { s.Start = with })
					e := b.start(s)
					e.awaitLive(20)
					e.stop()
					c.change(b)
					e = b.start(s)
					if s := e.awaitState(engine.Diverged); !strings.HasPrefix(s.Reason, c.reason) {
						t.Errorf("reason %q, want %q", s.Reason, c.reason)
					}
				})
			})
		}
	}
}

// A projection that is halted before the very first event notices that the stream loses it.
func TestFirstEventLost(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(enginetest.FuncModule("never", func(abi.Record, guest.State) error { return enginetest.Refuse("never") })))
		if s := e.awaitState(engine.Halted); s.Failing != 1 {
			t.Errorf("%+v", s)
		}
		b.server.Purge(streamName, 6)
		e.pause()
		e.awaitState(engine.Paused)
		e.resume()
		if s := e.awaitState(engine.Diverged); !strings.HasPrefix(s.Reason, "stream S begins at sequence 6, but 1 is the next to apply") {
			t.Errorf("%+v", s)
		}
	})
}

// A guest that keeps state in its memory and begins with what is left of a stream comes
// back to that beginning after a failure.
func TestTrimmedStreamWithMemory(t *testing.T) {
	for _, c := range []struct {
		name   string
		before int    // events stored before the start
		first  uint64 // of them that is left
	}{
		{"some are left", 40, 6},
		{"none is left", 10, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(c.before)
				b.server.Purge(streamName, c.first)
				broken := true
				m := &enginetest.Module{Name: "moody", New: func() enginetest.Guest { return &moody{broken: &broken, look: func() {}} }}
				e := b.start(spec(m, func(s *engine.Spec) {
					s.Batch.Events, s.MemorySnapshots = 1, engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 2}
				}))
				time.Sleep(time.Minute) // of the bubble: there is a commit at the beginning
				b.append(40 - c.before)
				if s := e.awaitState(engine.Halted); s.Failing != 21 {
					t.Errorf("%+v", s)
				}
				e.pause()
				e.awaitState(engine.Paused)
				broken = false
				e.resume()
				e.awaitLive(40)
				e.wantLedger(c.first, 40)
				if state, _ := e.content(); state["count/40"] != fmt.Sprint(41-c.first) {
					t.Errorf("the guest remembers %s events, want %d", state["count/40"], 41-c.first)
				}
			})
		})
	}
}

// Events that the stream loses while a reader is open are noticed where they are
// missing, though the reader goes on behind them.
func TestEventsLostWhileReading(t *testing.T) {
	for _, c := range []struct {
		name  string
		purge uint64 // everything before it
		next  int    // events stored after
	}{
		{"in the middle", 500, 0},
		{"all of them", 601, 0},
		{"all of them, and more came", 601, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				large := make([]byte, streams.FeedBytes/100) // of which 600 are not read ahead
				for range 600 {
					b.server.Append(streamName, "e.x", large)
				}
				gate := make(chan struct{})
				m := enginetest.FuncModule("slow", func(e abi.Record, st guest.State) error {
					if e.Sequence == 5 {
						<-gate
					}
					e.Data = nil
					return ledger(e, st)
				})
				e := b.start(spec(m, func(s *engine.Spec) { s.Batch.Events = 10 }))
				e.await("the gate", func(s engine.Status) bool { return s.StreamLast == 600 })
				synctest.Wait()
				b.server.Purge(streamName, c.purge)
				b.append(c.next)
				close(gate)
				s := e.awaitState(engine.Diverged)
				want := fmt.Sprintf("stream S begins at sequence %d, but %d is the next to apply", c.purge, s.Position+1)
				if !strings.HasPrefix(s.Reason, want) {
					t.Errorf("reason %q, want %q", s.Reason, want)
				}
				e.wantLedger(1, s.Position)
			})
		})
	}
}
