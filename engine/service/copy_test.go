package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// keepCopy keeps a copy of a projection's state, and calls step whenever it is whole. It
// returns the id to go on from, with the same copy, and why it ended; patience is how long
// nothing may come: a minute is good.
func keepCopy(ctx context.Context, nc *nats.Conn, projection, from string, patience time.Duration, state map[string]json.RawMessage, step func(seq uint64)) (string, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return from, err
	}
	defer sub.Unsubscribe() // which tells the engine, too
	request, _ := json.Marshal(map[string]string{"from": from})
	if err := nc.PublishRequest("gnomon.v1.watch."+projection, inbox, request); err != nil {
		return from, err
	}
	for n := 1; ; n++ {
		soon, cancel := context.WithTimeout(ctx, patience)
		m, err := sub.NextMsgWithContext(soon)
		cancel()
		if err != nil {
			return from, err // no engine, or none any more
		}
		if problem := m.Header.Get("Nats-Service-Error"); problem != "" {
			return from, errors.New(problem)
		}
		if m.Header.Get("Gnomon-Message") != strconv.Itoa(n) {
			return from, errors.New("a message was lost")
		}
		var e struct {
			Event, Key, ID, Reason string
			Value                  json.RawMessage
			Deleted                bool
			Seq                    uint64 `json:"as_of_seq"`
		}
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return from, err
		}
		switch e.Event {
		case "reset":
			clear(state)
			from = "" // until the next position
		case "generation":
			from = ""
		case "snapshot", "change":
			if state[e.Key] = e.Value; e.Deleted {
				delete(state, e.Key)
			}
		case "position":
			from = e.ID
			step(e.Seq)
		case "end":
			return from, fmt.Errorf("the watch ended: %s", e.Reason)
		}
		if m.Reply != "" {
			_ = m.Respond(nil) // go on; or []byte("end")
		}
	}
}
