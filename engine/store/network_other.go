//go:build !linux

package store

// network is not known here.
func network(string) string { return "" }

// inMemory is not known here.
func inMemory(string) bool { return false }
