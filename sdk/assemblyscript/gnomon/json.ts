// JSON that the module itself reads: values of its state, settings, requests. Fields of
// events are found by the host, see event.ts.

import { fail } from "./fail";
import { Buffer, Text, equalsString, plainEnd, sequenceLength } from "./text";

/** The kind of a JSON value, in the host's numbers. */
export enum Kind { Absent = 0, Null = 1, Bool = 2, Number = 3, String = 4, Array = 5, Object = 6 }

/** How deep arrays and objects may be nested: as the host reads them. */
const DEPTH = 10_000;

const ENTRY = 16; // bytes that a JsonObject keeps of a field
const MANY = 32; // fields: those of a larger object are told apart by a table

/**
 * The fields of a JSON object. All of it is checked when it is opened; fields are then
 * looked up by their names, fastest in the order in which they stand; of a name that occurs
 * twice the last counts. Texts and raw values
 * are valid until the object is opened anew, or the bytes that it was opened on change.
 */
export class JsonObject {
  private what: string = "";
  private fields: Buffer = new Buffer(); // an entry of ENTRY bytes for each: see addField
  private seen: u64 = 0; // of the fields' names: see earlier
  private places: Map<string, i32> = new Map<string, i32>(); // of the names of many
  private entry: usize = 0; // the one that was found last
  private at: usize = 0; // its value
  private after: usize = 0; // the end of its value
  private texts: Buffer = new Buffer(); // what strings with escapes say
  private shown: Text = new Text();

  /** Opens an object. What names it in errors, such as `state account-17`. */
  open(bytes: Text, what: string): void {
    this.what = what;
    this.texts.reset();
    this.fields.reset();
    this.seen = 0;
    const end = bytes.ptr + bytes.length;
    const start = space(bytes.ptr, end);
    const after = start < end && load<u8>(start) == 0x7b ? this.readFields(start, end) : 0;
    if (after == 0 || space(after, end) != end) fail(what + ": not a JSON object");
    this.entry = this.fields.ptr;
  }

  // readFields takes an object apart, and returns where it ends, or 0 when it is none.
  private readFields(p: usize, end: usize): usize {
    p = space(p + 1, end);
    if (p < end && load<u8>(p) == 0x7d) return p + 1;
    while (p < end) {
      if (load<u8>(p) != 0x22) return 0;
      const name = p;
      p = skipString(p, end);
      if (p == 0) return 0;
      const nameAfter = p;
      p = space(p, end);
      if (p >= end || load<u8>(p) != 0x3a) return 0;
      p = space(p + 1, end);
      const value = p;
      p = skip(p, end, 1);
      if (p == 0) return 0;
      this.addField(name, nameAfter, value, p);
      p = space(p, end);
      if (p >= end) return 0;
      const c = load<u8>(p);
      if (c == 0x7d) return p + 1;
      if (c != 0x2c) return 0;
      p = space(p + 1, end);
    }
    return 0;
  }

  // addField keeps where the name and the value begin and end, without the name's quotes. A
  // value takes the place of an earlier one of the same name.
  private addField(name: usize, nameAfter: usize, value: usize, after: usize): void {
    const ptr = name + 1, length = <i32>(nameAfter - name) - 2;
    let p = this.earlier(ptr, length);
    if (p == 0) {
      this.fields.reserve(ENTRY);
      p = this.fields.ptr + this.fields.length;
      this.fields.length += ENTRY;
      store<usize>(p, ptr);
      store<i32>(p, length, 4);
    }
    store<usize>(p, value, 8);
    store<usize>(p, after, 12);
  }

  // earlier is the entry of a name, 0 when there is none. Of few names that is mostly known from
  // the bits that they set: one by length, first and last byte, and all for an escaped one.
  private earlier(ptr: usize, length: i32): usize {
    if (this.fields.length >= MANY * ENTRY) return this.earlierOfMany(nameText(ptr, length));
    const hash = length == 0 ? 0 : length + 5 * <i32>load<u8>(ptr) + 11 * <i32>load<u8>(ptr + length - 1);
    const bits: u64 = escaped(ptr, length) ? u64.MAX_VALUE : <u64>1 << (hash & 63);
    const seen = (this.seen & bits) != 0;
    this.seen |= bits;
    if (!seen) return 0;
    const name = nameText(ptr, length);
    for (let p = this.fields.ptr, end = p + this.fields.length; p < end; p += ENTRY) {
      if (named(load<usize>(p), load<i32>(p, 4), name)) return p;
    }
    return 0;
  }

