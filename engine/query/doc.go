// Package query is the way out for state: HTTP, health and metrics (net/http,
// Prometheus). Package wire holds the forms of its answers, package client asks for
// them.
//
//	GET  /v1/projections                             status of all
//	GET  /v1/projections/{p}                         status of one
//	GET  /v1/projections/{p}/state/{key}             one key
//	GET  /v1/projections/{p}/state?prefix=&after=&limit=   a page of keys
//	GET  /v1/projections/{p}/watch?prefix=&from=           keys, then what changes
//	GET  /v1/projections/{p}/snapshots               named snapshots
//	POST /v1/projections/{p}/snapshots               take one: {"name":"…"}
//	GET  /v1/projections/{p}/snapshots/{s}/export?since=   its archive; without {s}: that of what is served now
//	POST /v1/projections/{p}/pause, resume
//	GET  /v1/projections/{p}/dead-letters?after=&limit=   a page of events that were set aside
//	POST /v1/projections/{p}/retry, skip, drop       {"seq":N}, {"key":"…"}, {"key_b64":"…"} or {"all":true}
//	POST /v1/projections/{p}/export                  {"seq":N}: its repro bundle, a zip file
//	POST /v1/streams/{s}/events                      append events
//	PUT, DELETE /v1/modules/{m}?bucket=              deploy a module, a tar file; remove one
//	GET  /healthz, /readyz, /metrics
//
// What changes something is for programs and pages of the same origin: from a page of
// another site it is refused. Bodies are JSON, or JSON Lines that say that they are
// application/x-ndjson.
//
// Answers about state carry the sequence that they reflect. Errors are
// application/problem+json with a stable code; see Problem in package wire.
package query
