// Package abi is the contract between the host and a projection module,
// projection_v1, as Go constants and encodings: names, signatures, result
// codes, limits and the layout of a batch. Host and guests import it, so that a
// number exists once. It imports nothing, not even the standard library, and is
// cheap to compile into a guest.
//
// The normative text is docs/ABI.md.
package abi
