// Command order-status is a projection in Go that keeps how each order stands, and how many stand so.
// Its events are appended by the program in app, which decides on what this projection says, and
// on condition that it is still so. README.md has the picture.
package main

import (
	"fmt"

	gnomon "gnomon/sdk/go"
)

// Order is the value of an order.
type Order struct {
	Status  string         `json:"status"`
	Items   map[string]int `json:"items"`   // how many of each
	Cents   int            `json:"cents"`   // of all of them
	Version uint64         `json:"version"` // sequence of its last event: what whoever decides expects
}

// Count is the value of a status.
type Count struct {
	Orders int `json:"orders"`
}

// item is the data of an event ItemAdded.
type item struct {
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	Cents    int    `json:"cents"` // of one
}

// statuses are what events make of an order, and from what.
var statuses = map[string]struct {
	to   string
	from []string
}{
	"OrderPlaced":    {"placed", []string{""}},
	"OrderPaid":      {"paid", []string{"placed"}},
	"OrderShipped":   {"shipped", []string{"paid"}},
	"OrderCancelled": {"cancelled", []string{"placed", "paid"}},
}

func init() { gnomon.OnEvent(handle) }

func main() {}

func handle(ev gnomon.Event, st gnomon.State) error {
	var before string
	var after Order
	err := gnomon.Update(st, "order\t"+ev.Token(2), func(o *Order) error {
		before = o.Status
		if err := change(o, ev); err != nil {
			return err
		}
		o.Version = ev.Sequence()
		after = *o
		return nil
	})
	if err != nil || before == after.Status {
		return err
	}
	if before != "" {
		if err := count(st, before, -1); err != nil {
			return err
		}
	}
	return count(st, after.Status, 1)
}

// change applies an event to its order. One that cannot be is an error: somebody appended it
// without the condition.
func change(o *Order, ev gnomon.Event) error {
	if ev.Type() == "ItemAdded" {
		var i item
		if err := ev.JSON(&i); err != nil {
			return err
		}
		if o.Status != "placed" {
			return fmt.Errorf("an item is added to order %s, which is %q", ev.Token(2), o.Status)
		}
		if o.Items == nil {
			o.Items = map[string]int{}
		}
		o.Items[i.Item] += i.Quantity
		o.Cents += i.Quantity * i.Cents
		return nil
	}
	s, known := statuses[ev.Type()]
	if !known {
		return fmt.Errorf("order %s: an event of the type %q", ev.Token(2), ev.Type())
	}
	for _, from := range s.from {
		if o.Status == from {
			o.Status = s.to
			return nil
		}
	}
	return fmt.Errorf("%s of order %s, which is %q", ev.Type(), ev.Token(2), o.Status)
}

func count(st gnomon.State, status string, by int) error {
	return gnomon.Update(st, "count\t"+status, func(c *Count) error {
		c.Orders += by
		return nil
	})
}
