import { NOT_FOUND, blobRead, blobWrite, codeText } from "./host";
import { current, fail } from "./fail";
import { Buffer, Text, fill } from "./text";

class registered {
  static save: ((out: Buffer) => void) | null = null;
  static load: ((from: Text) => void) | null = null;
}

const BLOB = 512 << 10; // bytes of a snapshot that are written at a time

/**
 * Registers the two halves of a snapshot, once, at the top level of a module that keeps state
 * in its own memory; it must export `snapshot` and `restore`, too. save appends all that the
 * variables hold of the events so far: the same state must always be the same bytes. load
 * replaces what they hold by what save wrote. Neither has the keyspace.
 */
export function onSnapshot(save: (out: Buffer) => void, load: (from: Text) => void): void {
  if (registered.save) throw new Error("onSnapshot is called twice");
  registered.save = save;
  registered.load = load;
}

function missing(): i32 {
  fail("the module exports snapshot and restore, but does not call onSnapshot");
  return 1;
}

/** What the host calls for a snapshot of the memory. */
export function snapshot(): i32 {
  current.event = -1;
  const save = registered.save;
  if (!save) return missing();
  const out = new Buffer();
  save(out);
  for (let at = 0; at < out.length; at += BLOB) {
    const code = blobWrite(out.ptr + at, min(BLOB, out.length - at));
    if (code < 0) fail("write snapshot: " + codeText(code));
  }
  return 0;
}

/** What the host calls with a snapshot. */
export function restore(): i32 {
  current.event = -1;
  const handle = registered.load;
  if (!handle) return missing();
  const from = new Buffer();
  let n: i32 = 0;
  while (n >= 0) n = fill(from, blobRead);
  if (n != NOT_FOUND) fail("read snapshot: " + codeText(n));
  handle(from);
  return 0;
}
