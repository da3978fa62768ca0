package conformance

import (
	"strings"

	"gnomon/sdk/abi"
)

// batches is about what apply is given.
func batches() []Scenario {
	first := event(0x0102030405060708, "a.b", "{}", "a", "", "ce-time", "t", "ce-time", "u")
	first.TimeNs, first.Key = -2, []byte("key")
	second := event(0x0102030405060709, "s", "")
	record := u32(80) + u32(0) + u64(0x0102030405060708) + "\xfe\xff\xff\xff\xff\xff\xff\xff" + u32(3) + u32(29) + u32(2) + u32(3) +
		"a.b" + "\x01\x00\x00\x00a" + "\x07\x00\x01\x00ce-timet" + "\x07\x00\x01\x00ce-timeu" + "{}" + "key"
	return []Scenario{
		{
			Rules: []string{"B1", "B2", "B3", "B4", "B5"}, Name: "the batch has its records as the page says, byte for byte", Do: Script{abi.ExportApply: {
				batchRead(1 << 20).Is(80 + 48), has(record), hasAt(bufferAt+80, u32(48)+u32(0)+u64(0x0102030405060709)), hasAt(bufferAt+80+24, u32(1)+u32(0)+u32(0)+u32(0)+"s"),
			}},
			Calls: []Call{apply(Want{}, first, second)},
		},
		{
			Rules: []string{"B1", "R1"}, Name: "the batch can be read as often as one likes, and is copied when all of it fits", Do: Script{abi.ExportApply: {
				fill(bufferAt, 'x', 64), batchRead(47).Is(48), has(strings.Repeat("x", 64)), batchRead(48).Is(48), has(u32(48)), batchRead(100).Is(48), has(u32(48)),
			}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"B1", "U7", "Q3", "G2"}, Name: "there is a batch in apply only", Do: Script{
				abi.ExportInit: {batchRead(100).Is(-3)}, abi.ExportUpcast: {batchRead(100).Is(-3)}, abi.ExportQuery: {batchRead(100).Is(-3)},
				abi.ExportSnapshot: {batchRead(100).Is(-3)}, abi.ExportRestore: {batchRead(100).Is(-3)}, abi.ExportMigrate: {batchRead(100).Is(-3)},
			},
			Calls: everyCall(nothing),
		},
		{
			Rules: []string{"B7"}, Name: "a call that saw that its buffer is too small does not count, whatever it returns", Do: Script{abi.ExportApply: {batchRead(47).Is(48), put("k", "v").Is(0)}},
			Calls: []Call{apply(Want{Fails: "too small a batch buffer: 47 bytes for 48 bytes of events", Rows: rows()})}, Sandbox: true,
		},
	}
}

