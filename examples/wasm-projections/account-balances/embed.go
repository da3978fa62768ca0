// Package accountbalances holds the example account-balances in all languages, for
// `engine new` to begin projects with.
package accountbalances

import "embed"

// Files are a folder for each language, testdata with the log and the result that they
// share, and the configuration that runs any of them.
//
//go:embed all:*
var Files embed.FS
