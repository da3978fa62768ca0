import { codeText, inputRead, outputWrite } from "./host";
import { current, fail } from "./fail";
import { Event, eachEvent } from "./event";
import { Buffer, Text, bytesOf } from "./text";

class registered {
  static handle: ((event: Event, out: Upcast) => void) | null = null;
}

/**
 * Registers the handler of an upcaster, a module that turns old events into new ones before
 * projections see them; it must export `upcast`, too. For each event it writes to out what
 * projections get instead: one event, several, or nothing. There is no state.
 */
export function onUpcast(handle: (event: Event, out: Upcast) => void): void {
  if (registered.handle) throw new Error("onUpcast is called twice");
  registered.handle = handle;
}

const output: Buffer = new Buffer();
const subjectBytes: Buffer = new Buffer();
const dataBytes: Buffer = new Buffer();
const headerBytes: Buffer = new Buffer();

/** What becomes of an event. */
export class Upcast {
  private event: Event | null = null;

  of(event: Event): this {
    this.event = event;
    return this;
  }

  /** Hands the event on as it is. */
  keep(): void {
    const event = this.event!;
    record(event, event.subject, event.headers, event.data);
  }

  /**
   * Hands another event on in its place, with the event's own headers; type replaces the
   * ce-type header, unless it is empty. Subject and data are strings or `Text`.
   */
  put<S, D>(subject: S, data: D, type: string = ""): void {
    const event = this.event!;
    let headers = event.headers;
    if (type != "") headers = withType(headers, type);
    record(event, bytesOf(subject, subjectBytes), headers, bytesOf(data, dataBytes));
  }
}

const out: Upcast = new Upcast();

/** What the host calls with events. */
export function upcast(): i32 {
  if (!registered.handle) {
    fail("the module exports upcast, but does not call onUpcast");
    return 1;
  }
  output.reset();
  eachEvent(inputRead, (event) => { registered.handle!(event, out.of(event)); });
  const code = outputWrite(output.ptr, output.length);
  if (code < 0) fail("write events: " + codeText(code));
  return 0;
}

// withType replaces the ce-type header, or adds it in its place: headers are ordered by name.
function withType(headers: Text, type: string): Text {
  const name = "ce-type";
  const nameBytes = new Buffer().set(name), value = new Buffer().set(type);
  headerBytes.reset();
  let due = true;
  for (let at = 0; at < headers.length;) {
    const p = headers.ptr + at;
    const n = <i32>load<u16>(p), size = 4 + n + <i32>load<u16>(p, 2);
    const order = headers.slice(at + 4, at + 4 + n).compare(nameBytes);
    if (due && order >= 0) {
      addHeader(nameBytes, value);
      due = false;
    }
    if (order != 0) headerBytes.add(headers.slice(at, at + size));
    at += size;
  }
  if (due) addHeader(nameBytes, value);
  return headerBytes;
}

function addHeader(name: Text, value: Text): void {
  headerBytes.u16(name.length).u16(value.length).add(name).add(value);
}

function record(event: Event, subject: Text, headers: Text, data: Text): void {
  const length = 40 + subject.length + headers.length + data.length;
  const size = (length + 7) & ~7;
  output.reserve(size);
  const p = output.ptr + output.length;
  memory.fill(p, 0, size);
  store<u32>(p, size);
  store<u64>(p, event.sequence, 8);
  store<i64>(p, event.stored, 16);
  store<u32>(p, subject.length, 24);
  store<u32>(p, headers.length, 28);
  store<u32>(p, data.length, 32);
  output.length += 40;
  output.add(subject).add(headers).add(data);
  output.length = <i32>(p - output.ptr) + size;
}
