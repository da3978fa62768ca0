import { batchRead, codeText, fieldsDeclare, fieldsRead } from "./host";
import { current, fail } from "./fail";
import { Kind } from "./json";
import { Buffer, Text, equalsString, fill } from "./text";

const HEADER: usize = 40; // bytes of a record before its subject
const CELL: usize = 32; // bytes of a field in the table
const NOT_JSON: i32 = 255;

/** A field of an event's data, as the host found it. Valid until the handler returns. */
export class Field {
  /** What it is; `Kind.Absent` when there is none of that name. */
  kind: Kind = Kind.Absent;
  /** Whether it is a number without fraction and exponent, of at most 18 digits. */
  isInt: bool = false;
  /** That number. */
  int: i64 = 0;
  /** Its JSON. */
  raw: Text = new Text();
  /** What a string says. */
  text: Text = new Text();
  row: i32 = -2; // the event that it shows
}

const batch: Buffer = new Buffer();
const names: Array<string> = new Array<string>();
const found: Array<Field> = new Array<Field>(); // by name, in the same order
let table: Buffer = new Buffer();
let tableRead: bool = false; // table is that of this batch and these names
const earlier: Array<Buffer> = new Array<Buffer>(); // tables of this batch before a name was added, which texts still show
const headerShown: Text = new Text();
const headerBytes: Buffer = new Buffer(); // the name that was asked for last, as UTF-8
let headerName: string = "";

/** An event of the stream. There is one, which shows the events one after the other: keep strings of it, not the event. */
export class Event {
  private at: usize = 0;
  private subjectText: Text = new Text();
  private headersText: Text = new Text();
  private dataText: Text = new Text();
  private keyText: Text = new Text();
  private typeText: Text = new Text();
  private typeKnown: bool = false; // typeText is that of this event

  show(at: usize): this {
    this.at = at;
    this.typeKnown = false;
    let p = at + HEADER;
    p += this.subjectText.show(p, load<i32>(at, 24)).length;
    p += this.headersText.show(p, load<i32>(at, 28)).length;
    p += this.dataText.show(p, load<i32>(at, 32)).length;
    this.keyText.show(p, load<i32>(at, 36));
    return this;
  }

  /** Its number in the stream, from 1. */
  get sequence(): u64 { return load<u64>(this.at, 8); }

  /** When JetStream stored it: Unix nanoseconds, UTC. An event that is imported again has another. */
  get stored(): i64 { return load<i64>(this.at, 16); }

  /** The event's own time as it is written in its ce-time header; empty without one. */
  get time(): string { return this.header("ce-time"); }

  /** The subject that it was published to, as bytes. */
  get subject(): Text { return this.subjectText; }

  /** All headers, as the batch has them: docs/ABI.md. */
  get headers(): Text { return this.headersText; }

  /** The body of the message. */
  get data(): Text { return this.dataText; }

  /** The key that the configuration declares for the projection's events; empty when none is. */
  get key(): Text { return this.keyText; }

  /** Its type, the ce-type header. `is` compares it without making a string. */
  get type(): string { return this.findType().toString(); }

  /** Its identity, the ce-id header. */
  get id(): string { return this.header("ce-id"); }

  /** Whether its type is this one. */
  is(type: string): bool {
    const text = this.findType();
    return equalsString(text.ptr, text.length, type);
  }

  private findType(): Text {
    if (!this.typeKnown) {
      const header = this.headerText("ce-type");
      this.typeText.show(header.ptr, header.length);
      this.typeKnown = true;
    }
    return this.typeText;
  }

  /** The i-th of the subject's tokens, which dots separate, counted from 1; empty beyond the last. */
  token(i: i32): Text {
    const subject = this.subjectText;
    let from = 0, to = 0;
    for (;;) {
      while (to < subject.length && load<u8>(subject.ptr + to) != 0x2e) to++;
      if (--i <= 0) break;
      if (to == subject.length) return subject.slice(to);
      from = ++to;
    }
    return i < 0 ? subject.slice(0, 0) : subject.slice(from, to);
  }

  /** The value of a header, whose name is compared without regard to case; empty when it is absent. Of several values it is the first. */
  header(name: string): string { return this.headerText(name).toString(); }

  /** A header as bytes: valid until the next call, or until the handler returns. */
  headerText(name: string): Text {
    if (changetype<usize>(name) != changetype<usize>(headerName)) {
      headerName = name;
      headerBytes.set(name);
    }
    const length = headerBytes.length;
    const end = this.headersText.ptr + this.headersText.length;
    for (let p = this.headersText.ptr; p < end;) {
      const n = <i32>load<u16>(p), v = <i32>load<u16>(p, 2);
      p += 4;
      if (n == length && sameName(p, headerBytes.ptr, length)) return headerShown.show(p + n, v);
      p += n + v;
    }
    return headerShown.show(end, 0);
  }