  private earlierOfMany(name: string): usize {
    const places = this.places, count = this.fields.length / ENTRY;
    if (count == MANY) {
      places.clear();
      for (let i = 0; i < count; i++) {
        const p = this.fields.ptr + i * ENTRY;
        places.set(nameText(load<usize>(p), load<i32>(p, 4)), i);
      }
    }
    if (places.has(name)) return this.fields.ptr + places.get(name) * ENTRY;
    places.set(name, count);
    return 0;
  }

  /** The kind of a field. */
  kind(name: string): Kind {
    if (!this.find(name)) return Kind.Absent;
    switch (load<u8>(this.at)) {
      case 0x22: return Kind.String;
      case 0x7b: return Kind.Object;
      case 0x5b: return Kind.Array;
      case 0x6e: return Kind.Null;
      case 0x74:
      case 0x66: return Kind.Bool;
    }
    return Kind.Number;
  }

  /** Whether there is such a field. */
  has(name: string): bool { return this.find(name); }

  /** A field that must be a string, as one that may be kept. */
  string(name: string): string {
    return this.text(name).toString();
  }

  /** A field that must be a string, as bytes: valid until the next call of text or raw, too. */
  text(name: string): Text {
    this.expect(name, Kind.String, "a string");
    const from = this.at + 1, length = <i32>(this.after - this.at) - 2;
    if (!escaped(from, length)) return this.shown.show(from, length);
    const begin = this.texts.length;
    unescape(this.texts, from, length);
    return this.shown.show(this.texts.ptr + begin, this.texts.length - begin);
  }

  /** A field that must be a number without fraction and exponent, of at most 18 digits. */
  int(name: string): i64 {
    if (!this.isInt(name)) this.refuse(name, "a whole number of at most 18 digits");
    return this.readInt();
  }

  /** Such a number, or what is to be taken when the field is absent or is none. */
  intOr(name: string, otherwise: i64): i64 {
    return this.isInt(name) ? this.readInt() : otherwise;
  }

  /** A field that must be a number. */
  float(name: string): f64 {
    this.expect(name, Kind.Number, "a number");
    return F64.parseFloat(this.shown.show(this.at, <i32>(this.after - this.at)).toString());
  }

  /** A field that must be true or false. */
  bool(name: string): bool {
    this.expect(name, Kind.Bool, "true or false");
    return load<u8>(this.at) == 0x74;
  }

  /** The JSON of a field, such as an object to be opened; empty when it is absent. */
  raw(name: string): Text {
    this.find(name);
    return this.shown.show(this.at, <i32>(this.after - this.at));
  }

  /** The names of all fields, in their order. */
  names(): string[] {
    const names = new Array<string>();
    const name = new Buffer();
    for (let at = 0; at < this.fields.length; at += ENTRY) {
      const p = this.fields.ptr + at;
      unescape(name.reset(), load<usize>(p), load<i32>(p, 4));
      names.push(name.toString());
    }
    return names;
  }

  private isInt(name: string): bool {
    if (!this.find(name)) return false;
    let p = this.at + usize(load<u8>(this.at) == 0x2d);
    if (this.after - p > 18) return false;
    while (p < this.after && digit(load<u8>(p))) p++;
    return p == this.after;
  }

  private readInt(): i64 {
    const negative = load<u8>(this.at) == 0x2d;
    let n: i64 = 0;
    for (let p = this.at + usize(negative); p < this.after; p++) n = n * 10 + load<u8>(p) - 0x30;
    return negative ? -n : n;
  }

  private expect(name: string, kind: Kind, what: string): void {
    if (this.kind(name) != kind) this.refuse(name, what);
  }

  private refuse(name: string, what: string): void {
    if (!this.has(name)) fail(this.what + ": no field \"" + name + "\"");
    fail(this.what + ": field \"" + name + "\" is " + this.raw(name).slice(0, 40).toString() + ", not " + what);
  }

