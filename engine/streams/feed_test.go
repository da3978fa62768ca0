package streams

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mute is a reader whose server does not answer.
type mute struct{ asked int }

var errNoAnswer = errors.New("no answer")

func (*mute) Ready() <-chan struct{} { return nil }
func (*mute) Take() (*Batch, error)  { return nil, nil }
func (*mute) Release(*Batch)         {}
func (*mute) Close()                 {}

func (m *mute) CaughtUp(ctx context.Context) (uint64, bool, error) {
	m.asked++
	select {
	case <-time.After(5 * time.Second):
		return 0, false, errNoAnswer
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
}

// Of a server that does not answer all members of a feed know when one has waited for it,
// and do not wait one after the other. One that gives up decides nothing for the others.
func TestNoAnswerIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &mute{}
		f := openFeed(r, 1)
		defer f.close()
		began := time.Now()
		ask := func(ctx context.Context, want error) {
			if _, ok, err := f.join(1).CaughtUp(ctx); ok || !errors.Is(err, want) {
				t.Errorf("%v, %v, want %v", ok, err, want)
			}
		}
		var asking sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		asking.Go(func() { ask(ctx, context.DeadlineExceeded) })
		synctest.Wait()
		for range 50 {
			asking.Go(func() { ask(t.Context(), errNoAnswer) })
		}
		asking.Wait()
		if took := time.Since(began); took != 6*time.Second || r.asked != 2 {
			t.Errorf("all knew after %s, of %d questions", took, r.asked)
		}
		ask(t.Context(), errNoAnswer)
		if r.asked != 3 {
			t.Errorf("%d questions: a later one was not asked", r.asked)
		}
	})
}
