// The exerciser in JavaScript: sdk/same_test.go says what it does.
export const settings = { name: "none", n: 7, flag: false };

export function onEvent(event, state) {
  if (event.type === "json") return fields(event, state);
  if (event.type === "settings") return state.put("settings", `${settings.name}|${settings.n}|${settings.flag}`);
  operations(event, state);
}

function joined(pieces) {
  const all = new Uint8Array(pieces.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of pieces) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

// operations does what the event's data says: {u8 operation, u32 length of a, u32 length of b, a, b}*.
function operations(event, state) {
  const bytes = event.bytes, view = new DataView(bytes.buffer, bytes.byteOffset), trace = [];
  for (let p = 0; p < bytes.length; ) {
    const op = String.fromCharCode(bytes[p]);
    const a = p + 9, b = a + view.getUint32(p + 1, true), end = b + view.getUint32(p + 5, true);
    const said = operation(event, state, op, utf8.decode(bytes.slice(a, b)), bytes.slice(b, end));
    if (said !== undefined) trace.push(utf8.encode(said));
    p = end;
  }
  state.put("trace\t" + event.sequence, joined(trace));
}

function operation(event, state, op, a, b) {
  switch (op) {
    case "p":
      return state.put(a, b);
    case "d":
      return state.delete(a);
    case "c": {
      const value = state.getBytes(a);
      if (value === undefined) return state.delete(utf8.decode(b));
      state.put(utf8.decode(b), value);
      return value.length + ";";
    }
    case "s":
    case "S":
      return scan(state, op === "S", a, utf8.decode(b));
    case "e": {
      const headers = [];
      for (let i = 1; i < b.length; i++) headers.push(["h" + (i % 5), b[i] % 2 ? a : ""]);
      return emit(a, b, headers);
    }
    case "l":
      return log[["debug", "info", "warn", "error"][b[0]]](a);
    case "h":
      return (event.header(a) ?? "") + ";";
    case "t":
      return event.token(b[0]) + ";";
    case "q":
      return JSON.stringify(a);
    case "v":
      return `${event.subject};${event.key};${event.id}`;
  }
  if (op === "x") fault(a);
  throw new Error(a);
}

// fault ends the call by an exception of the language, or by having no more memory or stack.
function fault(kind) {
  const hoard = [];
  while (kind === "memory") hoard.push(new Uint8Array(1 << 20));
  const deep = (n) => deep(n + 1) + 1;
  if (kind === "stack") deep(0);
  return undefined.length;
}

function hash(h, bytes, most = Infinity) {
  for (let i = 0; i < bytes.length && i < most; i++) h = Math.imul(h ^ bytes[i], 16777619);
  return h >>> 0;
}

// scan reads other keys meanwhile.
function scan(state, stop, prefix, after) {
  let count = 0, inner = 0, size = 0, h = 2166136261;
  for (const [key, value] of state.scanBytes(prefix, after)) {
    if (count % 50 === 0) {
      inner += state.getBytes(key).length;
      for (const _ of state.scanBytes(key)) inner++;
    }
    count++;
    size += value.length;
    h = hash(hash(h, utf8.encode(key)), value, 1000);
    if (stop && count === 3) break;
  }
  return `${count};${inner};${size};${h};`;
}

// fields reads the data's fields as the host found them, and itself.
function fields(event, state) {
  for (const name of ["s", "n", "é\n", "absent"]) keep(state, event.sequence + "\tfield\t" + name, event.string(name) ?? event.int(name));
  const { s, n } = event.data;
  keep(state, event.sequence + "\town\ts", s);
  keep(state, event.sequence + "\town\tn", n);
}

function keep(state, key, value) {
  if (Number.isInteger(value) && Math.abs(value) <= 2 ** 53) return state.put(key, String(value));
  if (typeof value !== "string") return state.put(key, "-");
  value = value.toWellFormed(); // halves of surrogate pairs are refused
  state.put(key, value);
  state.put(key + "\tquoted", JSON.stringify(value));
}

// migrate rewrites the rows of an older state.
export function migrate(from, state) {
  if (from === 9) throw new Error("said: no schema 9");
  const rows = [...state.scanBytes("row\t")];
  for (const [key, value] of rows) {
    if (value.length === 0) state.delete(key);
    else state.put(key, joined([utf8.encode(String(from)), value]));
  }
  state.put("migrated", String(rows.length));
}

export function query(request, state) {
  const text = utf8.decode(request.bytes);
  if (text === "large") return new Uint8Array((1 << 20) + 1);
  if (text === "fail") throw new Error("no\0é");
  const value = state.getBytes(text);
  if (value === undefined) throw new Error("absent");
  return joined([utf8.encode("="), value]);
}
