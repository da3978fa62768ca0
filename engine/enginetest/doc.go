// Package enginetest holds what the engine's parts are tested with: conformance
// suites that state what every Source and Keyspace must do, run by the real
// adapters and by the fakes here alike, and the fakes themselves: a stream, a
// store and a catalog in memory, with faults to order, and guests written in Go.
package enginetest
