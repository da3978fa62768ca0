package dashboard

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"

	"gnomon/engine/query/wire"
)

// maxNotices bounds how many are remembered.
const maxNotices = 256

// notices are what was done lately, for the pages that people are led to after it. The
// address of such a page has a random id, and not the text: no link can have a page say what
// did not happen.
type notices struct {
	mu  sync.Mutex
	all []notice // oldest first
}

type notice struct{ id, text string }

func (n *notices) put(text string) (id string) {
	id = rand.Text()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, notice{id, text})
	n.all = slices.Delete(n.all, 0, max(0, len(n.all)-maxNotices))
	return id
}

// text is that of a notice; empty: it is not remembered.
func (n *notices) text(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.all {
		if id != "" && one.id == id {
			return one.text
		}
	}
	return ""
}

// problem is an error of the dashboard's own.
func problem(status int, code, detail, hint string) error {
	return &wire.Problem{Type: "about:blank", Status: status, Title: http.StatusText(status), Code: code, Detail: detail, Hint: hint}
}