  // find looks behind the one that was found last: mostly fields are asked for in their order.
  private find(name: string): bool {
    const first = this.fields.ptr, end = first + this.fields.length;
    let entry = this.entry;
    for (let left = this.fields.length; left > 0; left -= ENTRY) {
      if (entry >= end) entry = first;
      if (named(load<usize>(entry), load<i32>(entry, 4), name)) {
        this.at = load<usize>(entry, 8);
        this.after = load<usize>(entry, 12);
        this.entry = entry; // asking for it again, which its kind and then its value are, finds it at once
        return true;
      }
      entry += ENTRY;
    }
    this.after = this.at = 0;
    return false;
  }
}

function named(ptr: usize, length: i32, name: string): bool {
  const same = equalsString(ptr, length, name);
  if (!escaped(ptr, length)) return same;
  const plain = new Buffer();
  unescape(plain, ptr, length);
  return plain.equals(name);
}

/** The name that stands between two quotes. */
function nameText(ptr: usize, length: i32): string {
  const text = new Buffer();
  unescape(text, ptr, length);
  return text.toString();
}

const open: Buffer = new Buffer();

// The functions below return where what they skip ends, or 0 when it is not JSON.

function space(p: usize, end: usize): usize {
  while (p < end) {
    const c = load<u8>(p);
    if (c != 0x20 && c != 0x0a && c != 0x0d && c != 0x09) break;
    p++;
  }
  return p;
}

// skip does not call itself, for the stack is small: open has what closes the lists that it is
// in, which are in as many as outside.
function skip(p: usize, end: usize, outside: i32): usize {
  open.reset();
  while (p < end) {
    const c = load<u8>(p);
    let begun = c == 0x7b || c == 0x5b;
    if (begun) {
      if (outside + open.length == DEPTH) return 0;
      open.byte(c + 2); // as ASCII has them
      p++;
    } else {
      p = skipSimple(p, end, c);
      if (p == 0) return 0;
    }
    for (;;) {
      if (open.length == 0) return p;
      p = space(p, end);
      if (p >= end) return 0;
      const close = open[open.length - 1];
      if (load<u8>(p) == close) {
        open.length--;
        begun = false;
        p++;
        continue;
      }
      if (!begun && load<u8>(p++) != 0x2c) return 0;
      p = space(p, end);
      if (close == 0x7d) p = skipName(p, end);
      if (p == 0) return 0;
      break;
    }
  }
  return 0;
}

function skipSimple(p: usize, end: usize, c: u8): usize {
  switch (c) {
    case 0x22: return skipString(p, end);
    case 0x74: return skipWord(p, end, "true");
    case 0x66: return skipWord(p, end, "false");
    case 0x6e: return skipWord(p, end, "null");
  }
  return skipNumber(p, end);
}

// skipName goes to the value behind the name of a field.
function skipName(p: usize, end: usize): usize {
  if (p >= end || load<u8>(p) != 0x22) return 0;
  p = skipString(p, end);
  if (p == 0) return 0;
  p = space(p, end);
  return p < end && load<u8>(p) == 0x3a ? space(p + 1, end) : 0;
}

function skipString(p: usize, end: usize): usize {
  for (p = plainEnd(p + 1, end, false); p < end; p = plainEnd(p, end, false)) {
    const c = load<u8>(p);
    if (c == 0x22) return p + 1;
    if (c < 0x20 || p + 1 >= end) return 0;
    switch (load<u8>(p, 1)) { // after a backslash
      case 0x75: // u
        if (end - p < 6 || hex4(p) < 0) return 0;
        p += 6;
        continue;
      case 0x22: case 0x5c: case 0x2f: case 0x62: case 0x66: case 0x6e: case 0x72: case 0x74:
        p += 2;
        continue;
    }
    return 0;
  }
  return 0;
}

function skipWord(p: usize, end: usize, word: string): usize {
  const length = word.length;
  return <i32>(end - p) >= length && equalsString(p, length, word) ? p + length : 0;
}

function digit(c: u8): bool { return c - 0x30 < 10; }

function skipDigits(p: usize, end: usize): usize {
  while (p < end && digit(load<u8>(p))) p++;
  return p;
}

