package dashboard

import (
	"net/http"
	"strings"

	"gnomon/engine/streams"
)

// emptyStream is a stream that never had an event, for the person who is to give it some.
type emptyStream struct {
	Name     string
	Subjects []string // that it takes; none: that is not known
	Subject  string   // one that it takes
}

// empty finds out what an empty stream takes.
func (d *Dashboard) empty(r *http.Request, name string) emptyStream {
	facts, err := d.ask.Stream(r.Context(), name)
	if err != nil { // it may not be there yet, which the state of its projections says
		facts = streams.Facts{Name: name}
	}
	return emptyOf(facts)
}

func emptyOf(facts streams.Facts) emptyStream {
	e := emptyStream{Name: facts.Name, Subject: "SUBJECT"}
	if e.Subjects = facts.Subjects; len(e.Subjects) > 0 {
		e.Subject = strings.NewReplacer("*", "any", ">", "any").Replace(e.Subjects[0])
	}
	return e
}
