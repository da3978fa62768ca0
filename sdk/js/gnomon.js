// The interface of projections in JavaScript, evaluated before every script:
// docs/authoring/javascript.md describes it. host has the functions of the contract, see
// runtime/host.c.
(function (host) {
  "use strict";

  const QUERY = 1, MEMORY = 2, EMIT = 4, UPCAST = 8, MIGRATE = 16; // flags of what the module has: attach.go
  const { get, getBytes, put, scan, scanBytes } = host;
  const remove = host.delete;
  const stringify = JSON.stringify, parse = JSON.parse;

  // ---- State -------------------------------------------------------------------------

  // A value is read, parsed and written at most once in a batch: entries keep it meanwhile.
  // What an event gets is all the same what the JSON of the value says, as it is in a batch
  // of its own: see settle.
  const CLEAN = 0, TEXT = 1, VALUE = 2, GONE = 3; // what is to be written: nothing, text, value, delete
  const NONE = Symbol("not parsed");

  class Entry {
    constructor(text) {
      this.text = text; // string or Uint8Array as stored, undefined when absent
      this.value = NONE; // what JSON says, once it was asked for
      this.write = CLEAN;
      this.used = false; // by the event under way: it is in used
      this.stored = false; // by the event under way
      this.hash = -1; // of the value, as the event before left it: see host.hash
    }
  }

  const entries = new Map();
  let used = []; // entries whose values the script has a hold of
  let readOnly = false;
  let keys = 0, bytes = 0; // that the event under way wrote; bytes: at most
  let writes = 0; // that the host was handed
  let dirty = false; // there is something to hand over

  // What the host would refuse must fail the event that wrote it, also when a later one of the
  // batch writes something else there: keys are looked at at once, and what may be too much is
  // handed over at the end of its event.
  const MAX_KEY = 64000, MAX_VALUE = 1 << 20, MAX_KEYS = 1000;

  function load(key) {
    let e = entries.get(key);
    if (e === undefined) entries.set(key, (e = new Entry(get(key))));
    return e;
  }

  function writable(key, op) {
    if (readOnly) throw new TypeError(op + " " + stringify(key) + ": a query reads the state, and cannot write it");
    if (typeof key !== "string" || (key === "" && op === "put")) throw new TypeError("a key must be a string that is not empty");
    let e = entries.get(key);
    if (e === undefined) {
      if (!key.isWellFormed()) throw new TypeError("a key has half of a surrogate pair, which UTF-8 cannot say");
      if (3 * key.length > MAX_KEY && host.encode(key).length > MAX_KEY)
        throw new RangeError(`${op} ${stringify(key.slice(0, 100))}: too large: a key may have ${MAX_KEY} bytes`);
      entries.set(key, (e = new Entry(undefined)));
    }
    keys++;
    dirty = true;
    return e;
  }

  function json(key, value) {
    const text = stringify(value);
    if (text === undefined) throw new TypeError("put " + stringify(key) + ": " + typeof value + " has no JSON");
    return text;
  }

  function parsed(key, text) {
    try {
      return parse(text);
    } catch (err) {
      throw new TypeError("the value of " + stringify(key) + " is no JSON (" + err.message + "): read it with get");
    }
  }

  function use(e, key) {
    if (e.used) return;
    e.used = true;
    used.push(key, e);
  }

  // settle has the values that an event used be what their JSON says, for the next event: one
  // that is not, such as a Date, or that the script keeps in a variable, is read anew.
  function settle() {
    if (used.length > 0) settleUsed();
    if (bytes > MAX_VALUE || keys > MAX_KEYS) flush();
    keys = bytes = 0;
  }

  function settleUsed() {
    const all = used;
    used = [];
    for (let i = 0; i < all.length; i += 2) {
      const key = all[i], e = all[i + 1];
      const stored = e.stored;
      e.used = e.stored = false;
      if (e.value === NONE) continue;
      const size = host.plain(e);
      const hash = size === 0 ? -2 : host.hash();
      if (!stored && hash !== e.hash) unchanged(key, e);
      if (size > 0) {
        if (e.write === VALUE) bytes += size;
        e.hash = hash;
        continue;
      }
      if (e.write === VALUE) {
        e.text = json(key, e.value);
        e.write = TEXT;
        bytes += 3 * e.text.length;
      }
      e.value = NONE;
    }
  }

  // unchanged throws when a value that was only read was changed. Of one that an event before
  // has stored there is no text to compare with: then its hash has told.
  function unchanged(key, e) {
    const now = e.write === VALUE ? undefined : stringify(e.value);
    if (now === undefined || (now !== e.text && now !== stringify(parse(e.text))))
      throw new TypeError("the value of " + stringify(key) + " was changed, and not stored: put it with putJSON, or change it in fold");
  }

  // flush hands to the host what was written.
  function flush() {
    if (!dirty) return;
    dirty = false;
    for (const [key, e] of entries) {
      if (e.write !== CLEAN) writes++;
      if (e.write === VALUE) put(key, (e.text = json(key, e.value)));
      else if (e.write === TEXT) put(key, e.text);
      else if (e.write === GONE) remove(key);
      e.write = CLEAN;
      e.stored = false;
    }
  }

  const state = Object.freeze({
    get(key) {
      const e = load(key);
      if (e.write === VALUE) return json(key, e.value);
      return typeof e.text === "object" ? host.decode(e.text) : e.text;
    },
    getBytes(key) {
      const e = entries.get(key);
      if (e === undefined) return getBytes(key);
      const v = e.write === VALUE ? json(key, e.value) : e.text;
      return typeof v === "string" ? host.encode(v) : v === undefined ? v : v.slice();
    },
    getJSON(key) {
      const e = load(key);
      if (e.value === NONE) {
        if (e.text === undefined) return undefined;
        if (typeof e.text === "object") e.text = host.decode(e.text);
        e.value = parsed(key, e.text);
        e.hash = -1;
      }
      if (typeof e.value === "object") use(e, key);
      return e.value;
    },
    has(key) {
      const e = entries.get(key);
      return e === undefined ? getBytes(key) !== undefined : e.write === VALUE || e.text !== undefined;
    },
    put(key, text) {
      if (typeof text !== "string" && !(text instanceof Uint8Array))
        throw new TypeError("put " + stringify(key) + ": a string or a Uint8Array is expected; putJSON writes other values");
      if (typeof text === "string" && !text.isWellFormed())
        throw new TypeError("put " + stringify(key) + ": the value has half of a surrogate pair, which UTF-8 cannot say");
      const e = writable(key, "put");
      e.text = typeof text === "string" ? text : text.slice();
      bytes += 3 * text.length;
      e.value = NONE;
      e.write = TEXT;
      e.stored = false;
    },
    putJSON(key, value) {
      if (value === undefined || typeof value === "function" || typeof value === "symbol") json(key, value);
      const e = writable(key, "put");
      e.value = value;
      e.write = VALUE;
      e.stored = true;
      use(e, key);
    },
    delete(key) {
      const e = writable(key, "delete");
      e.text = undefined;
      e.value = NONE;
      e.write = GONE;
      e.stored = false;
    },
    fold(key, initial, change) {
      if (typeof change !== "function") throw new TypeError("fold " + stringify(key) + ": a function is expected as third argument");
      let value = state.getJSON(key);
      if (value === undefined) value = parse(json(key, typeof initial === "function" ? initial() : initial));
      const next = change(value);
      if (next !== undefined) value = next;
      state.putJSON(key, value);
      return value;
    },
    *scan(prefix = "", after = "") {
      yield* pages(scan, prefix, after);
    },
    *scanBytes(prefix = "", after = "") {
      yield* pages(scanBytes, prefix, after);
    },
    *scanJSON(prefix = "", after = "") {
      for (const [key, text] of pages(scan, prefix, after)) yield [key, parsed(key, text)];
    },
  });

  // pages yields [key, value] in the order of the keys' bytes.
  function* pages(read, prefix, after) {
    if (!readOnly) flush();
    const began = writes;
    for (;;) {
      const page = read(prefix, after);
      if (page.length === 0) return;
      for (let i = 0; i < page.length; i += 2) {
        yield [page[i], page[i + 1]];
        if (writes !== began)
          throw new TypeError(`scan ${stringify(prefix)}: the state was written, and scanned again, during the scan: collect the keys, and write after it`);
      }
      after = page[page.length - 2];
    }
  }

  // ---- Emit and log ------------------------------------------------------------------

  function emit(subject, data = "", headers = undefined) {
    if (host.flags & UPCAST) throw new TypeError("an upcaster emits nothing: out.put hands on an event in place of the one that it was given");
    if (!(host.flags & EMIT)) throw new TypeError("this module has no emit: attach found no such word in the script");
    if (typeof data !== "string" && !(data instanceof Uint8Array)) data = json(subject, data);
    host.emit(subject, data, pairs(headers));
  }

  // pairs makes [name, value, …] of {name: value} or [[name, value], …].
  function pairs(headers) {
    const list = [];
    if (headers === undefined || headers === null) return list;
    for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers)) list.push(String(name), String(value));
    return list;
  }

  function line(args) {
    return args.map((a) => (typeof a === "string" ? a : a instanceof Error ? explain(a) : stringify(a) ?? String(a))).join(" ");
  }

  const levels = { debug: -4, info: 0, warn: 4, error: 8 };
  const log = {
    enabled(level) {
      if (!(level in levels)) throw new RangeError("log.enabled: one of debug, info, warn, error is expected");
      return host.logEnabled(levels[level]);
    },
  };
  for (const [name, level] of Object.entries(levels)) log[name] = (...args) => host.log(level, line(args));
  const console = { ...log, log: log.info };
  delete console.enabled;

  // ---- Errors ------------------------------------------------------------------------

  // explain is the text of a failure: the message of an Error that the script made; of
  // anything else also what it is and where.
  function explain(thrown) {
    if (!(thrown instanceof Error)) return "threw " + (typeof thrown === "string" ? stringify(thrown) : String(thrown));
    if (thrown.constructor === Error) return String(thrown.message);
    const at = place(thrown.stack);
    return `${thrown.name}: ${thrown.message}${at && ` (${at})`}`;
  }

  // place is the innermost place of a stack that is in the script.
  function place(stack) {
    for (const line of String(stack ?? "").split("\n")) {
      const found = /^\s*at (?:(\S+) \()?([^()\s]+:\d+(?::\d+)?)\)?$/.exec(line);
      if (found && !/^(gnomon|kurrentdb)\.js:/.test(found[2])) return found[1] && !found[1].startsWith("<") ? `${found[1]}, ${found[2]}` : found[2];
    }
    return "";
  }

  // ---- Settings ----------------------------------------------------------------------

  // configure replaces the defaults by what the configuration says.
  function configure(defaults, given, path) {
    for (const [name, value] of Object.entries(given)) {
      if (!Object.hasOwn(defaults, name)) {
        const known = Object.keys(defaults);
        throw new Error(`settings: ${path}${name} is not known: ${known.length ? "there are " + known.join(", ") : "there are none"}`);
      }
      const was = defaults[name];
      if (was === null || was === undefined) defaults[name] = value;
      else if (kind(was) !== kind(value)) throw new Error(`settings: ${path}${name} is ${stringify(value)}: ${kind(was)} is expected`);
      else if (kind(was) === "an object" && Object.keys(was).length > 0) configure(was, value, path + name + ".");
      else defaults[name] = value;
    }
  }

  function kind(v) {
    if (v === null) return "null";
    if (Array.isArray(v)) return "an array";
    return { string: "a string", number: "a number", boolean: "true or false", object: "an object" }[typeof v] ?? typeof v;
  }

  function freeze(v) {
    if (typeof v === "object" && v !== null) Object.values(v).forEach(freeze);
    return Object.freeze(v);
  }

  // ---- What is not there -------------------------------------------------------------

  function refuse(what, instead) {
    return () => {
      throw new Error(`${what} is not there: a projection gives the same result whenever it runs. ${instead}`);
    };
  }

  function withoutClocks() {
    const RealDate = Date;
    const now = refuse("the time of day", "Use event.time, the event's own time, or event.stored");
    function GnomonDate(...args) {
      if (args.length === 0 || new.target === undefined) now();
      return Reflect.construct(RealDate, args, new.target);
    }
    GnomonDate.prototype = RealDate.prototype;
    Object.defineProperties(GnomonDate, { name: { value: "Date" }, length: { value: 7 } });
    Object.assign(GnomonDate, { parse: RealDate.parse, UTC: RealDate.UTC, now });
    RealDate.prototype.constructor = GnomonDate;
    globalThis.Date = GnomonDate;
    Math.random = refuse("Math.random", "Make what must differ of event.id or event.sequence");
  }

  // ---- Upcasters ---------------------------------------------------------------------

  // What an upcaster writes what stands for an event to.
  const out = Object.freeze({
    keep() {
      host.keep();
    },
    put(subject, data = "", headers = undefined) {
      if (typeof data !== "string" && !(data instanceof Uint8Array)) data = json(subject, data);
      host.replace(subject, data, pairs(headers));
    },
  });

  // ---- Queries, snapshots and migrations ---------------------------------------------------------

  class Request {
    #bytes;
    constructor(bytes) {
      this.#bytes = bytes;
    }
    get bytes() {
      return this.#bytes;
    }
    get text() {
      return host.decode(this.#bytes);
    }
    // The request as JSON; undefined when it is empty.
    get data() {
      if (this.#bytes.length === 0) return undefined;
      try {
        return parse(this.text);
      } catch (err) {
        throw new Error("the request is no JSON: " + err.message);
      }
    }
  }

  // answer has a function answer the request with the state, which it can only read.
  async function answer(query) {
    entries.clear(); // of another request, to a state as of another event
    readOnly = true;
    const result = await query(new Request(host.input(true)), state);
    if (result === undefined) return;
    host.output(typeof result === "string" || result instanceof Uint8Array ? result : json("the answer", result));
  }

  async function save(snapshot) {
    host.writeBlob(json("the snapshot", await snapshot()));
  }

  async function bring(restore) {
    const pieces = [];
    for (let piece; (piece = host.blob(true)) !== undefined; ) pieces.push(piece);
    await restore(parse(host.join(pieces)));
  }

  // rewrite has a function rewrite a state of an older schema.
  async function rewrite(migrate, from) {
    await migrate(from, state);
    endBatch();
  }

  function endBatch() {
    settle();
    flush();
    entries.clear();
  }

  // ---- Start -------------------------------------------------------------------------

  function exported(script, name, flag) {
    const f = script[name];
    if (f !== undefined && typeof f !== "function") throw new TypeError(`${name} must be a function`);
    if (flag && (f !== undefined) !== Boolean(host.flags & flag))
      throw new TypeError(`write it as export function ${name}: otherwise it is not found when the script is attached`);
    return f;
  }

  // upcaster is what the runtime calls of a script that exports upcast.
  function upcaster(script) {
    return { onEvent: exported(script, "upcast", UPCAST), state: out, endBatch() {}, explain };
  }

  function projection(script) {
    const onEvent = exported(script, "onEvent");
    if (!onEvent) throw new TypeError("the script does not export onEvent: export function onEvent(event, state) { … }");
    exported(script, "upcast", UPCAST);
    const query = exported(script, "query", QUERY);
    const snapshot = exported(script, "snapshot", MEMORY);
    const restore = exported(script, "restore", MEMORY);
    const migrate = exported(script, "migrate", MIGRATE);
    return {
      onEvent,
      state,
      endEvent: settle,
      endBatch,
      explain,
      query: () => answer(query),
      snapshot: () => save(snapshot),
      restore: () => bring(restore),
      migrate: (from) => rewrite(migrate, from),
    };
  }

  // start takes what the script exports, and returns what the runtime calls.
  async function start(script) {
    const entry = host.flags & UPCAST ? upcaster(script) : projection(script);
    const settings = script.settings ?? {};
    if (kind(settings) !== "an object") throw new TypeError("settings must be an object of defaults");
    configure(settings, parse(host.config()), "");
    freeze(settings);
    const init = exported(script, "init");
    if (init) await init();
    return entry;
  }

  withoutClocks();
  const utf8 = Object.freeze({ encode: host.encode, decode: host.decode });
  Object.assign(globalThis, { emit, log, console, utf8 });
  return { host, start, explain, state, emit, log, endBatch, answer, freeze };
})
