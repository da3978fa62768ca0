package dashboard

import (
	"net/http"
	"strconv"

	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// eventView is an event on a page.
type eventView struct {
	Sequence uint64
	Time     string
	Subject  string
	Type     string // of CloudEvents; empty: it has none
	Data     shown
}

// eventAddress is that of an event in its stream.
func eventAddress(stream string, sequence uint64) string {
	return "/ui/streams/" + pathOf(stream) + "?around=" + strconv.FormatUint(sequence, 10)
}

// event reads an event of a stream; nil: there is none at that sequence, or it is not for who
// asks, who may read a projection without its stream.
func (d *Dashboard) event(r *http.Request, stream string, sequence uint64) *eventView {
	if sequence == 0 {
		return nil
	}
	page, err := d.ask.Events(r.Context(), stream, client.Stretch{After: strconv.FormatUint(sequence-1, 10), Limit: 1})
	if err != nil || len(page.Events) == 0 || page.Events[0].Sequence != sequence {
		return nil
	}
	return eventOf(page.Events[0])
}

func eventOf(e wire.Event) *eventView {
	v := &eventView{Sequence: e.Sequence, Time: moment(e.StoredAt), Subject: keyText([]byte(e.Subject)), Data: showRow(e.Data)}
	if types := e.Headers["ce-type"]; len(types) > 0 {
		v.Type = keyText([]byte(types[0]))
	}
	return v
}

// events reads those that changed a key, as many as a page has of its own accord: the rest is
// a link away.
func (d *Dashboard) events(r *http.Request, stream string, changes []keyChange) {
	for i := range changes[:min(len(changes), shownEvents)] {
		if c := &changes[i]; c.Stream != "" {
			c.Event = d.event(r, stream, c.Sequence)
		}
	}
}

// shownEvents is how many events an explanation shows.
const shownEvents = 20
