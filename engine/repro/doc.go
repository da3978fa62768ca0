// Package repro holds one failure in one file: an event, the module that fails on it,
// its settings and limits, and the part of the state that it read. The file needs no
// server, no stream and no keyspace; Run gives the same result wherever it is run.
//
// A bundle is a zip file (archive/zip) with
//
//	manifest.json   Manifest: what failed, where, and the SHA-256 of every other file
//	module.wasm     the module
//	settings.json   the settings of the projection
//	event.bin       the event as the module is handed it: a record of sdk/abi, or the
//	                several that upcasters made of it
//	state.jsonl     what the event reads of the state: a Fact on each line
//	memory/0000     the guest's memory, if it keeps state there: the blobs of a snapshot
//
// When an upcaster fails on an event, module, settings and limits are the upcaster's, and
// the event is what it is handed.
//
// In manifest and state, bytes are a JSON string when they are UTF-8, and
// {"b64":"…"} otherwise.
package repro
