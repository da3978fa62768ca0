import { codeText, inputRead, outputWrite } from "./host";
import { current, fail } from "./fail";
import { JsonWriter } from "./json";
import { Reader } from "./state";
import { Buffer, Text, fill } from "./text";

class registered {
  static answer: ((request: Text, state: Reader, answer: JsonWriter) => void) | null = null;
}

const state: Reader = new Reader();
const request: Buffer = new Buffer();
const answer: JsonWriter = new JsonWriter();

/**
 * Registers the handler of requests, once, at the top level of the module, which must export
 * `query`, too. Request and answer have at most 1 MiB each. What is written to answer, JSON
 * or other bytes, is the answer; the text of fail is what the client is told instead. It may
 * read the state, and must keep nothing of it in variables.
 */
export function onRequest(handle: (request: Text, state: Reader, answer: JsonWriter) => void): void {
  if (registered.answer) throw new Error("onRequest is called twice: a module has one handler of requests");
  registered.answer = handle;
}

/** What the host calls with a request. */
export function query(): i32 {
  current.event = -1;
  const handle = registered.answer;
  if (!handle) {
    fail("the module exports query, but does not call onRequest");
    return 1;
  }
  const n = fill(request.reset(), inputRead);
  if (n < 0) fail("read request: " + codeText(n));
  handle(request, state, answer.reset());
  const code = outputWrite(answer.ptr, answer.length);
  if (code < 0) fail("write answer: " + codeText(code));
  return 0;
}
