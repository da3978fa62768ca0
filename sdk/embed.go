// Package sdk holds the sources of the SDKs of all languages, for `engine new` to hand them
// out. A projection imports gnomon/sdk/go; nothing but the engine imports this package.
package sdk

import "embed"

// Files are the folders below sdk/, one for each language, tests and all. Those of Go are
// go and the packages that it is made of.
//
//go:embed all:*
var Files embed.FS
