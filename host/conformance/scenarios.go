package conformance

import (
	"encoding/binary"
	"slices"
	"strings"

	"gnomon/sdk/abi"
)

// Scenarios are what a host is checked with, for every rule that binds the sandbox.
func Scenarios() []Scenario {
	return slices.Concat(lifecycle(), buffers(), words(), ofState(), scans(), emits(), batches(), fields(), snapshots(), upcasts(), migrations(), queries(), limits())
}

// event makes a record; headers are names and values in turns.
func event(sequence int, subject, data string, headers ...string) abi.Record {
	r := abi.Record{Sequence: uint64(sequence), TimeNs: int64(sequence) * 1e9, Subject: []byte(subject), Data: []byte(data)}
	r.Headers = []byte(encodeHeaders(headers...))
	return r
}

// encodeHeaders encodes names and values, given in turns.
func encodeHeaders(list ...string) string {
	var b []byte
	for i := 0; i < len(list); i += 2 {
		b, _ = abi.AppendHeader(b, list[i], list[i+1])
	}
	return string(b)
}

// apply is one call of apply with one event, or those that are given.
func apply(w Want, events ...abi.Record) Call {
	if len(events) == 0 {
		events = []abi.Record{event(1, "a", "{}")}
	}
	return Call{Export: abi.ExportApply, Events: events, Want: w}
}

// calling is a call of an export that takes nothing.
func calling(export string, w Want) Call { return Call{Export: export, Want: w} }

// upcasting is a call of upcast with events.
func upcasting(w Want, events ...abi.Record) Call {
	return Call{Export: abi.ExportUpcast, Events: events, Want: w}
}

