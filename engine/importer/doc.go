// Package importer appends events written as JSON Lines to a stream (nats.go). An
// import can be repeated and interrupted: what the stream holds already is left
// out, also after the server has forgotten it.
package importer
