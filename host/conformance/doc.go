// Package conformance is the kit that belongs to docs/ABI.md. It knows every rule of
// the contract by its name there, and checks both sides:
//
//   - a host: Scenarios say what a guest does and what must come of it, rule by rule.
//     Check runs them against any Host: the sandbox of package host, and the stand-in
//     for it that sdk/go/gnomontest has. What a guest does is in guests/*.wat.
//   - a guest: CheckGuest runs a module under everything that a host may do, and reports
//     for each rule whether the module keeps it, breaks it, or gave no occasion to.
//
// The rules that bind the engine around the sandbox, such as what becomes of a batch
// that fails, are held in this package's tests, against the engine itself.
package conformance
