// Package query makes a projection answer requests: what a get or a scan of its keys does
// not say, such as the largest of many, it finds and puts together itself, over one state
// (projection_v1, its export query).
//
//	type ask struct{ Top int }
//
//	func init() {
//		gnomon.OnEvent(handle)
//		query.OnRequest(query.JSON(func(q ask, st gnomon.Reader) ([]account, error) {
//			return largest(st, q.Top)
//		}))
//	}
//
// Clients ask over HTTP, over NATS or with engine query NAME REQUEST. The answer must depend
// on the request, the state and the settings alone. Instances that answer are beside the one
// that handles events: what its handler left in variables of the program is not there, and
// what one request leaves there another may find, of an older or newer state. So variables
// hold nothing of the state, but for what package memory restores, which is then that of the
// newest snapshot, and so is the state.
package query
