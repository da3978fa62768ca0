// The exerciser in AssemblyScript: sdk/same_test.go says what it does.
import { Buffer, Event, JsonObject, JsonWriter, Kind, Reader, State, Text, emit, fail, log, onEvent, onInit, onMigrate, onRequest } from "gnomon";
export { apply, init, migrate, query } from "gnomon";

let name = "none";
let n: i64 = 7;
let flag = false;

const trace = new Buffer();
const writer = new JsonWriter();
const object = new JsonObject();
const hoard: Buffer[] = [];

onInit((settings) => {
  name = settings.string("name", name);
  n = settings.int("n", n);
  flag = settings.bool("flag", flag);
});

onEvent((event, state) => {
  if (event.is("json")) return fields(event, state);
  if (event.is("settings")) return state.put("settings", `${name}|${n}|${flag}`);
  operations(event, state);
});

// operations does what the event's data says: {u8 operation, u32 length of a, u32 length of b, a, b}*.
function operations(event: Event, state: State): void {
  trace.reset();
  const data = event.data;
  for (let p = 0; p < data.length; ) {
    const a = p + 9, b = a + load<i32>(data.ptr + p, 1), end = b + load<i32>(data.ptr + p, 5);
    operation(event, state, data[p], data.slice(a, b), data.slice(b, end));
    p = end;
  }
  state.put("trace\t" + event.sequence.toString(), trace);
}

function operation(event: Event, state: State, op: u8, a: Text, b: Text): void {
  if (op == 0x70) return state.put(a, b); // p
  if (op == 0x64) return state.delete(a); // d
  if (op == 0x63) { // c
    const value = state.get(a);
    if (!value) return state.delete(b);
    trace.int(value.length).byte(0x3b);
    return state.put(b, value);
  }
  if (op == 0x73) return scan(state, false, a, b.toString()); // s
  if (op == 0x53) return scan(state, true, a, b.toString()); // S
  if (op == 0x65) { // e
    const headers: string[] = [];
    for (let i = 1; i < b.length; i++) {
      headers.push("h" + (i % 5).toString());
      headers.push(b[i] % 2 ? a.toString() : "");
    }
    return emit(a, b, headers);
  }
  if (op == 0x6c) { // l
    if (b[0] == 0) log.debug(a);
    if (b[0] == 1) log.info(a);
    if (b[0] == 2) log.warn(a);
    if (b[0] == 3) log.error(a);
    return;
  }
  if (op == 0x68) { // h
    trace.add(event.headerText(a.toString())).byte(0x3b);
    return;
  }
  if (op == 0x74) { // t
    trace.add(event.token(b[0])).byte(0x3b);
    return;
  }
  if (op == 0x71) { // q
    trace.add(writer.reset().string(a));
    return;
  }
  if (op == 0x76) { // v
    trace.add(event.subject).byte(0x3b).add(event.key).byte(0x3b).add(event.id);
    return;
  }
  if (op == 0x78) fault(a.toString()); // x
  fail(a.toString());
}

// fault ends the call by an exception, or by having no more memory or stack.
function fault(kind: string): void {
  while (kind == "memory") {
    const more = new Buffer();
    more.reserve(1 << 20);
    hoard.push(more);
  }
  if (kind == "stack") trace.int(deep("x").length);
  throw new Error("it is odd");
}

function deep(text: string): string {
  const more = text + "x";
  return text.length == 0 ? text : deep(more) + more;
}

function hash(h: u32, t: Text, most: i32 = i32.MAX_VALUE): u32 {
  for (let i = 0; i < t.length && i < most; i++) h = (h ^ t[i]) * 16777619;
  return h;
}

// scan reads other keys meanwhile.
function scan(state: State, stop: bool, prefix: Text, after: string): void {
  let count: u32 = 0, inner: u32 = 0, size: u32 = 0, h: u32 = 2166136261;
  for (const rows = state.scan(prefix, after); rows.next(); ) {
    if (count % 50 == 0) {
      inner += state.get(rows.key)!.length;
      for (const more = state.scan(rows.key); more.next(); ) inner++;
    }
    count++;
    size += rows.value.length;
    h = hash(hash(h, rows.key), rows.value, 1000);
    if (stop && count == 3) break;
  }
  trace.int(count).byte(0x3b).int(inner).byte(0x3b).int(size).byte(0x3b).int(h).byte(0x3b);
}

// fields reads the data's fields as the host found them, and itself.
function fields(event: Event, state: State): void {
  const at = event.sequence.toString();
  const names = ["s", "n", "é\n", "absent"];
  for (let i = 0; i < names.length; i++) {
    const f = event.field(names[i]);
    keep(state, at + "\tfield\t" + names[i], f.kind, f.isInt, f.int, f.text);
  }
  object.open(event.data, "data");
  keep(state, at + "\town\ts", object.kind("s"), isInt("s"), object.intOr("s", 0), object.kind("s") == Kind.String ? object.text("s") : new Text());
  keep(state, at + "\town\tn", object.kind("n"), isInt("n"), object.intOr("n", 0), object.kind("n") == Kind.String ? object.text("n") : new Text());
}

function isInt(name: string): bool {
  return object.intOr(name, 1) == object.intOr(name, 2);
}

function keep(state: State, key: string, kind: Kind, isInt: bool, int: i64, text: Text): void {
  if (isInt && int <= 1 << 53 && int >= -(1 << 53)) return state.put(key, int.toString());
  if (kind != Kind.String) return state.put(key, "-");
  state.put(key, text);
  state.put(key + "\tquoted", writer.reset().string(text));
}

// The rows of an older state are rewritten.
onMigrate((from, state) => {
  if (from == 9) fail("said: no schema 9");
  const keys: string[] = [];
  for (const rows = state.scan("row\t"); rows.next(); ) keys.push(rows.key.toString());
  for (let i = 0; i < keys.length; i++) {
    const value = state.get(keys[i])!;
    if (value.length == 0) state.delete(keys[i]);
    else state.put(keys[i], trace.reset().int(from).add(value));
  }
  state.put("migrated", keys.length.toString());
});

onRequest((request, state, answer) => {
  if (request.equals("large")) {
    for (let i = 0; i <= 1 << 20; i++) answer.byte(0);
    return;
  }
  if (request.equals("fail")) fail("no\0é");
  const value = state.get(request);
  if (!value) return fail("absent");
  answer.byte(0x3d).add(<Text>value);
});
