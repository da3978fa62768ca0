// Package streams says what a stream is to the domain: where events come from, and where emitted ones go (standard library only).
//
// A Source opens Readers, which yield Batches: events in stream order, laid out as guests
// read them. An Outlet stores Messages. Adapters implement both. A Hub is a Source before
// another one, whose readers of one stream share one reader of the server, a feed, while
// they stand close together.
package streams
