// Bytes, which are UTF-8 where they are text: what the host gives and takes. A string of
// AssemblyScript is UTF-16 in memory of its own, so each one that is made of bytes costs
// an allocation and a conversion; what stays bytes costs neither.

/** A view of bytes. Where it comes from says how long it is valid. */
export class Text {
  constructor(
    /** Where the bytes are in memory. */
    public ptr: usize = 0,
    /** How many there are. */
    public length: i32 = 0,
  ) {}

  /** The text as a string, which may be kept. Bytes that are not UTF-8 become U+FFFD. */
  toString(): string {
    return decode(this.ptr, this.length);
  }

  /** Whether the bytes are those of a string, or of another text. */
  equals<T>(other: T): bool {
    if (isString<T>()) return equalsString(this.ptr, this.length, changetype<string>(other));
    const text = changetype<Text>(other);
    return this.length == text.length && memory.compare(this.ptr, text.ptr, text.length) == 0;
  }

  /** Less than, equal to or greater than zero, by the order of bytes: that of keys. */
  compare(other: Text): i32 {
    const order = memory.compare(this.ptr, other.ptr, min(this.length, other.length));
    return order != 0 ? order : this.length - other.length;
  }

  /** The byte at an index from 0. */
  @operator("[]")
  byteAt(index: i32): u8 {
    if (<u32>index >= <u32>this.length) throw new RangeError("byte " + index.toString() + " of " + this.length.toString());
    return load<u8>(this.ptr + index);
  }

  /** The bytes from start up to, and without, end: a view that is valid as long as this one. */
  slice(start: i32, end: i32 = i32.MAX_VALUE): Text {
    start = min(max(start, 0), this.length);
    end = min(max(end, start), this.length);
    return new Text(this.ptr + start, end - start);
  }

  /** Lets the view show other bytes. */
  @inline
  show(ptr: usize, length: i32): this {
    this.ptr = ptr;
    this.length = length;
    return this;
  }
}

/**
 * Bytes that grow at their end, in memory of their own. Make it once, in a variable of the
 * module, and begin anew with reset(): then nothing is allocated for an event.
 */
export class Buffer extends Text {
  private store: StaticArray<u8> = new StaticArray<u8>(64);

  constructor() {
    super();
    this.ptr = changetype<usize>(this.store);
  }

  /** Bytes that there is room for. */
  @inline
  get capacity(): i32 { return this.store.length; }

  /** Forgets the bytes. */
  reset(): this {
    this.length = 0;
    return this;
  }

  /** Makes room for so many bytes more. What views show of the buffer is then no longer valid. */
  reserve(more: i32): void {
    const need = <i64>this.length + more;
    if (need <= this.store.length) return;
    if (need > <i64>1 << 30) throw new RangeError("a buffer of more than 1 GiB");
    const grown = new StaticArray<u8>(<i32>max<i64>(need, min<i64>(2 * <i64>this.store.length, 1 << 30)));
    memory.copy(changetype<usize>(grown), this.ptr, this.length);
    this.store = grown;
    this.ptr = changetype<usize>(grown);
  }

  /** Appends a string, as UTF-8, or the bytes of a text. Halves of surrogate pairs become U+FFFD. */
  add<T>(text: T): this {
    if (isString<T>()) {
      const s = changetype<string>(text);
      this.reserve(3 * s.length);
      this.length += encode(s, this.ptr + this.length);
    } else {
      const t = changetype<Text>(text);
      this.addBytes(t.ptr, t.length);
    }
    return this;
  }

  /** Appends the bytes at an address that is not in the buffer. */
  addBytes(ptr: usize, length: i32): this {
    this.reserve(length);
    memory.copy(this.ptr + this.length, ptr, length);
    this.length += length;
    return this;
  }

  /** Replaces the bytes by those of a string or a text. */
  set<T>(text: T): this {
    return this.reset().add(text);
  }

  /** Appends one byte. */
  @inline
  byte(b: u8): this {
    if (this.length == this.store.length) this.reserve(1);
    store<u8>(this.ptr + this.length++, b);
    return this;
  }

