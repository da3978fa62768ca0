// Command low-stock-alerts is a projection in Go that keeps the stock of every item and
// emits an event when it falls below a threshold. README.md describes keys and settings.
package main

import (
	"encoding/json"
	"errors"
	"fmt"

	gnomon "gnomon/sdk/go"
)

func init() {
	gnomon.OnInit(readSettings)
	gnomon.OnEvent(handle)
}

func main() {}

var settings struct {
	// Threshold is the least stock that is not low.
	Threshold int64 `json:"threshold"`
	// Subject is that of the alerts.
	Subject string `json:"subject"`
}

func readSettings() error {
	settings.Threshold, settings.Subject = 10, "alerts.stock.low"
	if err := gnomon.Settings(&settings); err != nil {
		return err
	}
	if settings.Threshold < 1 {
		return fmt.Errorf("settings: threshold is %d: at least 1 is expected", settings.Threshold)
	}
	return nil
}

// Item is what is known of an item.
type Item struct {
	Stock  int64 `json:"stock"`
	Alerts int   `json:"alerts"` // so often its stock fell below the threshold
}

// Alert is the data of an emitted event.
type Alert struct {
	Item      string `json:"item"`
	Stock     int64  `json:"stock"`
	Threshold int64  `json:"threshold"`
	Number    int    `json:"number"` // among the alerts of this item, from 1 on
}

var errNoItem = errors.New(`the movement has no "item"`)

func handle(ev gnomon.Event, st gnomon.State) error {
	var moved struct {
		Item   string `json:"item"`
		Change int64  `json:"change"`
	}
	if err := ev.JSON(&moved); err != nil {
		return err
	}
	if moved.Item == "" {
		return errNoItem
	}
	fell, now := false, Item{}
	err := gnomon.Update(st, "item\t"+moved.Item, func(i *Item) error {
		before := i.Stock
		i.Stock += moved.Change
		if fell = before >= settings.Threshold && i.Stock < settings.Threshold; fell {
			i.Alerts++
		}
		now = *i
		return nil
	})
	if err != nil || !fell {
		return err
	}
	data, err := json.Marshal(Alert{moved.Item, now.Stock, settings.Threshold, now.Alerts})
	if err != nil {
		return err
	}
	return gnomon.Emit(settings.Subject, data)
}
