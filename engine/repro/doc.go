// Package repro holds one failure in one file: an event, the module that fails on it,
// its settings and limits, and the part of the state that it read. The file needs no
// server, no stream and no keyspace; Run gives the same result wherever it is run.
//
// A bundle is a zip file (archive/zip) with
//
//	manifest.json   Manifest: what failed, where, and the SHA-256 of every other file
//	module.wasm     the module
//	settings.json   the settings of the projection
//	event.bin       the event, a record of sdk/abi
//	state.jsonl     what the event reads of the state: a Fact on each line
//	memory/0000     the guest's memory, if it keeps state there: the blobs of a snapshot
//
// In manifest and state, bytes are a JSON string when they are UTF-8, and
// {"b64":"…"} otherwise.
package repro