  /** Appends a number in decimal. */
  int(n: i64): this {
    this.reserve(20);
    if (n < 0) store<u8>(this.ptr + this.length++, 0x2d); // -
    let rest: u64 = n < 0 ? 0 - <u64>n : <u64>n;
    let digits = 1;
    for (let r = rest; r >= 10; r /= 10) digits++;
    for (let at = this.ptr + this.length + digits; digits > 0; digits--, this.length++) {
      store<u8>(--at, <u8>(0x30 + rest % 10));
      rest /= 10;
    }
    return this;
  }

  /** Appends a number of two bytes, little-endian. */
  u16(n: u32): this {
    this.reserve(2);
    store<u16>(this.ptr + this.length, <u16>n);
    this.length += 2;
    return this;
  }
}

/** The bytes of a string or a text; those of a string in scratch, which the caller lends. */
// @ts-ignore: decorator
@inline
export function bytesOf<T>(value: T, scratch: Buffer): Text {
  if (isString<T>()) return scratch.set(changetype<string>(value));
  return value as Text;
}

/** Appends what read gives, a function of the host, at the end of a buffer. Returns a code, or the length. */
export function fill(buffer: Buffer, read: (buf: usize, cap: i32) => i32): i32 {
  let n = read(buffer.ptr + buffer.length, buffer.capacity - buffer.length);
  while (n > buffer.capacity - buffer.length) {
    buffer.reserve(n + n / 4); // a quarter more, so that a slowly growing answer is not read twice each time
    n = read(buffer.ptr + buffer.length, buffer.capacity - buffer.length);
  }
  if (n > 0) buffer.length += n;
  return n;
}

/** Writes a string as UTF-8, of at most 3 bytes for each of its units, and returns the length. */
function encode(s: string, to: usize): i32 {
  let out = to;
  const end = changetype<usize>(s) + (<usize>s.length << 1);
  for (let at = changetype<usize>(s); at < end; at += 2) {
    // Four of ASCII at a time, as most are.
    while (at + 8 <= end) {
      let units = load<u64>(at);
      if ((units & 0xff80ff80ff80ff80) != 0) break;
      units = (units | units >> 8) & 0x0000ffff0000ffff;
      store<u32>(out, <u32>(units | units >> 16));
      at += 8;
      out += 4;
    }
    if (at >= end) break;
    let c = <u32>load<u16>(at);
    if (c < 0x80) {
      store<u8>(out++, c);
      continue;
    }
    if (c < 0x800) {
      store<u8>(out, 0xc0 | c >> 6);
      store<u8>(out + 1, 0x80 | c & 0x3f);
      out += 2;
      continue;
    }
    if ((c & 0xf800) == 0xd800) {
      const low = at + 2 < end ? <u32>load<u16>(at + 2) : 0;
      if (c < 0xdc00 && (low & 0xfc00) == 0xdc00) {
        c = 0x10000 + ((c & 0x3ff) << 10 | low & 0x3ff);
        store<u8>(out, 0xf0 | c >> 18);
        store<u8>(out + 1, 0x80 | c >> 12 & 0x3f);
        store<u8>(out + 2, 0x80 | c >> 6 & 0x3f);
        store<u8>(out + 3, 0x80 | c & 0x3f);
        out += 4;
        at += 2;
        continue;
      }
      c = 0xfffd;
    }
    store<u8>(out, 0xe0 | c >> 12);
    store<u8>(out + 1, 0x80 | c >> 6 & 0x3f);
    store<u8>(out + 2, 0x80 | c & 0x3f);
    out += 3;
  }
  return <i32>(out - to);
}

