// Package gnomontest runs the projection of the program natively, in go test: a
// host in memory, events from JSON Lines (only the standard library).
//
// The test of a projection is in its own package, main, whose init function has
// registered the handler:
//
//	func TestBalances(t *testing.T) {
//		events := gnomontest.ReadLog(t, "testdata/events.jsonl")
//		got, err := gnomontest.Run(events, gnomontest.Options{})
//		if err != nil {
//			t.Fatal(err)
//		}
//		if v := got.State["account\t17"]; v != `{"amount":40}` {
//			t.Errorf("account 17 = %s", v)
//		}
//		gnomontest.CheckInvariance(t, events, gnomontest.Options{})
//	}
//
// Expect holds all that comes of events against a file, the same as engine test does with the
// module in the sandbox:
//
//	gnomontest.Expect(t, events, gnomontest.Options{}, "testdata/expected.json")
//
// Limits of keys and values are the engine's. Memory, and what the sandbox keeps
// out, are not checked here: a native program has clocks and files.
package gnomontest
