// Package host is the sandbox in which projection modules run (wazero). It
// checks a module byte by byte before anything else sees it, holds it against
// the contract of sdk/abi, compiles it, and runs its instances under limits. It
// knows no NATS and no store: a batch comes as bytes, state as a guest.State.
//
//	New     one per process: the runtime, and the functions that guests import
//	Load    bytes → guest.Module: Inspect, check, forCompiler, fuel, try in a child process, compile
//	Module  → guest.Instance: one copy with a memory of its own
//
// What a guest sees is a function of what it is given: there are no files,
// sockets or environment, the wall clock stands still, and random bytes are the
// same for every instance.
package host