/** The length of the UTF-8 sequence at ptr, of which left bytes are there; 0 when it is none. */
export function sequenceLength(ptr: usize, left: i32): i32 {
  const b = <u32>load<u8>(ptr);
  if (b < 0x80) return 1;
  // The bounds of the second byte exclude forms that are too long, surrogates, and what is above U+10FFFF.
  let length = 2, low: u32 = 0x80, high: u32 = 0xbf;
  if (b < 0xc2 || b > 0xf4) return 0;
  if (b >= 0xf0) {
    length = 4;
    if (b == 0xf0) low = 0x90;
    if (b == 0xf4) high = 0x8f;
  } else if (b >= 0xe0) {
    length = 3;
    if (b == 0xe0) low = 0xa0;
    if (b == 0xed) high = 0x9f;
  }
  if (left < length) return 0;
  const second = <u32>load<u8>(ptr, 1);
  if (second < low || second > high) return 0;
  for (let i = 2; i < length; i++) {
    if ((load<u8>(ptr + i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

/** The code point of the UTF-8 sequence at ptr, whose length is known. */
function codePoint(ptr: usize, length: i32): u32 {
  const b = <u32>load<u8>(ptr);
  if (length == 1) return b;
  let c = length == 2 ? b & 0x1f : length == 3 ? b & 0x0f : b & 0x07;
  for (let i = 1; i < length; i++) c = c << 6 | <u32>load<u8>(ptr + i) & 0x3f;
  return c;
}

function decode(ptr: usize, length: i32): string {
  if (length == 0) return "";
  const end = ptr + length;
  let plain = ptr;
  while (plain < end && load<u8>(plain) < 0x80) plain++;
  if (plain == end) return decodePlain(ptr, length);
  let units = 0;
  for (let at = ptr; at < end; units++) {
    const n = sequenceLength(at, <i32>(end - at));
    if (n == 4) units++;
    at += max(n, 1);
  }
  const made = __new(<usize>units << 1, idof<string>());
  let out = made;
  for (let at = ptr; at < end;) {
    const n = sequenceLength(at, <i32>(end - at));
    const c = n == 0 ? 0xfffd : codePoint(at, n);
    at += max(n, 1);
    if (c >= 0x10000) {
      store<u16>(out, 0xd800 | (c - 0x10000) >> 10);
      store<u16>(out, 0xdc00 | (c - 0x10000) & 0x3ff, 2);
      out += 4;
      continue;
    }
    store<u16>(out, c);
    out += 2;
  }
  return changetype<string>(made);
}

function decodePlain(ptr: usize, length: i32): string {
  const made = __new(<usize>length << 1, idof<string>());
  for (let i: usize = 0; i < <usize>length; i++) store<u16>(made + (i << 1), load<u8>(ptr + i));
  return changetype<string>(made);
}

/** Whether bytes are the UTF-8 of a string, without making another one. */
export function equalsString(ptr: usize, length: i32, s: string): bool {
  const units = s.length; // never more than there are bytes
  if (length < units) return false;
  let at: usize = 0;
  for (; at + 4 <= <usize>units; at += 4) {
    let four = load<u64>(changetype<usize>(s) + (at << 1));
    if ((four & 0xff80ff80ff80ff80) != 0) return decode(ptr, length) == s;
    four = (four | four >> 8) & 0x0000ffff0000ffff;
    if (load<u32>(ptr + at) != <u32>(four | four >> 16)) return false;
  }
  for (; at < <usize>units; at++) {
    const c = <u32>load<u16>(changetype<usize>(s) + (at << 1));
    if (c >= 0x80) return decode(ptr, length) == s;
    if (load<u8>(ptr + at) != c) return false;
  }
  return length == units;
}

const ONES: u64 = 0x0101010101010101;
const HIGH: u64 = 0x8080808080808080;

/**
 * Where the first byte is that stands not for itself between the quotes of a JSON string: a
 * quote, a backslash or a control character; with ascii also one that is not ASCII. end when
 * there is none.
 */
export function plainEnd(p: usize, end: usize, ascii: bool): usize {
  // Eight at a time: a byte of x that is zero, or less than 0x20, sets its high bit. It may
  // set that of a byte above it, too, which then is looked at by itself.
  while (p + 8 <= end) {
    const x = load<u64>(p);
    const quote = x ^ ONES * 0x22, backslash = x ^ ONES * 0x5c;
    let special = (quote - ONES) & ~quote | (backslash - ONES) & ~backslash | (x - ONES * 0x20) & ~x;
    if (ascii) special |= x;
    if ((special & HIGH) != 0) break;
    p += 8;
  }
  for (; p < end; p++) {
    const c = load<u8>(p);
    if (c == 0x22 || c == 0x5c || c < 0x20 || ascii && c >= 0x80) break;
  }
  return p;
}
