// Package guest is the interface to the sandbox: modules, their instances, and what guests see, fail with and log (standard library only).
//
// A Module makes Instances, which apply batches of events to a State, upcast events, or
// answer queries. Package host implements it with wazero. Logs keeps the last lines that
// guests wrote.
package guest
