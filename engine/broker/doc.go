// Package broker connects to NATS, or runs a NATS server inside the process, and
// declares streams and publishes into them (nats.go, nats-server). It implements
// streams.Outlet.
package broker