// fields is about fields of JSON data.
func fields() []Scenario {
	cell := func(kind, flags, raw, rawLen, text, textLen uint32, integer int64) string {
		return u32(kind) + u32(flags) + u32(raw) + u32(rawLen) + u32(text) + u32(textLen) + u64(uint64(integer))
	}
	const at = 41 // of the data of the first record, whose subject is one byte
	return []Scenario{
		{
			Rules: []string{"J1", "J3", "J4", "J5"}, Name: "a table has a row for each event and a cell for each name", Do: Script{
				abi.ExportInit:  {declare(names("n", "s")).Is(2)},
				abi.ExportApply: {fieldsRead(500).Is(128), has(cell(3, 1, at+5, 2, 0, 0, 17) + cell(4, 0, at+12, 3, 0, 0, 0) + cell(0, 0, 0, 0, 0, 0, 0) + cell(2, 0, 64+at+5, 4, 0, 0, 0))},
			},
			Calls: []Call{apply(Want{}, event(1, "a", `{"n":17,"s":"x"}`), event(2, "a", `{"s":true}`))},
		},
		{
			Rules: []string{"J4", "J5"}, Name: "kinds are told apart, and which numbers are integers", Do: Script{abi.ExportApply: {
				declare(names("z", "f", "e", "big", "neg", "a", "o")).Is(7), fieldsRead(500).Is(224),
				has(cell(1, 0, at+5, 4, 0, 0, 0) + cell(3, 0, at+14, 3, 0, 0, 0) + cell(3, 0, at+22, 3, 0, 0, 0) + cell(3, 0, at+32, 19, 0, 0, 0) +
					cell(3, 1, at+58, 19, 0, 0, -999999999999999999) + cell(5, 0, at+82, 2, 0, 0, 0) + cell(6, 0, at+89, 2, 0, 0, 0)),
			}},
			Calls: []Call{apply(Want{}, event(1, "a", `{"z":null,"f":1.5,"e":1e2,"big":1000000000000000000,"neg":-999999999999999999,"a":[],"o":{}}`))},
		},
		{
			Rules: []string{"J6", "R1"}, Name: "a string with escapes has its text in the table; one without stands in the batch", Do: Script{abi.ExportApply: {
				declare(names("s")).Is(1), fieldsRead(33).Is(34), fieldsRead(500).Is(34), has(cell(4, 0, at+5, 8, 32, 2, 0) + "\xc3\xa4"),
			}},
			Calls: []Call{apply(Want{}, event(1, "a", `{"s":"\u00e4"}`))},
		},
		{
			Rules: []string{"J7"}, Name: "only the object's own fields are found, by exact names, and of two the last", Do: Script{abi.ExportApply: {
				declare(names("n", "N")).Is(2), fieldsRead(500).Is(64), has(cell(3, 1, at+23, 1, 0, 0, 2) + cell(0, 0, 0, 0, 0, 0, 0)),
			}},
			Calls: []Call{apply(Want{}, event(1, "a", `{"n":1,"x":{"n":9},"n":2}`))},
		},
		{
			Rules: []string{"J8"}, Name: "data that is not one valid JSON object has kind 255 in all cells", Do: Script{abi.ExportApply: {
				declare(names("n", "m")).Is(2), fieldsRead(500), hasAt(bufferAt, u32(255)), hasAt(bufferAt+32, u32(255)), hasAt(bufferAt+64, u32(255)), hasAt(bufferAt+128, u32(255)),
				hasAt(bufferAt+192, u32(3)),
			}},
			Calls: []Call{apply(Want{}, event(1, "a", `{"n":1} x`), event(2, "a", ``), event(3, "a", `[1]`), event(4, "a", `{"n":1}`))},
		},
		{
			Rules: []string{"J1"}, Name: "names may be declared in every call, and hold until others are", Do: everywhere(declare(names("n")).Is(1)), Calls: everyCall(nothing),
		},
		{
			Rules: []string{"J2"}, Name: "names are bounded, and those that were declared before still hold when others are refused", Do: Script{abi.ExportApply: {
				declare(names("n")).Is(1), declare(names(make([]string, 65)...)).Is(-2), declare(names(strings.Repeat("n", 1025))).Is(-2), declare("\x02\x00n").Is(-3), declare("\x02").Is(-3),
				fieldsRead(500).Is(32), has(cell(3, 1, at+5, 1, 0, 0, 1)), declare(names(make([]string, 64)...)).Is(64), declare(names(strings.Repeat("n", 1024))).Is(1), declare("").Is(0),
			}},
			Calls: []Call{apply(Want{}, event(1, "a", `{"n":1}`))},
		},
		{
			Rules: []string{"J9"}, Name: "the table is there in apply and upcast, once names were declared", Do: Script{
				abi.ExportInit:  {fieldsRead(100).Is(-3), declare(names("n")).Is(1), fieldsRead(100).Is(-3)},
				abi.ExportApply: {fieldsRead(100).Is(32)}, abi.ExportUpcast: {fieldsRead(100).Is(32)}, abi.ExportQuery: {fieldsRead(100).Is(-3)},
				abi.ExportSnapshot: {fieldsRead(100).Is(-3)}, abi.ExportRestore: {fieldsRead(100).Is(-3)}, abi.ExportMigrate: {fieldsRead(100).Is(-3)},
			},
			Calls: everyCall(nothing),
		},
		{Rules: []string{"J9"}, Name: "without names there is no table", Do: Script{abi.ExportApply: {fieldsRead(100).Is(-3)}}, Calls: []Call{apply(Want{})}},
	}
}

