import { failEvent } from "./host";
import { Buffer } from "./text";

/** What the calls of a module share. */
export class current {
  /** The place in its batch of the event that is being handled; -1: none is. */
  static event: i32 = -1;
}

/**
 * Ends the handler: the event fails with this text, and what it wrote is taken back.
 * The engine adds the sequence of the event. Nothing after it runs.
 *
 * `throw new Error(text)` fails as well, and adds file and line.
 */
export function fail(text: string): void {
  const said = new Buffer().set(text);
  failEvent(current.event, said.ptr, said.length);
  unreachable();
}

/** What the compiler calls for throw, and for faults such as an index out of range. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const said = new Buffer().set(message ? message : "abort");
  if (file) said.add(" (").add(file).add(":").int(line).add(":").int(column).add(")");
  failEvent(current.event, said.ptr, said.length);
  unreachable();
}
