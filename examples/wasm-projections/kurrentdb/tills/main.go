// Tills sums what each till has sold, and all together, as projection.js beside it does.
package main

import gnomon "gnomon/sdk/go"

// till is the state of a stream, at the key "till-ID".
type till struct {
	Sold int64 `json:"sold"`
}

// all is the state of all tills, at the key "$shared".
type all struct {
	Sold int64  `json:"sold"`
	Best string `json:"best"`
	Most int64  `json:"most"`
}

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		if ev.Type() != "Sold" || ev.Token(2) != "till" {
			return nil
		}
		amount, err := ev.Int("amount")
		if err != nil {
			return err
		}
		stream := "till-" + ev.Token(3)
		return gnomon.Update(st, stream, func(t *till) error {
			t.Sold += amount
			return gnomon.Update(st, "$shared", func(a *all) error {
				a.Sold += amount
				if t.Sold > a.Most {
					a.Best, a.Most = stream, t.Sold
				}
				return nil
			})
		})
	})
}

func main() {}