// snapshots is about state in the guest's memory.
func snapshots() []Scenario {
	return []Scenario{
		{
			Rules: []string{"P1"}, Name: "blobs are taken in order, empty ones too", Do: Script{abi.ExportSnapshot: {blobWrite("one").Is(0), blobWrite("").Is(0), blobWrite("\x00three").Is(0)}},
			Calls: []Call{calling(abi.ExportSnapshot, Want{Blobs: []string{"one", "", "\x00three"}})},
		},
		{Rules: []string{"P1"}, Name: "a snapshot may have no blobs", Do: Script{abi.ExportRestore: {blobRead(8).Is(-1)}}, Calls: []Call{calling(abi.ExportSnapshot, Want{Blobs: []string{}}), {Export: abi.ExportRestore, Fresh: true}}},
		{
			Rules: []string{"P1", "P2", "R1"}, Name: "blobs are read in order, and one that did not fit stays the next", Do: Script{abi.ExportRestore: {
				fill(bufferAt, 'x', 8), blobRead(2).Is(3), has("xxxxxxxx"), blobRead(0).Is(3), blobRead(8).Is(3), has("onexxxxx"), blobRead(8).Is(0), blobRead(6).Is(6), has("\x00three"), blobRead(8).Is(-1), blobRead(8).Is(-1),
			}},
			Calls: []Call{{Export: abi.ExportRestore, Blobs: []string{"one", "", "\x00three"}}},
		},
		{
			Rules: []string{"P4"}, Name: "blobs are written in snapshot and read in restore only", Do: Script{
				abi.ExportInit: {blobWrite("b").Is(-3), blobRead(8).Is(-3)}, abi.ExportApply: {blobWrite("b").Is(-3), blobRead(8).Is(-3)}, abi.ExportUpcast: {blobWrite("b").Is(-3), blobRead(8).Is(-3)},
				abi.ExportQuery: {blobWrite("b").Is(-3), blobRead(8).Is(-3)}, abi.ExportMigrate: {blobWrite("b").Is(-3), blobRead(8).Is(-3)},
				abi.ExportSnapshot: {blobRead(8).Is(-3)}, abi.ExportRestore: {blobWrite("b").Is(-3)},
			},
			Calls: everyCall(nothing),
		},
		{
			Rules: []string{"P5"}, Name: "a snapshot is as large as the memory may be at most", Do: Script{abi.ExportSnapshot: {raw(opBlobWrite, "blob_write", 0, 3<<20).Is(0), raw(opBlobWrite, "blob_write", 0, 3<<20)}},
			Memory: 4 << 20, Calls: []Call{calling(abi.ExportSnapshot, Want{Fails: "the limit is 4194304 (projection.limits.memory)", Steps: 1})}, Sandbox: true,
		},
	}
}