  /**
   * A field of the event's data, which must be a JSON object. The host finds the fields of a
   * whole batch at once, at native speed; a module may ask for 64 different names.
   */
  field(name: string): Field { return findField(name); }

  /** A field that must be a string, as one that may be kept. */
  string(name: string): string { return this.text(name).toString(); }

  /** A field that must be a string, as bytes: valid until the handler returns. */
  text(name: string): Text {
    const f = findField(name);
    if (f.kind != Kind.String) refuse(f, name, "a string");
    return f.text;
  }

  /** A field that must be a number without fraction and exponent, of at most 18 digits. */
  int(name: string): i64 {
    const f = findField(name);
    if (!f.isInt) refuse(f, name, "a whole number of at most 18 digits");
    return f.int;
  }

  /** A field that must be a number. */
  float(name: string): f64 {
    const f = findField(name);
    if (f.kind != Kind.Number) refuse(f, name, "a number");
    return F64.parseFloat(f.raw.toString());
  }

  /** A field that must be true or false. */
  bool(name: string): bool {
    const f = findField(name);
    if (f.kind != Kind.Bool) refuse(f, name, "true or false");
    return f.raw.length == 4;
  }
}

/** Whether bytes are those of a name of the same length, without regard to the case of ASCII letters. */
function sameName(ptr: usize, name: usize, length: usize): bool {
  for (let i: usize = 0; i < length; i++) {
    const a = <u32>load<u8>(ptr + i), b = <u32>load<u8>(name + i);
    if (a != b && lower(a) != lower(b)) return false;
  }
  return true;
}

function lower(c: u32): u32 { return c - 0x41 < 26 ? c + 0x20 : c; }

function refuse(f: Field, name: string, what: string): void {
  if (f.kind == Kind.Absent) fail("the event's data has no field \"" + name + "\"");
  fail("field \"" + name + "\" is " + f.raw.slice(0, 40).toString() + ", not " + what);
}


const event: Event = new Event();

/** Calls handle for each event that read gives, a function of the host. */
export function eachEvent(read: (buf: usize, cap: i32) => i32, handle: (event: Event) => void): void {
  current.event = -1;
  tableRead = false;
  earlier.length = 0;
  for (let i = 0; i < found.length; i++) unchecked(found[i]).row = -2;
  const n = fill(batch.reset(), read);
  if (n < 0) fail("read batch: " + codeText(n));
  const end = batch.ptr + batch.length;
  for (let at = batch.ptr; at < end; at += load<u32>(at)) {
    current.event++;
    handle(event.show(at));
  }
  current.event = -1;
}

/** Names are given by literals mostly, which are the same object each time. */
// @ts-ignore: decorator
@inline
function findField(name: string): Field {
  for (let i = 0, n = names.length; i < n; i++) {
    if (changetype<usize>(unchecked(names[i])) == changetype<usize>(name)) return showField(i);
  }
  return findFieldByText(name);
}

function findFieldByText(name: string): Field {
  for (let i = 0; i < names.length; i++) {
    if (names[i] == name) return showField(i);
  }
  if (name.length > 1024) fail("field of " + name.length.toString() + " characters: the limit is 1024 bytes");
  names.push(name);
  found.push(new Field());
  const declaration = new Buffer(), one = new Buffer();
  for (let i = 0; i < names.length; i++) declaration.u16(one.set(names[i]).length).add(<Text>one);
  const code = fieldsDeclare(declaration.ptr, declaration.length);
  if (code < 0) fail("field \"" + name + "\", the " + names.length.toString() + "th that is asked for: " + codeText(code) + " (the limit is 64)");
  if (tableRead) {
    earlier.push(table);
    table = new Buffer();
    tableRead = false;
  }
  return showField(names.length - 1);
}

function showField(i: i32): Field {
  const f = unchecked(found[i]);
  if (f.row != current.event) fillField(f, i);
  return f;
}

function fillField(f: Field, i: i32): void {
  if (current.event < 0) fail("fields of an event can be read only while it is handled");
  if (!tableRead) {
    const n = fill(table.reset(), fieldsRead);
    if (n < 0) fail("read fields: " + codeText(n));
    tableRead = true;
  }
  const cell = table.ptr + <usize>(current.event * names.length + i) * CELL;
  f.kind = load<i32>(cell);
  const texts = table.ptr + load<u32>(cell, 16);
  if (f.kind == NOT_JSON) fail("the event's data: " + new Text(texts, load<i32>(cell, 20)).toString());
  f.isInt = (load<u32>(cell, 4) & 1) != 0;
  f.int = load<i64>(cell, 24);
  const raw = batch.ptr + load<u32>(cell, 8), length = load<i32>(cell, 12);
  f.raw.show(raw, length);
  if (load<u32>(cell, 16) != 0) f.text.show(texts, load<i32>(cell, 20));
  else if (f.kind == Kind.String) f.text.show(raw + 1, length - 2);
  else f.text.show(raw, 0);
  f.row = current.event;
}
