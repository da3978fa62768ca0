package dashboard

import (
	"net/http"

	"gnomon/engine"
)

// actions are the buttons of a projection's first tab, with the reason when none of them
// can be used.
type actions struct {
	Why string
	All []act
}

// withActions adds the buttons to a page about a projection.
func (d *Dashboard) withActions(find func(*http.Request) (*page, error)) func(*http.Request) (*page, error) {
	return func(r *http.Request) (*page, error) {
		p, err := find(r)
		if err != nil {
			return nil, err
		}
		s, err := d.ask.Projection(r.Context(), p.Projection)
		if err != nil {
			return nil, err
		}
		a, err := d.actionsOf(r, s)
		p.Actions = &a
		return p, err
	}
}

// actionsOf are those that there are for a projection in its state.
func (d *Dashboard) actionsOf(r *http.Request, s engine.Status) (a actions, err error) {
	name := s.Projection
	if a.Why, err = d.mayAct(r, name); err != nil {
		return a, err
	}
	add := func(verb string, about ...string) { a.All = append(a.All, button(verb, name, a.Why, about...)) }
	switch s.State {
	case engine.Stopped:
		add("remove")
		return a, nil
	case engine.Paused:
		add("resume")
	case engine.Diverged:
		add("accept")
		add("pause")
	case engine.Halted:
		if s.Failing != 0 {
			add("skip", "seq", digits(s.Failing))
		}
		add("pause")
	default:
		add("pause")
	}
	if s.Candidate != nil {
		add("promote", "generation", s.Candidate.ID)
	}
	add("rebuild")
	return a, nil
}