function skipNumber(p: usize, end: usize): usize {
  if (load<u8>(p) == 0x2d) p++;
  if (p >= end || !digit(load<u8>(p))) return 0;
  p = load<u8>(p) == 0x30 ? p + 1 : skipDigits(p, end);
  if (p < end && load<u8>(p) == 0x2e) {
    const from = p + 1;
    p = skipDigits(from, end);
    if (p == from) return 0;
  }
  if (p < end && (load<u8>(p) | 0x20) == 0x65) {
    p++;
    if (p < end && (load<u8>(p) == 0x2b || load<u8>(p) == 0x2d)) p++;
    const from = p;
    p = skipDigits(from, end);
    if (p == from) return 0;
  }
  return p;
}

/** Whether a string that was checked says something else than what stands there: it has escapes, or bytes that are not UTF-8. */
function escaped(ptr: usize, length: i32): bool {
  const end = ptr + length;
  for (let p = plainEnd(ptr, end, true); p < end; p = plainEnd(p, end, true)) {
    const n = load<u8>(p) == 0x5c ? 0 : sequenceLength(p, <i32>(end - p));
    if (n == 0) return true;
    p += n;
  }
  return false;
}

/** The number in the escape \uXXXX at p, or -1. */
function hex4(p: usize): i32 {
  let n = 0;
  for (let i: usize = 2; i < 6; i++) {
    let c = <i32>load<u8>(p + i);
    if (c >= 0x30 && c <= 0x39) c -= 0x30;
    else if ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x66) c = (c | 0x20) - 0x57;
    else return -1;
    n = n << 4 | c;
  }
  return n;
}

/** Appends what stands between the quotes of a string that was checked. Bytes that are not UTF-8 become U+FFFD, each. */
function unescape(to: Buffer, ptr: usize, length: i32): void {
  to.reserve(length);
  const end = ptr + length;
  while (ptr < end) {
    const c = load<u8>(ptr);
    if (c != 0x5c) {
      const n = sequenceLength(ptr, <i32>(end - ptr));
      if (n == 0) addRune(to, 0xfffd);
      for (let i = 0; i < n; i++) to.byte(load<u8>(ptr + i));
      ptr += max(n, 1);
      continue;
    }
    const e = load<u8>(ptr, 1);
    if (e != 0x75) {
      to.byte(e == 0x62 ? 8 : e == 0x66 ? 12 : e == 0x6e ? 10 : e == 0x72 ? 13 : e == 0x74 ? 9 : e);
      ptr += 2;
      continue;
    }
    let r = hex4(ptr);
    ptr += 6;
    if ((r & 0xfc00) == 0xd800 && <isize>(end - ptr) >= 6 && load<u16>(ptr) == 0x755c) {
      const low = hex4(ptr);
      if ((low & 0xfc00) == 0xdc00) {
        r = 0x10000 + ((r & 0x3ff) << 10 | low & 0x3ff);
        ptr += 6;
      }
    }
    addRune(to, (r & 0xfffff800) == 0xd800 ? 0xfffd : <u32>r);
  }
}

function addRune(to: Buffer, r: u32): void {
  if (r < 0x80) {
    to.byte(<u8>r);
  } else if (r < 0x800) {
    to.byte(<u8>(0xc0 | r >> 6)).byte(<u8>(0x80 | r & 0x3f));
  } else if (r < 0x10000) {
    to.byte(<u8>(0xe0 | r >> 12)).byte(<u8>(0x80 | r >> 6 & 0x3f)).byte(<u8>(0x80 | r & 0x3f));
  } else {
    to.byte(<u8>(0xf0 | r >> 18)).byte(<u8>(0x80 | r >> 12 & 0x3f)).byte(<u8>(0x80 | r >> 6 & 0x3f)).byte(<u8>(0x80 | r & 0x3f));
  }
}

const spare: Buffer = new Buffer(); // of a string that has to be escaped

/**
 * Writes JSON into a buffer of its own. Make it once, in a variable of the module, and begin
 * anew with reset(). Strings are written as RFC 8785 has them (which is what JSON.stringify
 * does), without blanks; so the same value always has the same bytes.
 */
