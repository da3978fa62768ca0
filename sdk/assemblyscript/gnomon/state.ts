import { NOT_FOUND, TOO_LARGE, codeText, stateDelete, stateGet, statePut, stateScan } from "./host";
import { fail } from "./fail";
import { JsonObject, JsonWriter } from "./json";
import { Buffer, Text, bytesOf } from "./text";

/**
 * A value that is kept as JSON: what `load` and `store` work on. read takes its fields from an
 * object, write writes all of them, each time in the same order.
 */
export interface Value {
  read(json: JsonObject): void;
  write(json: JsonWriter): void;
}

const keyBytes: Buffer = new Buffer();
const valueBytes: Buffer = new Buffer();
const got: Buffer = new Buffer();
const object: JsonObject = new JsonObject();
const writer: JsonWriter = new JsonWriter();
let writes: u64 = 0; // so far: a scan must not see some of them
let sparePage: Buffer | null = null; // of the last scan that came to its end, for the next one

/**
 * The part of the state that reads. Keys are strings or `Text`, 1 to 64,000 bytes. What the
 * host refuses fails the event, or the request, with a text that names the key.
 */
export class Reader {
  /** A key's value, null when it is absent. It is valid until the next call of get, has or load. */
  get<K>(key: K): Text | null {
    return read(bytesOf(key, keyBytes)) ? got : null;
  }

  /** Whether a key is present. */
  has<K>(key: K): bool {
    return read(bytesOf(key, keyBytes));
  }

  /** Reads a key's value, which is JSON, into a `Value`. False, and nothing read, when it is absent. */
  load<K, V>(key: K, into: V): bool {
    const k = bytesOf(key, keyBytes);
    if (!read(k)) return false;
    object.open(got, "value of a key");
    into.read(object);
    return true;
  }

  /**
   * The keys that have a prefix and are greater than after, in the order of their bytes:
   * `for (const rows = state.scan("account\t"); rows.next(); ) { … rows.key, rows.value … }`.
   * The state cannot be written while a scan goes on.
   */
  scan<P>(prefix: P, after: string = ""): Scan {
    const scan = new Scan();
    scan.prefix.set(prefix);
    scan.last.set(after);
    return scan;
  }
}

/** The projection's keyspace: what was committed, and what this and earlier events wrote. */
export class State extends Reader {
  /** Sets a key's value, up to 1 MiB. Both are strings or `Text`, and are copied. An empty value is a value. */
  put<K, V>(key: K, value: V): void {
    write(bytesOf(key, keyBytes), bytesOf(value, valueBytes));
  }

  /** Removes a key. It may be absent. */
  delete<K>(key: K): void {
    writes++;
    const k = bytesOf(key, keyBytes);
    const code = stateDelete(k.ptr, k.length);
    if (code < 0) refuse("delete", k, code);
  }

  /** Sets a key's value to the JSON of a `Value`. */
  store<K, V>(key: K, value: V): void {
    writer.reset();
    value.write(writer);
    write(bytesOf(key, keyBytes), writer);
  }
}

/** A walk over keys. */
export class Scan {
  prefix: Buffer = new Buffer();
  last: Buffer = new Buffer();
  private page: Buffer = takePage();
  private at: i32 = 0;
  private ended: bool = false; // and the page is another scan's
  private began: u64 = writes;
  private keyText: Text = new Text();
  private valueText: Text = new Text();

  /** The key that next came to. Valid until the next call of it. */
  get key(): Text { return this.keyText; }

  /** Its value. */
  get value(): Text { return this.valueText; }

  /** Goes to the next key. False when there is none. */
  next(): bool {
    if (this.ended) return false;
    if (this.began != writes) fail("scan \"" + shown(this.prefix) + "\": the state was written during the scan: collect the keys, and write after it");
    if (this.at == this.page.length && !this.readPage()) return false;
    const p = this.page.ptr + this.at;
    const k = load<i32>(p), v = load<i32>(p, 4);
    this.keyText.show(p + 8, k);
    this.valueText.show(p + 8 + k, v);
    this.at += 8 + k + v;
    return true;
  }

  private readPage(): bool {
    if (this.page.length > 0) this.last.set(this.keyText);
    this.at = 0;
    const page = this.page.reset();
    let r = readRows(this.prefix, this.last, page);
    if (r == TOO_LARGE && page.capacity < ENTRY) {
      page.reserve(ENTRY);
      r = readRows(this.prefix, this.last, page);
    }
    if (r < 0) refuse("scan", this.prefix, <i32>r);
    page.length = <i32>r; // the count is in the upper half
    if (r != 0) return true;
    this.ended = true;
    sparePage = page;
    return false;
  }
}

const PAGE = 16 << 10; // bytes
const ENTRY = 64000 + (1 << 20) + 4096; // bytes, enough for any entry

function takePage(): Buffer {
  const spare = sparePage;
  if (spare) {
    sparePage = null;
    return spare.reset();
  }
  const page = new Buffer();
  page.reserve(PAGE);
  return page;
}

function readRows(prefix: Text, after: Text, page: Buffer): i64 {
  return stateScan(prefix.ptr, prefix.length, after.ptr, after.length, 0, page.ptr, page.capacity);
}

function read(key: Text): bool {
  let n = stateGet(key.ptr, key.length, got.ptr, got.capacity);
  while (n > got.capacity) {
    got.reset().reserve(n);
    n = stateGet(key.ptr, key.length, got.ptr, got.capacity);
  }
  if (n >= 0) {
    got.length = n;
    return true;
  }
  if (n != NOT_FOUND) refuse("get", key, n);
  return false;
}

function write(key: Text, value: Text): void {
  writes++;
  const code = statePut(key.ptr, key.length, value.ptr, value.length);
  if (code < 0) refuse("put", key, code);
}

function refuse(op: string, key: Text, code: i32): void {
  fail(op + " \"" + shown(key) + "\": " + codeText(code));
}

// shown is as much of a key as an error shows.
function shown(key: Text): string {
  return key.length <= 100 ? key.toString() : key.slice(0, 100).toString() + "…";
}
