// Package count is a projection in WebAssembly text: events per subject, written by
// hand against projection_v1 (WAT, no SDK). Its module is count.wasm; there is no Go
// in it but the test that the two agree.
package count
