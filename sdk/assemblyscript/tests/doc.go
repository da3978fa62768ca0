// Package tests holds the SDK for AssemblyScript to what its documentation says: guests in
// guests/ use it, and run here in the engine's sandbox.
package tests
