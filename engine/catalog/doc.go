// Package catalog says what is on record of projections: their generations with what they were declared as, what happened to them, kept snapshots, and what was emitted (standard library only).
//
// A Catalog keeps a Record for each projection. Package store implements it with a file.
// What a record asks for, a declaration held against it, is decided in package engine.
package catalog
