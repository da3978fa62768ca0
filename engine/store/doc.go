// Package store keeps state, positions and snapshots on disk: one directory and
// one database for each generation of a projection (Badger, in managed mode).
//
//	DATA/LOCK                                   who uses the directory
//	DATA/catalog.json                           what operators decided
//	DATA/projections/NAME/GENERATION/keyspace.json   the identity file: what is certain to be on disk
//	DATA/projections/NAME/GENERATION/db/             the database
//
// The commit timestamp is the stream sequence, so a version of the data is a
// position in the stream. Rows of a database, by the first byte of their key:
//
//	s KEY           the value of a key: kind, CRC-32C, payload
//	c KEY u32       one part of a value that is too large for a row
//	m               the checkpoint, as JSON
//	o u64 u32       an event to publish: causing sequence, index
//	b u64 u32       one part of a memory snapshot: its version, index
package store