// rows are keys and values in turns.
func rows(list ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// entry is an entry of a page of a scan.
func entry(key, value string) string {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	return string(b) + key + value
}

// page is the result of a scan.
func page(count, bytes int) int64 { return int64(count)<<32 | int64(bytes) }

// names declares fields.
func names(list ...string) string {
	var b []byte
	for _, n := range list {
		b = abi.AppendName(b, n)
	}
	return string(b)
}

func u32(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
func u64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// everywhere makes a script do the same in every call.
func everywhere(steps ...Step) Script {
	s := Script{}
	for export := range exportTags {
		s[export] = steps
	}
	return s
}

// everyCall calls every export; those that come out with something are told what by want.
func everyCall(want func(export string) Want) []Call {
	list := []Call{
		apply(want(abi.ExportApply)),
		upcasting(want(abi.ExportUpcast), event(1, "a", "{}")),
		calling(abi.ExportQuery, want(abi.ExportQuery)),
		calling(abi.ExportSnapshot, want(abi.ExportSnapshot)),
		calling(abi.ExportRestore, want(abi.ExportRestore)),
		calling(abi.ExportMigrate, want(abi.ExportMigrate)),
	}
	return list
}

func nothing(string) Want { return Want{} }

// lifecycle is about calls and what their results mean.
func lifecycle() []Scenario {
	return []Scenario{
		{
			Rules: []string{"X1"}, Name: "start section, _initialize and init run in this order, once, before the batch", Guest: "order", Sandbox: true,
			Calls: []Call{apply(Want{Rows: rows("order", "start _initialize init apply")}), apply(Want{Rows: rows("order", "start _initialize init apply apply")})},
		},
		{
			Rules: []string{"X1"}, Name: "init runs before anything else, once", Do: Script{abi.ExportInit: {calls().Is(1)}, abi.ExportApply: {calls()}, abi.ExportQuery: {calls().Is(3)}},
			Calls: []Call{apply(Want{}), calling(abi.ExportQuery, Want{})},
		},
		{Rules: []string{"X1"}, Name: "a module without init and _initialize is applied", Guest: "least", Sandbox: true, Calls: []Call{apply(Want{Rows: rows()})}},
		{Rules: []string{"X2", "X7"}, Name: "init that returns an error gives no instance, and its own words", Do: Script{abi.ExportInit: {fail(0, "settings: no field"), returns(3)}}, Fails: "settings: no field"},
		{Rules: []string{"X2"}, Name: "init that traps gives no instance", Do: Script{abi.ExportInit: {trap()}}, Fails: "init trapped", Sandbox: true},
		{
			Rules: []string{"X4"}, Name: "apply is called once for all events of a batch", Do: Script{abi.ExportApply: {calls(), put("k", "v").Is(0)}},
			Calls: []Call{apply(Want{Steps: 2, Rows: rows("k", "v")}, event(1, "a", ""), event(2, "b", ""), event(3, "c", ""))},
		},
		{
			Rules: []string{"X4", "X7"}, Name: "any result but 0 fails the call with the text of fail", Do: Script{abi.ExportApply: {put("k", "v").Is(0), fail(0, "näh"), returns(-1)}},
			Calls: []Call{apply(Want{Fails: "näh", Rows: rows()})},
		},
		{
			Rules: []string{"X7"}, Name: "without fail the error has the code", Do: Script{abi.ExportApply: {returns(17)}},
			Calls: []Call{apply(Want{Fails: "code 17"})}, Sandbox: true,
		},
		{
			Rules: []string{"X3", "X7"}, Name: "a trap is an error with its reason", Do: Script{abi.ExportApply: {put("k", "v").Is(0), trap()}},
			Calls: []Call{apply(Want{Fails: "trapped: unreachable", Steps: 1})}, Sandbox: true,
		},
		{Rules: []string{"X7"}, Name: "a trap has what the guest printed last in its error", Guest: "mutter", Sandbox: true, Calls: []Call{apply(Want{Fails: "panic: out of luck"})}},
		{
			Rules: []string{"X7"}, Name: "a trap after fail is an error in the guest's words", Do: Script{abi.ExportApply: {put("k", "v").Is(0), fail(0, "own words"), trap()}},
			Calls: []Call{apply(Want{Fails: "apply returned an error: own words", Steps: 2})}, Sandbox: true,
		},
		{
			Rules: []string{"X3"}, Name: "what the host ends a call for counts before the result", Do: Script{abi.ExportApply: {fail(0, "own words"), raw(opStateGet, "a bad key", 0x7fffffff, 8, bufferAt, 0), returns(5)}},
			Calls: []Call{apply(Want{Fails: "pointer outside its memory", Steps: 1})}, Sandbox: true,
		},
	}
}

// buffers is about what is read to and from memory.
func buffers() []Scenario {
	long := strings.Repeat("0123456789", 20)
	return []Scenario{
		{
			Rules: []string{"R1", "R2"}, Name: "a value that does not fit is not copied at all, and its length is told",
			Rows: rows("k", long), Do: Script{abi.ExportApply: {
				fill(bufferAt-8, 'x', 300), get("k", 199).Is(200), hasAt(bufferAt-8, strings.Repeat("x", 300)),
				get("k", 0).Is(200), get("k", 200).Is(200), hasAt(bufferAt-8, "xxxxxxxx"+long+strings.Repeat("x", 92)),
			}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"R2"}, Name: "what lies behind a value in the buffer stays", Rows: rows("k", "ab"),
			Do:    Script{abi.ExportApply: {fill(bufferAt, 'x', 8), get("k", 8).Is(2), has("abxxxxxx")}},
			Calls: []Call{apply(Want{})},
		},
		{
			Rules: []string{"R1"}, Name: "settings that do not fit are not copied, and their length is told", Settings: `{"a":1}`, Guest: "config", Sandbox: true,
			Calls: []Call{apply(Want{Rows: rows("settings", `{"a":1}`, "short", "\x07\x00\x00\x00")})},
		},
		{
			Rules: []string{"R3"}, Name: "a buffer that reaches past the end of memory ends the call, though nothing would be copied", Rows: rows("k", "v"),
			Do:    Script{abi.ExportApply: {step(opStateGet, "state_get", literal("k"), numbers(memoryEnd-8, 9)), put("k", "w")}},
			Calls: []Call{apply(Want{Fails: "state_get: 9 bytes at 4194296, memory has 4194304", Steps: -1})}, Sandbox: true,
		},
		{
			Rules: []string{"R3"}, Name: "a bad buffer ends the call also when it is too small", Rows: rows("k", "a long value"),
			Do:    Script{abi.ExportApply: {step(opStateGet, "state_get", literal("k"), numbers(memoryEnd-2, 4))}},
			Calls: []Call{apply(Want{Fails: "state_get: 4 bytes at 4194302", Steps: -1})}, Sandbox: true,
		},
		{
			Rules: []string{"R3"}, Name: "lengths are unsigned: -1 is four gigabytes",
			Do:    Script{abi.ExportApply: {raw(opBatchRead, "batch_read", bufferAt, -1)}},
			Calls: []Call{apply(Want{Fails: "4294967295 bytes at 1048576", Steps: -1})}, Sandbox: true,
		},
		{
			Rules: []string{"R3"}, Name: "with the length 0 the end of memory is a good address",
			Do: Script{abi.ExportApply: {
				raw(opBatchRead, "batch_read", bufferAt, 4096).Is(48), step(opStatePut, "state_put", literal("k"), numbers(memoryEnd, 0)).Is(0),
				step(opStateGet, "state_get", literal("k"), numbers(memoryEnd, 0)).Is(0),
			}},
			Calls: []Call{apply(Want{Rows: rows("k", "")})}, Sandbox: true,
		},
		{
			Rules: []string{"R4"}, Name: "key and value are copied before state_put returns", Do: Script{abi.ExportApply: {
				fill(bufferAt, 'k', 4), fill(bufferAt+8, 'v', 4), raw(opStatePut, "state_put", bufferAt, 4, bufferAt+8, 4).Is(0),
				fill(bufferAt, 'x', 16), get("kkkk", 4).Is(4), has("vvvv"),
			}},
			Calls: []Call{apply(Want{Rows: rows("kkkk", "vvvv")})},
		},
		{
			Rules: []string{"R5"}, Name: "after a limit's code the guest may go on, and the host logs which it was",
			Do:    Script{abi.ExportApply: {put("", "v").Is(-3), put("k", "v").Is(0)}},
			Calls: []Call{apply(Want{Rows: rows("k", "v"), Logs: []string{"4 went on after state_put refused an empty key"}})}, Sandbox: true,
		},
		{
			Rules: []string{"R5"}, Name: "when it fails instead, the error says which limit it was",
			Do:    Script{abi.ExportApply: {put("", "v").Is(-3), fail(0, "cannot write"), returns(1)}},
			Calls: []Call{apply(Want{Fails: "cannot write (after state_put refused an empty key)"})}, Sandbox: true,
		},
	}
}

// words is about settings, log and errors.
func words() []Scenario {
	kept := Want{Logs: []string{"hello"}}
	return []Scenario{
		{Rules: []string{"K1"}, Name: "without settings they are an empty object", Guest: "config", Sandbox: true, Calls: []Call{apply(Want{Rows: rows("settings", "{}", "short", "\x02\x00\x00\x00")})}},
		{
			Rules: []string{"K1"}, Name: "settings are there in every call", Do: everywhere(configRead(memoryEnd-bufferAt), has(`{"script":"`)),
			Calls: everyCall(nothing),
		},
		{Rules: []string{"K2"}, Name: "a line can be logged in every call", Do: everywhere(logLine(abi.LevelInfo, "hello")), Started: kept, Calls: everyCall(func(string) Want { return kept })},
		{
			Rules: []string{"K2"}, Name: "lines have levels, of which those that are not wanted are left out", Sandbox: true, // natively all are kept
			Do: Script{abi.ExportApply: {
				logLine(abi.LevelDebug, "d"), logLine(abi.LevelInfo, "i"), logLine(abi.LevelWarn, "w"), logLine(abi.LevelError, "e"),
			}},
			Calls: []Call{apply(Want{Logs: []string{"i", "4 w", "8 e"}})},
		},
		{
			Rules: []string{"K2"}, Name: "a long line is cut, and bytes that are no UTF-8 are replaced",
			Do:    Script{abi.ExportApply: {logLine(0, "a\xffb"), fill(bufferAt, 'x', 5000), raw(opLog, "log", 0, bufferAt, 5000).Is(0)}},
			Calls: []Call{apply(Want{Logs: []string{"a\uFFFDb", strings.Repeat("x", 4096)}})},
		},
		{
			Rules: []string{"K3"}, Name: "whether a line would be kept is told in every call", Sandbox: true, Do: everywhere(logEnabled(abi.LevelDebug).Is(0), logEnabled(abi.LevelInfo).Is(1), logEnabled(abi.LevelError).Is(1)),
			Calls: everyCall(nothing),
		},
		{
			Rules: []string{"K4"}, Name: "fail alone changes nothing", Do: everywhere(fail(0, "no")), Calls: everyCall(nothing),
		},
		{
			Rules: []string{"K4", "X7"}, Name: "of several texts the last counts, in every call", Do: Script{
				abi.ExportApply: {fail(0, "first"), fail(9, "last"), returns(1)}, abi.ExportUpcast: {fail(0, "last"), returns(1)},
				abi.ExportSnapshot: {fail(0, "last"), returns(1)}, abi.ExportRestore: {fail(0, "last"), returns(1)},
				abi.ExportMigrate: {fail(0, "last"), returns(1)}, abi.ExportQuery: {fail(0, "last"), returns(1)},
			},
			Calls: freshly(everyCall(func(string) Want { return Want{Fails: "last"} })),
		},
		{
			Rules: []string{"K4"}, Name: "the text of fail is cut at 4 KiB", Do: Script{abi.ExportApply: {
				fill(bufferAt, 'x', 4096), fill(bufferAt+4096, 'y', 10), raw(opFail, "fail", 0, bufferAt, 4106).Is(0), returns(1),
			}},
			Calls: []Call{apply(Want{Fails: strings.Repeat("x", 4096)})},
		},
	}
}

// freshly makes each call in an instance of its own.
func freshly(list []Call) []Call {
	for i := range list {
		list[i].Fresh = i > 0
	}
	return list
}
