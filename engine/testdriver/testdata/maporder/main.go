// Command maporder is a projection with a fault: it writes the names that it finds in an event
// in the order of a map.
package main

import (
	"strings"

	gnomon "gnomon/sdk/go"
)

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		seen := map[string]bool{}
		for _, name := range strings.Fields(string(ev.Data())) {
			seen[name] = true
		}
		var names []string
		for name := range seen {
			names = append(names, name)
		}
		return st.Put(ev.Subject(), []byte(strings.Join(names, " ")))
	})
}

func main() {}
