// Package memory lets a projection keep state in its own memory: the guest's
// snapshot and restore exports (projection_v1), fed through an io.Writer and an
// io.Reader.
//
// The engine stores a snapshot now and then, and goes back to the newest one after
// a restart or a failure, with the keyspace as it was at the same event. Importing
// this package is what makes a module one with memory, so a program that imports
// it must call OnSnapshot.
package memory
