// Package state says what is kept of a projection: keys and values, the position that they reflect, and what was set aside or is to be published (standard library only).
//
// A Store opens Keyspaces, which commit Writes together with a Checkpoint, and are read
// through Views, each at one Version. Adapters implement them. Rows, digests, bookmarks and
// imports have their forms here, so that a state means the same wherever it is kept or sent.
package state
