// Command unique-usernames is a projection in Go that keeps who has which name. That no
// two have the same is not its doing: whoever claims a name appends the event on condition that the
// subject of the name has none. README.md describes its keys, and race a client.
package main

import (
	"fmt"
	"strings"

	gnomon "gnomon/sdk/go"
)

const claimed = "users.claimed."

// Claim is the data of an event users.claimed.NAME.
type Claim struct {
	Owner string `json:"owner"`
}

// Name is the value of a name that somebody has.
type Name struct {
	Owner    string `json:"owner"`
	Sequence uint64 `json:"seq"` // of the event that claimed it
}

// Total is the value of all names.
type Total struct {
	Names int `json:"names"`
}

func init() { gnomon.OnEvent(handle) }

func main() {}

func handle(ev gnomon.Event, st gnomon.State) error {
	name, ok := strings.CutPrefix(ev.Subject(), claimed)
	if !ok {
		return nil
	}
	var c Claim
	if err := ev.JSON(&c); err != nil {
		return err
	}
	key := "name\t" + name
	has, taken, err := gnomon.Load[Name](st, key)
	if err != nil {
		return err
	}
	if taken { // somebody appended without the condition: a guess would hide it
		return fmt.Errorf("%q claims the name %q, which %q has since %d", c.Owner, name, has.Owner, has.Sequence)
	}
	if err := gnomon.Store(st, key, Name{Owner: c.Owner, Sequence: ev.Sequence()}); err != nil {
		return err
	}
	return gnomon.Update(st, "total", func(t *Total) error {
		t.Names++
		return nil
	})
}
