package dashboard

import (
	"net/http"
	"strconv"
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

// event reads an event of a stream; nil: there is none at that sequence.
func (d *Dashboard) event(r *http.Request, stream string, sequence uint64) (*eventView, error) {
	return nil, nil
}

// events reads those that changed a key.
func (d *Dashboard) events(r *http.Request, stream string, changes []keyChange) {}
