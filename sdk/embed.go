// Package sdk holds the sources of the SDKs of all languages, for `engine new` to hand them
// out. A projection imports gnomon/sdk/go; nothing but the engine imports this package.
package sdk

import "embed"

// Files are the folders below sdk/ that a project gets, one for each language, tests and all.
// Those of Go are go and the packages that it is made of. Scripts need none: what runs
// JavaScript is in package js.
//
//go:embed abi assemblyscript c go jsonfields outcome rust
var Files embed.FS