// upcasts is about what rewrites events.
func upcasts() []Scenario {
	in := []abi.Record{event(7, "a", "one", "h", "v"), event(9, "b", "two")}
	out := func(sequence int, subject, data string, headers ...string) string {
		e := event(sequence, subject, data, headers...)
		e.TimeNs = 5 // which the host sets
		return string(e.Append(nil))
	}
	made := func(list ...abi.Record) Want { return Want{Output: "-" + string(records(list))} }
	refused := func(rules []string, name, output, says string) Scenario {
		return Scenario{Rules: append(rules, "U6"), Name: name, Do: Script{abi.ExportUpcast: {inputRead(500).Is(int64(len(records(in)))), outputWrite(output), logLine(0, "on")}}, Sandbox: true,
			Calls: []Call{upcasting(Want{Fails: says, Steps: 1}, in...)}}
	}
	nine := event(9, "y", "1")
	nine.Key = []byte("k")
	long := "\x01\x00" + "\xf8\xff" + "h" + strings.Repeat("v", 0xfff8)
	return []Scenario{
		{
			Rules: []string{"U1", "U3"}, Name: "events become none, one or several, in any portions, at their times", Do: Script{abi.ExportUpcast: {
				inputRead(500).Is(int64(len(records(in)))), has(string(records(in))), outputWrite(out(7, "x", "1", "a", "", "b", "") + out(7, "y", "")).Is(0), outputWrite("").Is(0), outputWrite(out(9, "z", "3")).Is(0),
			}},
			Calls: []Call{upcasting(made(event(7, "x", "1", "a", "", "b", ""), event(7, "y", ""), event(9, "z", "3")), in...)},
		},
		{Rules: []string{"U1"}, Name: "what is not written is not there", Do: Script{abi.ExportUpcast: {inputRead(500)}}, Calls: []Call{upcasting(Want{Output: "-"}, in...)}},
		refused([]string{"U1"}, "a record that is cut off ends the call", out(7, "x", "1")[:40], "is malformed, or cut off"),
		refused([]string{"U2"}, "a sequence that was not read ends the call", out(8, "x", "1"), "sequence 8"),
		refused([]string{"U2"}, "a sequence that goes backwards ends the call", out(9, "x", "1")+out(7, "x", "1"), "sequence 7"),
		refused([]string{"U4"}, "a key ends the call", string(nine.Append(nil)), "has a key"),
		refused([]string{"U4"}, "an empty subject ends the call", out(7, "", "1"), "subject of 0 bytes"),
		refused([]string{"U4"}, "a long subject ends the call", out(7, strings.Repeat("s", 1025), "1"), "subject of 1025 bytes"),
		refused([]string{"U4"}, "headers that are not in order end the call", out(7, "x", "1", "b", "", "a", ""), "not ordered by name"),
		refused([]string{"U4"}, "headers that are cut off end the call", string((&abi.Record{Sequence: 7, Subject: []byte("x"), Headers: []byte("\x05\x00\x00\x00ab")}).Append(nil)), "malformed"),
		refused([]string{"U4"}, "long headers end the call", string((&abi.Record{Sequence: 7, Subject: []byte("x"), Headers: []byte(long + long[:4] + "h")}).Append(nil)), "the limit is 65536"),
		{
			Rules: []string{"U5", "U6"}, Name: "the output of a call is bounded", Sandbox: true, Memory: 64 << 20, Do: Script{abi.ExportUpcast: append([]Step{
				grow(320).Is(64), fill(memoryEnd, 0, 1<<24),
				// One record of 16 MiB: its size, sequence 7, a subject of one byte.
				raw(opStore, "size", memoryEnd, 1<<24).Is(0), raw(opStore, "sequence", memoryEnd+8, 7).Is(0), raw(opStore, "subject", memoryEnd+24, 1).Is(0), raw(opStore, "data", memoryEnd+32, 1<<24-41).Is(0), raw(opStore, "subject", memoryEnd+40, 'x').Is(0),
				inputRead(500),
			}, raw(opOutputWrite, "output_write", memoryEnd, 1<<24).Is(0), outputWrite(out(7, "x", "1")))},
			Calls: []Call{upcasting(Want{Fails: "the limit for an input of 104 is 16777216", Steps: 9}, in...)},
		},
		{
			Rules: []string{"U6"}, Name: "who writes without having had room for the input has failed", Sandbox: true, Do: Script{abi.ExportUpcast: {inputRead(47), outputWrite(out(7, "x", "1"))}},
			Calls: []Call{upcasting(Want{Fails: "47 bytes for ", Steps: 1}, in...)},
		},
		{
			Rules: []string{"U1", "Q1"}, Name: "input and output belong to upcast and query", Do: Script{
				abi.ExportInit: notHere(), abi.ExportApply: notHere(), abi.ExportSnapshot: notHere(), abi.ExportRestore: notHere(), abi.ExportMigrate: notHere(),
				abi.ExportUpcast: {inputRead(500).Is(48)}, abi.ExportQuery: {inputRead(500).Is(0), outputWrite("a").Is(0)},
			},
			Calls: everyCall(nothing),
		},
	}
}

