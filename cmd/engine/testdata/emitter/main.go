// A projection that emits a few events for each that it is handed, none for some, and now and
// then many. Its state says how many that were.
package main

import (
	"fmt"

	gnomon "gnomon/sdk/go"
)

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		n := int(ev.Sequence() % 4)
		if ev.Sequence()%97 == 0 {
			n = 40
		}
		for i := range n {
			if err := gnomon.Emit(fmt.Sprint("out.", i%3), fmt.Appendf(nil, "%d/%d", ev.Sequence(), i)); err != nil {
				return err
			}
		}
		return gnomon.Update(st, "emitted", func(all *int) error {
			*all += n
			return nil
		})
	})
}

func main() {}
