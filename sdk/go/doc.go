// Package gnomon is the SDK for projections in Go: a handler of events and its
// state, over projection_v1 (stock Go, GOOS=wasip1, only the standard library).
//
// A projection is a main package that registers a handler when it is initialised:
//
//	func init() {
//		gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
//			return gnomon.Update(st, "account\t"+ev.Token(3), func(a *Account) error {
//				a.Events++
//				return nil
//			})
//		})
//	}
//
//	func main() {}
//
// It is built as a reactor, and the same package is tested natively with go test
// and package gnomontest:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o balances.wasm .
//
// What a handler does must depend on the events, the state and the settings alone:
// not on clocks, randomness, the order of maps or other goroutines. Variables of
// the program are a cache that may vanish between any two events; package memory
// is for state that is to live there. docs/AUTHORING.md is the guide.
package gnomon
