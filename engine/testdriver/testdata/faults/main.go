// Command faults is a projection with the fault that its settings name.
package main

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	gnomon "gnomon/sdk/go"
)

var settings struct {
	Fault string `json:"fault"`
}

// What a fresh instance does not have.
var (
	handled int
	cache   = map[string]int{}
)

func init() {
	gnomon.OnInit(func() error { return gnomon.Settings(&settings) })
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		if handled++; ev.Type() != "b" {
			return nil
		}
		return faults[settings.Fault](ev, st)
	})
}

var faults = map[string]gnomon.Handler{
	"two names in the order of a map": func(ev gnomon.Event, st gnomon.State) error {
		names := ""
		for name := range map[string]bool{"a": true, "b": true} {
			names += name
		}
		return gnomon.Store(st, "names", names)
	},
	"what is emitted in the order of a map": func(ev gnomon.Event, st gnomon.State) error {
		for name := range map[string]bool{"a": true, "b": true, "c": true} {
			if err := gnomon.Emit("alerts."+name, nil); err != nil {
				return err
			}
		}
		return nil
	},
	"a sum of floats in the order of a map": func(ev gnomon.Event, st gnomon.State) error {
		sum := 0.0
		for _, f := range map[string]float64{"a": 1e16, "b": 1, "c": -1e16, "d": 0.1} {
			sum += f
		}
		return gnomon.Store(st, "sum", sum)
	},
	"the hour of the day": func(ev gnomon.Event, st gnomon.State) error {
		return gnomon.Store(st, "hour", time.Now().Hour()/12)
	},
	"the age of an event": func(ev gnomon.Event, st gnomon.State) error {
		return gnomon.Store(st, "old", time.Since(ev.Stored()) > 24*time.Hour)
	},
	"math/rand": func(ev gnomon.Event, st gnomon.State) error {
		return gnomon.Store(st, "heads", mathrand.IntN(2))
	},
	"crypto/rand": func(ev gnomon.Event, st gnomon.State) error {
		id := make([]byte, 8)
		if _, err := rand.Read(id); err != nil {
			return err
		}
		return gnomon.Store(st, "id", fmt.Sprintf("%x", id))
	},
	"a counter": func(ev gnomon.Event, st gnomon.State) error {
		return gnomon.Store(st, "handled", handled)
	},
	"a cache that is written too seldom": func(ev gnomon.Event, st gnomon.State) error {
		n, ok := cache[ev.Subject()]
		if !ok {
			var err error
			if n, _, err = gnomon.Load[int](st, ev.Subject()); err != nil {
				return err
			}
		}
		if cache[ev.Subject()] = n + 1; n%2 == 1 {
			return nil
		}
		return gnomon.Store(st, ev.Subject(), n+1)
	},
	"nothing": func(ev gnomon.Event, st gnomon.State) error {
		return gnomon.Store(st, ev.Subject(), ev.Sequence())
	},
}

func main() {}
