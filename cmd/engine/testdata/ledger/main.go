// A projection of balances that refuses to overdraw an account: whether an event fails
// depends on the state that it finds.
package main

import (
	"fmt"
	"strconv"

	gnomon "gnomon/sdk/go"
)

// overdraft is what an account may be below zero, set when it is linked.
var overdraft = "0"

type account struct{ Balance int64 }

func init() {
	limit, err := strconv.ParseInt(overdraft, 10, 64)
	if err != nil {
		panic(err)
	}
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		var paid struct {
			Account string
			Amount  int64
		}
		if err := ev.JSON(&paid); err != nil {
			return err
		}
		return gnomon.Update(st, paid.Account, func(a *account) error {
			if a.Balance+paid.Amount < -limit {
				return fmt.Errorf("account %s has %d, and %d are taken", paid.Account, a.Balance, -paid.Amount)
			}
			a.Balance += paid.Amount
			return nil
		})
	})
}

func main() {}
