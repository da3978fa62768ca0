// Package engine is the domain of Gnomon: events of a stream are applied, in
// order, by a projection's module, and what it writes is committed together with
// the position in the stream (standard library only).
//
// A Source yields Batches of events, a Module makes the Instance that applies
// them, a Keyspace keeps what they wrote. The Runner owns one instance and joins
// the three; the Engine owns the runners. Adapters implement the interfaces in
// packages of their own and never import each other; cmd/engine wires them.
package engine
