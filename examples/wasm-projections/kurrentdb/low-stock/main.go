// Low-stock emits an event for each time that the stock of an item falls below three, as
// projection.js beside it does.
package main

import (
	"encoding/json"

	gnomon "gnomon/sdk/go"
)

// stock is the state of a stream, at the key "stock-ID".
type stock struct {
	Left int64 `json:"left"`
}

// alert is what is emitted.
type alert struct {
	Item string `json:"item"`
	Left int64  `json:"left"`
}

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		if ev.Type() != "Moved" || ev.Token(2) != "stock" {
			return nil
		}
		var moved struct {
			Change int64  `json:"change"`
			Plant  string `json:"plant"`
		}
		if err := ev.JSON(&moved); err != nil {
			return err
		}
		key := "stock-" + ev.Token(3)
		return gnomon.Update(st, key, func(s *stock) error {
			before := s.Left
			s.Left += moved.Change
			if before < 3 || s.Left >= 3 {
				return nil
			}
			data, err := json.Marshal(alert{key, s.Left})
			if err != nil {
				return err
			}
			return gnomon.Emit("store.alerts."+moved.Plant, data, "ce-type", "StockLow", "metadata", `{"$causedBy":"`+ev.ID()+`"}`)
		})
	})
}

func main() {}
