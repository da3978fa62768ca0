package main

import (
	"sync/atomic"

	"gnomon/engine/broker"
	"gnomon/engine/query"
	"gnomon/engine/service"
)

// around is what metrics tell of the connection to NATS. Both may come after the first
// request.
type around struct {
	broker  atomic.Pointer[broker.Broker]
	service atomic.Pointer[service.Service]
}

// measure returns how things stand (query.Options.Around).
func (a *around) measure() (out query.Surroundings) {
	if b := a.broker.Load(); b != nil {
		out.Connected, out.Reconnects, out.Refusals = b.Connected(), b.Reconnects(), b.Refusals()
	}
	if s := a.service.Load(); s != nil {
		for _, e := range s.Counts() {
			out.Endpoints = append(out.Endpoints, query.EndpointCounts(e))
		}
	}
	return out
}
