// Items-per-cart counts the items of each cart, as projection.js beside it does.
package main

import gnomon "gnomon/sdk/go"

// cart is the state of a stream, at the key "cart-ID".
type cart struct {
	Items int64 `json:"items"`
}

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		sign, counts := map[string]int64{"ItemAdded": 1, "ItemRemoved": -1}[ev.Type()]
		if !counts || ev.Token(2) != "cart" {
			return nil
		}
		quantity, err := ev.Int("quantity")
		if err != nil {
			return err
		}
		return gnomon.Update(st, "cart-"+ev.Token(3), func(c *cart) error {
			c.Items += sign * quantity
			return nil
		})
	})
}

func main() {}
