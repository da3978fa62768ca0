// Paid-by-buyer sums what each buyer has paid, as projection.js beside it does.
package main

import gnomon "gnomon/sdk/go"

// buyer is the state of a buyer, at the key that is the buyer's name.
type buyer struct {
	Paid   int64    `json:"paid"`
	Orders []string `json:"orders"`
}

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		if ev.Type() != "OrderPaid" || ev.Token(2) != "order" {
			return nil
		}
		var paid struct {
			Buyer  string `json:"buyer"`
			Amount int64  `json:"amount"`
		}
		if err := ev.JSON(&paid); err != nil || paid.Buyer == "" {
			return err
		}
		return gnomon.Update(st, paid.Buyer, func(b *buyer) error {
			b.Paid += paid.Amount
			b.Orders = append(b.Orders, "order-"+ev.Token(3))
			return nil
		})
	})
}

func main() {}
