package main

import (
	"net/http"

	"gnomon/engine"
)

// tracer is who is told what projections do; nil: nobody. A nil pointer in an interface would be
// somebody.
func (n *node) tracer() engine.Tracer {
	if n.traces == nil {
		return nil
	}
	return n.traces
}

// traced is what traces requests; nil: nothing.
func (n *node) traced() func(http.Handler, func(*http.Request) string) http.Handler {
	if n.traces == nil {
		return nil
	}
	return n.traces.Handler
}
