package conformance

import (
	"context"

	"gnomon/engine/state"
	"gnomon/engine/testdriver"
)

// moment is a state, and the memory that goes with it.
type moment struct {
	state  *testdriver.State
	memory [][]byte // nil: there is none
}

// queries asks the guest the same in all the orders that a host may.
func (k *guestCheck) queries(ctx context.Context) error {
	if !k.traits.Queries || k.traits.Upcasts {
		k.report.missing("Q8", "it answers no queries: it does not export query")
		return nil
	}
	older, err := k.momentAfter(ctx, k.Events.Len()/2)
	if err != nil {
		return err
	}
	newer, err := k.momentAfter(ctx, k.Events.Len())
	if err != nil {
		return err
	}
	requests := k.Requests
	if requests == nil {
		requests = [][]byte{nil, []byte("{}")}
	}
	answered := 0
	for _, r := range requests {
		n, err := k.ask(ctx, r, older, newer)
		if err != nil {
			return err
		}
		answered += n
	}
	if answered == 0 {
		k.report.missing("Q8", "it refused all requests: give one with --query")
	}
	return nil
}

func (k *guestCheck) momentAfter(ctx context.Context, count int) (m moment, err error) {
	err = k.walk(ctx, count, func(s *testdriver.Session, at int) (err error) {
		if at != count {
			return nil
		}
		if m.state = s.State; k.traits.Memory {
			m.memory, err = s.Instance().Snapshot(ctx)
		}
		return err
	})
	return m, err
}

// live asks the instance that has followed the events, which a host does not do, and compares
// with what one that was restored answers: what a snapshot forgets shows only there.
func (k *guestCheck) live(ctx context.Context, request []byte, restored string) error {
	return k.walk(ctx, k.Events.Len(), func(s *testdriver.Session, at int) error {
		if at != k.Events.Len() {
			return nil
		}
		if got, _ := answerOf(s.Instance().Query(ctx, request, s.State)); got != restored {
			k.report.note("P7", Failed, "after all events the request %.60q is answered %.150s, and by an instance that was restored from there %.150s", request, got, restored)
		}
		return nil
	})
}

// ask asks one instance about moments in turns, and compares with what an instance of its own
// says of each. It returns how many answers there were.
func (k *guestCheck) ask(ctx context.Context, request []byte, older, newer moment) (answered int, err error) {
	want := map[*testdriver.State]string{}
	for _, m := range []moment{older, newer} {
		answer, ok, err := k.freshly(ctx, request, m, nil)
		if err != nil {
			return 0, err
		}
		if want[m.state] = answer; ok {
			answered++
		}
		paged, _, err := k.freshly(ctx, request, m, func(o *observer) { o.onePage = true })
		if err != nil {
			return 0, err
		}
		if paged != answer {
			k.report.note("C7", Failed, "with pages of one entry the request %.60q is answered %.150s, otherwise %.150s", request, paged, answer)
		}
	}
	order := []moment{newer, newer, older, newer}
	if k.traits.Memory { // an instance has one memory
		order = []moment{newer, newer, newer}
		if err := k.live(ctx, request, want[newer.state]); err != nil {
			return 0, err
		}
	}
	in, err := k.restored(ctx, newer.memory, nil)
	if err != nil {
		return 0, err
	}
	defer func() { in.Close(ctx) }()
	for i, m := range order {
		got, ok := answerOf(in.Query(ctx, request, m.state))
		if got != want[m.state] {
			k.report.note("Q8", Failed, "the request %.60q, asked for the time number %d in one instance, is answered %.150s; a fresh one answers %.150s", request, i+1, got, want[m.state])
			return answered, nil
		}
		if !ok {
			in.Close(ctx)
			if in, err = k.restored(ctx, newer.memory, nil); err != nil {
				return 0, err
			}
		}
	}
	return answered, nil
}

// freshly is what an instance of its own answers.
func (k *guestCheck) freshly(ctx context.Context, request []byte, m moment, change func(*observer)) (answer string, ok bool, err error) {
	in, err := k.restored(ctx, m.memory, change)
	if err != nil {
		return "", false, err
	}
	defer in.Close(ctx)
	answer, ok = answerOf(in.Query(ctx, request, m.state))
	return answer, ok, nil
}

// answerOf is an answer or an error as a text.
func answerOf(answer []byte, err error) (text string, ok bool) {
	if err != nil {
		return "the error " + err.Error(), false
	}
	return string(answer), true
}

var _ state.Rows = (*testdriver.State)(nil)
