// Open-accounts has the balances of accounts that are open, as projection.js beside it does.
// What readers want is at the key of the account; that it was closed is kept beside it, as
// the dialect keeps a state beside its result.
package main

import gnomon "gnomon/sdk/go"

// account is the state of a stream, at the key "$state-account-ID".
type account struct {
	Balance int64 `json:"balance"`
	Open    bool  `json:"open"`
}

// result is what readers see of it, at the key "account-ID".
type result struct {
	Balance int64 `json:"balance"`
}

func init() { gnomon.OnEvent(handle) }

func main() {}

func handle(ev gnomon.Event, st gnomon.State) error {
	moved := ev.Type() == "Moved"
	if ev.Token(2) != "account" || !moved && ev.Type() != "$streamDeleted" {
		return nil
	}
	key := "account-" + ev.Token(3)
	a, known, err := gnomon.Load[account](st, "$state-"+key)
	if err != nil {
		return err
	}
	if !known {
		a.Open = true
	}
	if moved {
		amount, err := ev.Int("amount")
		if err != nil {
			return err
		}
		a.Balance += amount
	} else {
		a = account{}
	}
	if err := gnomon.Store(st, "$state-"+key, a); err != nil {
		return err
	}
	if !a.Open {
		return st.Delete(key)
	}
	return gnomon.Store(st, key, result{a.Balance})
}
