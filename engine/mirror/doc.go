// Package mirror has a key-value bucket of JetStream hold the state of a projection
// (nats.go), so that any NATS client can read and watch it.
//
// A key of the state is found under EncodeKey of it. Every value comes with the
// header Gnomon-Sequence: that of the state which it is from; a key that is gone is deleted. MarkerKey says which sequence the bucket reflects: it is written after
// everything up to it. In between the bucket is on its way from one state to the next.
//
// A Mirror trusts nothing that it wrote before: whenever it begins, it compares the whole
// bucket with the state, and after that it follows what changes. A revision that is none of
// its own, such as that of a message which it had given up, has it begin again. So it is exact after
// whatever happened to either, and takes some hundred bytes of memory for each key of the
// bucket while it compares.
package mirror
