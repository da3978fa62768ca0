// Package ingest turns a JetStream stream into batches of events (nats.go). It
// implements streams.Source and streams.Reader.
package ingest
