// Package measure counts how long things take and how fast they go, and labels goroutines for profiles (standard library only).
//
// What is measured is not held up by who reads it. Package engine says what is measured,
// and package query shows it.
package measure
