// Package testdriver runs a module over events and keeps what it makes of them in memory:
// what engine test and engine check do, and tests may. There is no server and no store; what
// is applied, and how often, is as in a projection: a call that fails is taken back, and its
// events are applied again one by one, each by an instance of its own if need be, so that
// exactly those fail that fail by themselves.
//
//	ReadEvents  JSON Lines → *Events, as engine import takes them: sequences from 1, stored at
//	            their own time
//	Run         events → *Result: an outcome (sdk/outcome), and what it took
//	Vary        the same events in other batches, by fresh instances, in partitions, and with
//	            other clocks and random numbers: a Finding names the first event of which the
//	            result is not the same
//
// A run holds its events, the state, and 32 bytes an event in memory.
package testdriver
