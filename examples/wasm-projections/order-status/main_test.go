package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

func event(order, kind, data string) gnomontest.Event {
	return gnomontest.Event{Subject: "orders." + order, Type: kind, Data: json.RawMessage(data)}
}

// An order stands as its events say, with what they added up to, and is counted under one status.
func TestOrders(t *testing.T) {
	got, err := gnomontest.Run([]gnomontest.Event{
		event("1", "OrderPlaced", `{}`),
		event("1", "ItemAdded", `{"item":"tea","quantity":2,"cents":450}`),
		event("2", "OrderPlaced", `{}`),
		event("1", "ItemAdded", `{"item":"tea","quantity":1,"cents":450}`),
		event("1", "OrderPaid", `{}`),
		event("2", "OrderCancelled", `{}`),
		event("1", "OrderShipped", `{}`),
	}, gnomontest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"order\t1":         `{"status":"shipped","items":{"tea":3},"cents":1350,"version":7}`,
		"order\t2":         `{"status":"cancelled","items":null,"cents":0,"version":6}`,
		"count\tplaced":    `{"orders":0}`,
		"count\tpaid":      `{"orders":0}`,
		"count\tshipped":   `{"orders":1}`,
		"count\tcancelled": `{"orders":1}`,
	} {
		if string(got.State[key]) != want {
			t.Errorf("%q is %s, want %s", key, got.State[key], want)
		}
	}
}

// What cannot be, and so was appended without its condition, is an error that says how the order stands.
func TestImpossible(t *testing.T) {
	for _, tt := range []struct {
		events []gnomontest.Event
		want   string
	}{
		{[]gnomontest.Event{event("1", "OrderPaid", `{}`)}, `OrderPaid of order 1, which is ""`},
		{[]gnomontest.Event{event("1", "OrderPlaced", `{}`), event("1", "OrderPlaced", `{}`)}, `OrderPlaced of order 1, which is "placed"`},
		{[]gnomontest.Event{event("1", "ItemAdded", `{}`)}, `an item is added to order 1, which is ""`},
		{[]gnomontest.Event{event("1", "OrderLost", `{}`)}, `an event of the type "OrderLost"`},
	} {
		if _, err := gnomontest.Run(tt.events, gnomontest.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error = %v, want %s", err, tt.want)
		}
	}
}

func TestInvariance(t *testing.T) {
	var events []gnomontest.Event
	for i := range 60 {
		id := fmt.Sprint(i)
		events = append(events, event(id, "OrderPlaced", `{}`), event(id, "ItemAdded", `{"item":"tea","quantity":1,"cents":5}`), event(fmt.Sprint(i/2*2), "ItemAdded", `{"item":"pot","quantity":1,"cents":50}`))
	}
	gnomontest.CheckInvariance(t, events, gnomontest.Options{})
}
