import { codeText, emitEvent } from "./host";
import { current, fail } from "./fail";
import { Buffer, Text, bytesOf } from "./text";

const subjectBytes: Buffer = new Buffer();
const dataBytes: Buffer = new Buffer();
const headerBytes: Buffer = new Buffer();
const piece: Buffer = new Buffer();

/**
 * Stages an event that is published, once, when the one being handled is committed.
 * Subject and data are strings or `Text`. Headers are pairs of name and value, each shorter
 * than 64 KiB; names that begin with `Nats-` or `Gnomon-` are reserved. The configuration
 * says which subjects may be emitted to: another one fails the event, once the handler
 * has returned.
 */
export function emit<S, D>(subject: S, data: D, headers: string[] | null = null): void {
  const to = bytesOf(subject, subjectBytes);
  const body = bytesOf(data, dataBytes);
  headerBytes.reset();
  if (headers) addHeaders(headers);
  const code = emitEvent(current.event, to.ptr, to.length, headerBytes.ptr, headerBytes.length, body.ptr, body.length);
  if (code < 0) fail("emit " + to.toString() + ": " + codeText(code));
}

function addHeaders(pairs: string[]): void {
  if (pairs.length % 2 != 0) fail("emit: headers must be pairs of name and value");
  for (let i = 0; i < pairs.length; i += 2) {
    const name = piece.set(pairs[i]).length;
    const value = piece.add(pairs[i + 1]).length - name;
    if (name > 0xffff || value > 0xffff) fail("emit: header " + pairs[i].slice(0, 100) + ": name and value must be shorter than 64 KiB");
    headerBytes.u16(name).u16(value).add(<Text>piece);
  }
}
