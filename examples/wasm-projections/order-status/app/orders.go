package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
)

// item is one of what is ordered.
type item struct {
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	Cents    int    `json:"cents"` // of one
}

// refusal says that an order does not allow a command.
type refusal string

func (r refusal) Error() string { return string(r) }

// command is what somebody wants of an order.
type command struct {
	Name  string // place, pay, ship or cancel
	Items []item // to place
}

// rules are what commands need, and what comes of them.
var rules = map[string]struct {
	from  []string
	event string
}{
	"place":  {[]string{""}, "OrderPlaced"},
	"pay":    {[]string{"placed"}, "OrderPaid"},
	"ship":   {[]string{"paid"}, "OrderShipped"},
	"cancel": {[]string{"placed", "paid"}, "OrderCancelled"},
}

// decide says which events a command makes of an order as it stands. It knows nothing of the
// engine, and nothing but what it is given.
func decide(id string, o order, c command) ([]newEvent, error) {
	rule, known := rules[c.Name]
	if !known {
		return nil, refusal(fmt.Sprintf("there is no command %q; there are place, pay, ship and cancel", c.Name))
	}
	if !slices.Contains(rule.from, o.Status) {
		return nil, refusal(fmt.Sprintf("order %s is %q: it cannot %s", id, o.Status, c.Name))
	}
	if c.Name == "place" && len(c.Items) == 0 {
		return nil, refusal("an order has at least one item")
	}
	events := []newEvent{{Type: rule.event, Data: struct{}{}, ExpectLast: &o.Version}}
	for _, i := range c.Items {
		if c.Name != "place" || i.Item == "" || i.Quantity < 1 || i.Cents < 0 {
			return nil, refusal("items are for place, and each has a name, a quantity of at least 1, and a price")
		}
		events = append(events, newEvent{Type: "ItemAdded", Data: i})
	}
	for i := range events {
		events[i].Subject = "orders." + id
	}
	return events, nil
}

// handle has a command decided on an order as it stands, and appends what comes of it on condition that
// the order still stands so. If it does not, it is read anew and decided anew. It returns
// the sequence of what was appended: a read from there on has it.
func handle(ctx context.Context, e *engine, id string, c command) (seq uint64, _ error) {
	command := rand.Text() // the same for each try: of several, one is stored
	least := uint64(0)
	for {
		o, err := e.order(ctx, id, least)
		if err != nil {
			return 0, err
		}
		events, err := decide(id, o, c)
		if err != nil {
			return 0, err
		}
		for i := range events {
			events[i].MsgID = fmt.Sprintf("%s-%d", command, i)
		}
		seq, err := e.append(ctx, events)
		var changed conflict
		if !errors.As(err, &changed) {
			return seq, err
		}
		least = changed.version
	}
}
