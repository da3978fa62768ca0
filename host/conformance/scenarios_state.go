package conformance

import (
	"strings"

	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// ofState is about keys and values.
func ofState() []Scenario {
	return []Scenario{
		{
			Rules: []string{"S1", "S2"}, Name: "what is put is read, in the same call and in the next", Do: Script{abi.ExportApply: {
				get("absent", 8).Is(-1), get("", 8).Is(-1), put("k", "one").Is(0), get("k", 8).Is(3), has("one"), put("k", "two!").Is(0), get("k", 8).Is(4), has("two!"),
			}, abi.ExportMigrate: {get("k", 8).Is(4), has("two!")}},
			Calls: []Call{apply(Want{Rows: rows("k", "two!")}), calling(abi.ExportMigrate, Want{})},
		},
		{
			Rules: []string{"S2"}, Name: "keys and values are any bytes", Do: Script{abi.ExportApply: {put("\x00\xff\n", "\xfe\x00").Is(0), get("\x00\xff\n", 8).Is(2), has("\xfe\x00")}},
			Calls: []Call{apply(Want{Rows: rows("\x00\xff\n", "\xfe\x00")})},
		},
		{
			Rules: []string{"S3"}, Name: "an empty value is a value", Do: Script{abi.ExportApply: {put("k", "").Is(0), get("k", 8).Is(0), scan("", "", 0, 64).Is(page(1, 9))}},
			Calls: []Call{apply(Want{Rows: rows("k", "")})},
		},
		{Rules: []string{"S4"}, Name: "an empty key is refused", Do: Script{abi.ExportApply: {put("", "v").Is(-3)}}, Calls: []Call{apply(Want{Rows: rows()})}},
		{
			Rules: []string{"S5"}, Name: "what is deleted is absent, and what is absent may be deleted", Rows: rows("k", "v", "l", "w"), Do: Script{abi.ExportApply: {
				remove("k").Is(0), get("k", 8).Is(-1), remove("k").Is(0), remove("never").Is(0), remove("").Is(0),
			}},
			Calls: []Call{apply(Want{Rows: rows("l", "w")})},
		},
		{
			Rules: []string{"S6"}, Name: "a key has 64,000 bytes at most", Do: Script{abi.ExportApply: {
				fill(bufferAt, 'k', 64_001), raw(opStatePut, "state_put", bufferAt, 64_001, bufferAt, 1).Is(-2), raw(opStateGet, "state_get", bufferAt, 64_001, bufferAt, 0).Is(-2),
				raw(opStateDelete, "state_delete", bufferAt, 64_001).Is(-2), raw(opStatePut, "state_put", bufferAt, 64_000, bufferAt, 1).Is(0), raw(opStateGet, "state_get", bufferAt, 64_000, bufferAt, 0).Is(1),
			}},
			Calls: []Call{apply(Want{Rows: rows(strings.Repeat("k", 64_000), "k")})},
		},
		{
			Rules: []string{"S6"}, Name: "a value has 1 MiB at most", Do: Script{abi.ExportApply: {
				fill(bufferAt, 'v', 1<<20+1), step(opStatePut, "state_put", literal("k"), numbers(bufferAt, 1<<20+1)).Is(-2), get("k", 0).Is(-1),
				step(opStatePut, "state_put", literal("k"), numbers(bufferAt, 1<<20)).Is(0), get("k", 0).Is(1 << 20),
			}},
			Calls: []Call{apply(Want{Rows: rows("k", strings.Repeat("v", 1<<20))})},
		},
		{
			Rules: []string{"S7", "Q3", "U7"}, Name: "there is no state outside of apply and migrate, and none to write in query", Rows: rows("k", "v"), Do: Script{
				abi.ExportInit: stateless(), abi.ExportUpcast: stateless(), abi.ExportSnapshot: stateless(), abi.ExportRestore: stateless(),
				abi.ExportQuery: {get("k", 8).Is(1), scan("", "", 0, 64).Is(page(1, 10)), put("k", "w").Is(-4), remove("k").Is(-4)},
				abi.ExportApply: {get("k", 8).Is(1)}, abi.ExportMigrate: {get("k", 8).Is(1)},
			},
			Calls: everyCall(func(string) Want { return Want{Rows: rows("k", "v")} }),
		},
	}
}

func stateless() []Step {
	return []Step{get("k", 8).Is(-4), put("k", "w").Is(-4), remove("k").Is(-4), scan("", "", 0, 64).Is(-4)}
}

// scans is about pages of entries.
func scans() []Scenario {
	some := rows("a", "1", "b", "22", "b\x00", "", "bc", "333", "c", "4", "\xff\xff", "5")
	large := rows("a", strings.Repeat("x", 600<<10), "b", strings.Repeat("y", 600<<10), "c", "z")
	return []Scenario{
		{
			Rules: []string{"C1", "C2"}, Name: "a page has the entries of the prefix after a key, in the order of their bytes", Rows: some, Do: Script{abi.ExportApply: {
				scan("", "", 0, 500).Is(page(6, 65)), has(entry("a", "1") + entry("b", "22") + entry("b\x00", "") + entry("bc", "333") + entry("c", "4") + entry("\xff\xff", "5")),
				scan("b", "", 0, 500).Is(page(3, 34)), has(entry("b", "22") + entry("b\x00", "") + entry("bc", "333")),
				scan("b", "b", 0, 500).Is(page(2, 23)), has(entry("b\x00", "") + entry("bc", "333")),
				scan("b", "a", 0, 500).Is(page(3, 34)), scan("b", "bc", 0, 500).Is(0), scan("b", "z", 0, 500).Is(0), scan("", "c", 0, 500).Is(page(1, 11)),
				scan("", "\xff\xff", 0, 500).Is(0), scan("nothing", "", 0, 500).Is(0),
			}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"C3"}, Name: "limit bounds the entries", Rows: some, Do: Script{abi.ExportApply: {scan("", "", 2, 500).Is(page(2, 21)), has(entry("a", "1") + entry("b", "22")), scan("", "b", 1, 500).Is(page(1, 10)), has(entry("b\x00", ""))}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"C4", "R2"}, Name: "a page ends where the next entry does not fit", Rows: some, Do: Script{abi.ExportApply: {
				fill(bufferAt, 'x', 32), scan("", "", 0, 20).Is(page(1, 10)), has(entry("a", "1") + strings.Repeat("x", 22)), scan("", "", 0, 21).Is(page(2, 21)),
			}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"C4"}, Name: "when the first entry does not fit there is none, and the code has 64 bits", Rows: some, Do: Script{abi.ExportApply: {
				fill(bufferAt, 'x', 16), scan("", "", 0, 9).Is(-2), has("xxxxxxxxxxxxxxxx"), scan("", "", 0, 10).Is(page(1, 10)), scan("nothing", "", 0, 0).Is(0),
			}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"C4"}, Name: "a page ends at 1 MiB", Rows: large, Do: Script{abi.ExportApply: {
				scan("", "", 0, 3<<20).Is(page(1, 600<<10+9)), scan("", "a", 0, 3<<20).Is(page(2, 600<<10+9+10)),
			}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"C4"}, Name: "one entry may be larger than 1 MiB", Rows: rows("k", strings.Repeat("v", 1<<20)), Do: Script{abi.ExportApply: {scan("", "", 0, 3<<20).Is(page(1, 1<<20+9))}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"C5"}, Name: "a scan sees what the call wrote and deleted", Rows: some, Do: Script{abi.ExportApply: {
				remove("bc").Is(0), put("bb", "new").Is(0), put("b", "").Is(0), scan("b", "", 0, 500).Is(page(3, 32)), has(entry("b", "") + entry("b\x00", "") + entry("bb", "new")),
			}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"C6"}, Name: "a prefix, and a key to go on after, have 64,000 bytes at most", Rows: some, Do: Script{abi.ExportApply: {
				fill(bufferAt, 'b', 64_001), raw(opStateScan, "state_scan", bufferAt, 64_001, bufferAt, 0, 0, bufferAt, 64).Is(-2), raw(opStateScan, "state_scan", bufferAt, 0, bufferAt, 64_001, 0, bufferAt, 64).Is(-2),
				raw(opStateScan, "state_scan", bufferAt, 64_000, bufferAt, 0, 0, bufferAt, 64).Is(0), raw(opStateScan, "state_scan", bufferAt, 0, bufferAt, 64_000, 0, bufferAt, 64).Is(page(3, 34)),
			}},
			Calls: []Call{apply(Want{})},
		},
	}
}

// emits is about events that a guest emits.
func emits() []Scenario {
	h := encodeHeaders("b", "1", "a", "")
	two := []abi.Record{event(7, "a", ""), event(9, "b", "")}
	return []Scenario{
		{
			Rules: []string{"E1"}, Name: "what is emitted is staged in order, as it is, with its cause", Do: Script{abi.ExportApply: {
				emit(0, "out.one", h, "data").Is(0), emit(0, "out.two", "", "").Is(0), emit(1, "out.three", "", "\x00").Is(0),
			}},
			Calls: []Call{apply(Want{Emits: []state.Emit{
				{Cause: 7, Subject: "out.one", Headers: []byte(h), Data: []byte("data")},
				{Cause: 7, Index: 1, Subject: "out.two"},
				{Cause: 9, Event: 1, Subject: "out.three", Data: []byte{0}},
			}}, two...)},
		},
		{
			Rules: []string{"E2"}, Name: "an index is in the batch and does not go backwards", Do: Script{abi.ExportApply: {
				emit(2, "x", "", "").Is(-3), emit(-1, "x", "", "").Is(-3), emit(1, "x", "", "").Is(0), emit(0, "x", "", "").Is(-3), emit(1, "y", "", "").Is(0),
			}},
			Calls: []Call{apply(Want{Emits: []state.Emit{{Cause: 9, Event: 1, Subject: "x"}, {Cause: 9, Index: 1, Event: 1, Subject: "y"}}}, two...)},
		},
		{
			Rules: []string{"E3"}, Name: "subject and headers are bounded", Do: Script{abi.ExportApply: {
				fill(bufferAt, 'x', 64<<10+1), emit(0, "", "", "").Is(-2), raw(opEmit, "emit", 0, bufferAt, 1025, bufferAt, 0, bufferAt, 0).Is(-2),
				raw(opEmit, "emit", 0, bufferAt, 1, bufferAt, 64<<10+1, bufferAt, 0).Is(-2), raw(opEmit, "emit", 0, bufferAt, 1024, bufferAt, 0, bufferAt, 0).Is(0),
			}},
			Calls: []Call{apply(Want{Emits: []state.Emit{{Cause: 7, Subject: strings.Repeat("x", 1024)}}}, two...)},
		},
		{
			Rules: []string{"E4", "Q3", "U7"}, Name: "only apply can emit", Do: Script{
				abi.ExportInit: {emit(0, "x", "", "").Is(-4)}, abi.ExportUpcast: {emit(0, "x", "", "").Is(-4)}, abi.ExportQuery: {emit(0, "x", "", "").Is(-4)},
				abi.ExportSnapshot: {emit(0, "x", "", "").Is(-4)}, abi.ExportRestore: {emit(0, "x", "", "").Is(-4)}, abi.ExportMigrate: {emit(0, "x", "", "").Is(-3)},
				abi.ExportApply: {emit(0, "x", "", "").Is(0)},
			},
			Calls: everyCall(nothing),
		},
		{
			Rules: []string{"E8"}, Name: "records of one sequence are one event, whose emits are counted through", Do: Script{abi.ExportApply: {
				emit(0, "x", "", "").Is(0), emit(1, "y", "", "").Is(0), emit(2, "z", "", "").Is(0),
			}},
			Calls: []Call{apply(Want{Emits: []state.Emit{{Cause: 7, Subject: "x"}, {Cause: 7, Index: 1, Event: 1, Subject: "y"}, {Cause: 8, Event: 2, Subject: "z"}}},
				event(7, "a", ""), event(7, "a", ""), event(8, "a", ""))},
		},
	}
}
