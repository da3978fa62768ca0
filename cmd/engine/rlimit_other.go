//go:build !unix

package main

// openFilesLimit is not known here.
func openFilesLimit() uint64 { return 0 }
