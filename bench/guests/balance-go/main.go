// Command balance-go is the keyed balance of the benchmarks in Go.
package main

import (
	"encoding/binary"

	gnomon "gnomon/sdk/go"
)

func init() { gnomon.OnEvent(move) }

func main() {}

func move(ev gnomon.Event, st gnomon.State) error {
	account, err := ev.String("account")
	if err != nil {
		return err
	}
	amount, err := ev.Int("amount")
	if err != nil {
		return err
	}
	value, _, err := st.Get(account)
	if err != nil {
		return err
	}
	balance := int64(0)
	if len(value) == 8 {
		balance = int64(binary.LittleEndian.Uint64(value))
	}
	return st.Put(account, binary.LittleEndian.AppendUint64(nil, uint64(balance+amount)))
}
