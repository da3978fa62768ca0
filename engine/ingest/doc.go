// Package ingest turns a JetStream stream into batches of events (nats.go). It
// implements engine.Source and engine.Reader.
package ingest