func notHere() []Step { return []Step{inputRead(500).Is(-3), outputWrite("a").Is(-3)} }

// migrations is about states of older schemas.
func migrations() []Scenario {
	return []Scenario{{
		Rules: []string{"G2"}, Name: "migrate has the schema it comes from, and a state that sees its writes", Rows: rows("old", "1"), Do: Script{abi.ExportMigrate: {
			migrateFrom().Is(3), get("old", 8).Is(1), put("new", "1").Is(0), remove("old").Is(0), scan("", "", 0, 64).Is(page(1, 12)),
		}},
		Calls: []Call{{Export: abi.ExportMigrate, From: 3, Want: Want{Rows: rows("new", "1")}}},
	}}
}

// queries is about answers.
func queries() []Scenario {
	return []Scenario{
		{
			Rules: []string{"Q1"}, Name: "the answer is what was written, in any portions", Do: Script{abi.ExportQuery: {inputRead(2).Is(3), inputRead(8).Is(3), has("ask"), outputWrite("an").Is(0), outputWrite("").Is(0), outputWrite("swer").Is(0)}},
			Calls: []Call{{Export: abi.ExportQuery, Request: "ask", Want: Want{Output: "answer"}}},
		},
		{Rules: []string{"Q1"}, Name: "an answer may be nothing", Do: Script{abi.ExportQuery: {}}, Calls: []Call{{Export: abi.ExportQuery, Want: Want{Output: "-"}}}},
		{
			Rules: []string{"Q2"}, Name: "a query that fails has no answer but the words of fail", Do: Script{abi.ExportQuery: {outputWrite("half").Is(0), fail(0, "top must be from 1 to 100"), returns(1)}},
			Calls: []Call{{Export: abi.ExportQuery, Want: Want{Fails: "top must be from 1 to 100", Output: "-"}}},
		},
		{Rules: []string{"Q3"}, Name: "settings, log, fail and declarations work in query", Do: Script{abi.ExportQuery: {configRead(0), logLine(0, "asked"), declare(names("n")).Is(1)}}, Calls: []Call{{Export: abi.ExportQuery, Want: Want{Logs: []string{"asked"}}}}},
		{
			Rules: []string{"Q4"}, Name: "an answer above 1 MiB is none", Do: Script{abi.ExportQuery: {raw(opOutputWrite, "output_write", 0, 1<<20).Is(0), outputWrite("x")}},
			Calls: []Call{{Export: abi.ExportQuery, Want: Want{Fails: "the limit is 1048576", Steps: 1}}}, Sandbox: true,
		},
		{Rules: []string{"Q4"}, Name: "a query that traps is told so", Do: Script{abi.ExportQuery: {trap()}}, Calls: []Call{{Export: abi.ExportQuery, Want: Want{Fails: "query trapped"}}}, Sandbox: true},
		{Rules: []string{"Q4"}, Name: "a query with a bad pointer is told so", Do: Script{abi.ExportQuery: {inputRead(1 << 30)}}, Calls: []Call{{Export: abi.ExportQuery, Want: Want{Fails: "pointer outside"}}}, Sandbox: true},
		{
			Rules: []string{"Q4", "F1"}, Name: "a query has the fuel of one event", Bounds: Bounds{Fuel: 1_000_000}, Do: Script{abi.ExportQuery: {spin(0)}},
			Calls: []Call{{Export: abi.ExportQuery, Want: Want{Fails: "1000000 units are its limit (projection.limits.fuel)", Steps: -1}}}, Sandbox: true,
		},
		{
			Rules: []string{"Q5"}, Name: "an instance may be asked again", Rows: rows("k", "v"), Do: Script{abi.ExportQuery: {get("k", 8).Is(1), outputWrite("v").Is(0)}},
			Calls: []Call{{Export: abi.ExportQuery, Want: Want{Output: "v"}}, {Export: abi.ExportQuery, Want: Want{Output: "v"}}},
		},
	}
}