export class JsonWriter extends Buffer {
  private comma: bool = false; // one is due before the next value
  private objects: u64 = 0; // a bit for each open list, the innermost lowest: 1 is an object
  private depth: i32 = 0;

  reset(): this {
    super.reset();
    this.comma = false;
    this.depth = 0;
    return this;
  }

  /** Opens an object, at most 64 deep. Close it with end(). */
  object(): this { return this.open(0x7b, 1); }

  /** Opens an array, at most 64 deep. Close it with end(). */
  array(): this { return this.open(0x5b, 0); }

  /** Closes the innermost object or array. */
  end(): this {
    if (this.depth == 0) throw new Error("JsonWriter.end: nothing is open");
    this.byte(this.objects & 1 ? 0x7d : 0x5d);
    this.objects >>= 1;
    this.depth--;
    this.comma = true;
    return this;
  }

  /** The name of the next value of an object. */
  field<T>(name: T): this {
    this.string(name).byte(0x3a);
    this.comma = false;
    return this;
  }

  /** A string, of a string or a `Text`. */
  string<T>(value: T): this {
    this.separate();
    if (isString<T>()) {
      // UTF-8 first; what is not plain in it is then written again.
      this.byte(0x22);
      const from = this.length;
      this.add(value);
      const end = this.ptr + this.length, plain = plainEnd(this.ptr + from, end, false);
      if (plain != end) {
        spare.reset();
        quote(spare, plain, end);
        this.length = <i32>(plain - this.ptr);
        this.add(<Text>spare);
      }
    } else {
      const text = changetype<Text>(value);
      this.reserve(text.length + 2);
      this.byte(0x22);
      quote(this, text.ptr, text.ptr + text.length);
    }
    this.byte(0x22);
    this.comma = true;
    return this;
  }

  /** A whole number. */
  int(value: i64): this {
    this.separate();
    super.int(value);
    this.comma = true;
    return this;
  }

  /** A number, as decimal text that reads as the same number again; not NaN and not infinite. */
  float(value: f64): this {
    if (!isFinite(value)) throw new RangeError("JsonWriter.float: " + value.toString() + " is no number in JSON");
    const text = value == 0 ? "0" : value.toString();
    return this.raw(text.endsWith(".0") ? text.slice(0, -2) : text);
  }

  /** true or false. */
  bool(value: bool): this { return this.raw(value ? "true" : "false"); }

  /** null. */
  null(): this { return this.raw("null"); }

  /** A value that is JSON already. */
  raw<T>(json: T): this {
    this.separate();
    this.add(json);
    this.comma = true;
    return this;
  }

  private open(bracket: u8, bit: u64): this {
    if (this.depth == 64) throw new Error("JsonWriter: more than 64 objects and arrays in each other");
    this.separate();
    this.byte(bracket);
    this.objects = this.objects << 1 | bit;
    this.depth++;
    this.comma = false;
    return this;
  }

  // @ts-ignore: decorator
  @inline
  private separate(): void {
    if (this.comma) this.byte(0x2c);
  }
}

/** Appends UTF-8 as what stands between the quotes. Bytes that are none become U+FFFD. */
function quote(to: Buffer, p: usize, end: usize): void {
  while (p < end) {
    const run = p;
    p = plainEnd(p, end, true);
    if (p != run) to.addBytes(run, <i32>(p - run));
    if (p == end) return;
    const c = load<u8>(p);
    if (c < 0x80) {
      escape(to, c);
      p++;
      continue;
    }
    const n = sequenceLength(p, <i32>(end - p));
    if (n == 0) addRune(to, 0xfffd);
    else to.addBytes(p, n);
    p += max(n, 1);
  }
}

function escape(to: Buffer, c: u8): void {
  to.byte(0x5c);
  switch (c) {
    case 0x22: case 0x5c: to.byte(c); return;
    case 0x08: to.byte(0x62); return;
    case 0x09: to.byte(0x74); return;
    case 0x0a: to.byte(0x6e); return;
    case 0x0c: to.byte(0x66); return;
    case 0x0d: to.byte(0x72); return;
  }
  to.add("u00").byte(c >= 0x10 ? 0x31 : 0x30);
  const low = c & 15;
  to.byte(low < 10 ? 0x30 + low : 0x57 + low);
}
