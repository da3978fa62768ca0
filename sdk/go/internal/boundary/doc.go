// Package boundary is the border between a guest and its host: the functions of
// projection_v1 as Go functions (go:wasmimport), and natively a stand-in for them,
// so that everything above this package is the same code in a module and in go
// test. Results and codes are those of docs/ABI.md.
package boundary