// limits is about memory, tables, fuel, and the system interface.
func limits() []Scenario {
	const fuel = 1_000_000
	return []Scenario{
		{
			Rules: []string{"L1"}, Name: "memory grows to its limit, and memory.grow then says -1", Memory: 5 << 20, Sandbox: true, Do: Script{abi.ExportApply: {grow(16).Is(64), grow(1).Is(-1), put("k", "v").Is(0)}},
			Calls: []Call{apply(Want{Rows: rows("k", "v")})},
		},
		{Rules: []string{"L2"}, Name: "a table grows to its limit, and table.grow then says -1", Bounds: Bounds{Table: 10}, Sandbox: true, Do: Script{abi.ExportApply: {tableGrow(6).Is(4), tableGrow(1).Is(-1)}}, Calls: []Call{apply(Want{})}},
		{
			Rules: []string{"F1"}, Name: "a call that has used its fuel up is ended", Bounds: Bounds{Fuel: fuel}, Sandbox: true, Do: Script{abi.ExportApply: {put("k", "v").Is(0), spin(0)}, abi.ExportUpcast: {spin(0)}},
			Calls: []Call{apply(Want{Fails: "ran out of fuel: 1000000 units are its limit", Steps: 1}), {Export: abi.ExportUpcast, Events: []abi.Record{event(1, "a", "")}, Fresh: true, Want: Want{Fails: "ran out of fuel", Steps: -1}}},
		},
		{
			Rules: []string{"F4"}, Name: "init, snapshot, restore and migrate have more", Bounds: Bounds{Fuel: fuel}, Sandbox: true,
			Do:    Script{abi.ExportInit: {spin(fuel)}, abi.ExportSnapshot: {spin(fuel)}, abi.ExportRestore: {spin(fuel)}, abi.ExportMigrate: {spin(fuel)}},
			Calls: []Call{calling(abi.ExportSnapshot, Want{}), calling(abi.ExportRestore, Want{}), calling(abi.ExportMigrate, Want{})},
		},
		{
			Rules: []string{"F5"}, Name: "what the host does costs the guest fuel", Bounds: Bounds{Fuel: 150_000}, Sandbox: true, Rows: rows("k", strings.Repeat("v", 1<<20)),
			Do:    Script{abi.ExportApply: {get("k", 1<<20).Is(1 << 20), get("k", 1<<20).Is(1 << 20), get("k", 1<<20).Is(1 << 20), get("k", 1<<20)}},
			Calls: []Call{apply(Want{Fails: "ran out of fuel", Steps: 2})},
		},
		{
			Rules: []string{"W1", "W3", "W4"}, Name: "the system interface has nothing behind it, its clock stands still, and its random bytes are the same", Guest: "wasi", Sandbox: true,
			Calls: []Call{apply(Want{}), {Export: abi.ExportApply, Events: []abi.Record{event(2, "a", "")}, Fresh: true, Want: Want{Rows: wasiRows}}},
		},
		{
			Rules: []string{"W2"}, Name: "what is written to descriptors 1 and 2 is logged by line", Guest: "print", Sandbox: true,
			Calls: []Call{apply(Want{Logs: []string{"to one", "4 to two", "in two parts"}})},
		},
		{Rules: []string{"W5"}, Name: "proc_exit ends the call, also with 0", Guest: "exit", Sandbox: true, Calls: []Call{apply(Want{Fails: "exited with code 0", Rows: rows()})}},
	}
}

// wasiRows is what guest wasi finds: errno and answer of each function.
var wasiRows = rows(
	"args", "\x00\x00\x00\x00", "environ", "\x00\x00\x00\x00", "open", "\x08\x00\x00\x00",
	"wall", u64(0), "monotonic", "later", "random", "same",
)
