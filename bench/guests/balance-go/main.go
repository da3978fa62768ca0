// Command balance-go is the keyed balance of the benchmarks in Go, with the fields
// read by the SDK.
package main

import (
	"encoding/binary"
	"errors"

	gnomon "gnomon/sdk/go"
)

var fields = gnomon.NewFields("account", "amount")

func init() { gnomon.OnEvent(move) }

func main() {}

func move(ev gnomon.Event, st gnomon.State) error {
	v, err := fields.Read(ev.Data())
	if err != nil {
		return err
	}
	account, ok := v[0].Text()
	amount, ok2 := v[1].Int()
	if !ok || !ok2 {
		return errors.New("no account, or no amount")
	}
	key := string(account)
	value, _, err := st.Get(key)
	if err != nil {
		return err
	}
	balance := int64(0)
	if len(value) == 8 {
		balance = int64(binary.LittleEndian.Uint64(value))
	}
	return st.Put(key, binary.LittleEndian.AppendUint64(nil, uint64(balance+amount)))
}
