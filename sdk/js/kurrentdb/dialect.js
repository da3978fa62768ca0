// Runs a script of KurrentDB's projection dialect as a projection of this engine.

/** What is going on: the settings, the event that is handled, and in which function of the script. */
class Context {
  constructor(settings, category) {
    this.settings = settings;
    this.event = null; // the engine's
    this.at = null; // where the event belongs: {stream, category, link}
    this.type = "";
    this.partition = "";
    this.category = category;
    this.current = null; // what the script is given of the event
    this.json = undefined; // whether its data is JSON, once it was asked for
    this.blank = undefined; // whether it has no data, or nothing but blanks, once it was asked for
    this.phase = "the script itself";
    this.newEvent = eventsOf(this);
    this.metadataHeader = place("metadata", settings.metadata, "header:NAME").header;
    if (this.metadataHeader === undefined) throw wrong("metadata", settings.metadata, "header:NAME");
    const n = settings.number;
    this.numberHeader = n === "" || n === "sequence" ? null : place("number", n, "header:NAME or sequence").header;
    if (this.numberHeader === undefined) throw wrong("number", n, "header:NAME or sequence");
  }

  /** begin makes an event the present one. */
  begin(event, at, type) {
    this.event = event;
    this.at = at;
    this.type = type;
    this.partition = "";
    this.json = undefined;
    this.blank = undefined;
    this.current = this.newEvent();
  }

  isJson() {
    if (this.json === undefined) {
      const type = this.event.header("content-type") || this.event.header("ce-datacontenttype");
      this.json = !type || /\bjson\b/i.test(type);
    }
    return this.json;
  }

  /** data is parsed once, and undefined when it is empty or no JSON. */
  data() {
    if (!this.isJson() || this.empty()) return undefined;
    try {
      return this.event.data;
    } catch (err) {
      throw new TypeError(`the event's data is no JSON: ${err.message}; where that is meant, a header content-type says so`);
    }
  }

  /** empty reports whether the event has no data, or nothing but blanks. */
  empty() {
    if (this.blank === undefined) {
      try {
        this.blank = blank(this.event.text);
      } catch {
        this.blank = false; // no UTF-8: who reads it is told
      }
    }
    return this.blank;
  }

  metadata() {
    return this.event.header(this.metadataHeader) || null;
  }

  /** linkNumber is the number by which a link names the event. */
  linkNumber() {
    if (this.at.link) return this.at.link.number;
    if (this.numberHeader === null) return this.event.sequence;
    const value = this.event.header(this.numberHeader);
    if (!/^\d{1,15}$/.test(value || "")) throw new Error(`the header ${this.numberHeader}, which settings.number names, is ${JSON.stringify(value)}: want a whole number`);
    return Number(value);
  }

  sequenceNumber() {
    if (this.settings.number === "") {
      throw refuse(
        "event.sequenceNumber",
        'JetStream numbers the events of all streams together; where an event has its number in its own stream, set number = "header:NAME", and where the number of all serves, number = "sequence"',
      );
    }
    return this.linkNumber();
  }
}

/** blank reports whether a text has nothing but blanks. */
function blank(text) {
  return text === "" || (text.charCodeAt(0) <= 32 && text.trim() === "");
}

/** The phase in which a script may emit. */
const handling = "a handler";

class Projection {
  constructor(definition, settings, api) {
    definition.check(settings);
    this.definition = definition;
    this.context = new Context(settings, definition.source.category);
    this.mapping = new Mapping(settings);
    this.states = new States(definition, this.context, api);
    this.output = this.context.output = new Output(definition, this.mapping, this.context, api.emit);
    this.deleted = new Set(deletedTypes(settings));
    this.any = definition.special.$any;
    this.allTypes = this.any !== undefined || definition.handlers.size === 0;
  }

  // Where something fails the instance is dropped, so nothing is put back in order.
  onEvent(event) {
    const found = this.mapping.of(event);
    const type = this.mapping.type(event, found.token);
    const handler = this.definition.handlers.get(type);
    const system = type.startsWith("$");
    const deletes = this.deleted.has(type) || (system && isDeletion(type, event));
    if (!deletes && handler === undefined && (!this.allTypes || system)) return;
    const at = this.at(event, found);
    if (!this.selects(at, type)) return;
    this.context.begin(event, at, type);
    if (deletes) this.handleDeleted(at);
    else this.handle(at, handler || this.any);
    this.states.settle();
  }

  /** at adds to a place what the event links to. */
  at(event, found) {
    const link = event.header(linkHeader);
    if (!link) return found;
    const m = /^(\d{1,15})@(.+)$/.exec(link);
    if (!m) throw new Error(`the header ${linkHeader} is ${JSON.stringify(link)}: want NUMBER@STREAM`);
    return { ...found, link: { number: Number(m[1]), stream: m[2] } };
  }

  selects(at, type) {
    const source = this.definition.source;
    if (source.from === "fromAll") {
      if (at.link && this.definition.options.$includelinks !== true) return false;
      return !at.stream.startsWith("$") || at.stream.startsWith("$$");
    }
    if (at.selected === undefined) at.selected = source.streams.has(at.stream) || source.categories.has(at.category);
    return at.selected || (source.types.has(type) && !at.link);
  }

  partitionOf(at) {
    switch (this.definition.partitioned) {
      case "":
        return "";
      case "stream":
        return this.streamOf(at);
      default:
        this.context.phase = "partitionBy";
        return partitionKey(this.definition.partitionBy(this.context.current));
    }
  }

  /** streamOf is the stream that is the partition: of a link in a category, the link's. */
  streamOf(at) {
    if (at.link && this.definition.source.from === "fromAll") return partitionFor(at.link.stream);
    if (at.partition === undefined) at.partition = partitionFor(at.stream);
    return at.partition;
  }

  handle(at, handler) {
    const context = this.context;
    const partition = this.partitionOf(at);
    if (partition === null) return;
    context.partition = partition;
    context.phase = handling;
    if (context.empty()) handler = keep;
    else if (handler === undefined) handler = body;
    this.states.done(partition, this.states.handle(partition, handler, context.current));
  }

  handleDeleted(at) {
    const handler = this.definition.special.$deleted;
    if (handler === undefined) return;
    const partition = this.streamOf(at);
    this.context.phase = "$deleted";
    const own = this.states.own(partition);
    handler(own.value, null, partition, false);
    this.states.done(partition, own);
  }
}

/** partitionFor is the partition of a stream; that of its metadata is the stream's. */
function partitionFor(stream) {
  return checked(stream.startsWith("$$") ? stream.slice(2) : stream);
}

/** keep is what is done with an event without data: its state begins, and no handler sees it. */
function keep() {}

/** body is the handler of a script that has none: the state is what the last event says. */
function body(state, e) {
  return e.isJson ? e.data : e.bodyRaw;
}

/** isDeletion knows the events that KurrentDB marks a deleted stream with. */
function isDeletion(type, event) {
  if (type === "$streamDeleted") return true;
  // A soft delete: everything before the highest number there is is truncated.
  return type === "$metadata" && /"\$tb"\s*:\s*9223372036854775807\b/.test(event.text);
}

/** partitionKey is the partition for what partitionBy returned; null for none. */
function partitionKey(key) {
  if (typeof key === "number") {
    const size = Math.abs(key);
    if (!(Object.is(key, 0) || (size >= 1e-4 && size < 1e15))) {
      throw new Error(`partitionBy returned the number ${key}, which KurrentDB writes otherwise: return a text`);
    }
    return String(key);
  }
  return typeof key === "string" ? checked(key) : null;
}

function checked(partition) {
  if (partition === "") throw new Error("partitionBy returned an empty text: return null for events without a partition");
  if (partition.startsWith("$")) throw new Error(`the partition ${JSON.stringify(partition)} begins with $, which keys of the engine's own do`);
  return partition;
}

/** Functions of the script's own, and what becomes of them when it has been read. */
function install(definition) {
  const list = (args) => (Array.isArray(args[0]) ? args[0] : args);
  const functions = {
    options: (o) => definition.setOptions(o),
    fromAll: () => definition.from("fromAll", {}),
    fromStream: (s) => definition.fromStreams("fromStream", [s]),
    fromStreams: (...s) => definition.fromStreams("fromStreams", list(s)),
    fromCategory: (...c) => definition.fromCategory("fromCategory", list(c)),
    fromCategories: (...c) => definition.fromCategory("fromCategories", list(c)),
    on_event: (name, handler) => definition.handle(name, handler),
    on_any: (handler) => definition.handle("$any", handler),
  };
  Object.assign(globalThis, functions);
  for (const [name, instead] of Object.entries(refused)) never(name, instead);
  for (const name of ["emit", "linkTo"]) never(name, `it belongs into ${handling}`);
  return () => {
    for (const name of Object.keys(functions)) never(name, "it belongs outside of handlers");
  };
}

/** never has a function of the script's fail. */
function never(name, instead) {
  globalThis[name] = () => {
    throw refuse(`${name}()`, instead);
  };
}

/** logText is what log writes of its arguments. */
function logText(args) {
  return args.map((a) => (typeof a === "object" && a !== null ? JSON.stringify(a) : String(a))).join(" ,");
}

/** dialect is what the runtime starts instead of api.start: see gnomon.js. */
function dialect(api) {
  const definition = new Definition();
  const read = install(definition);
  globalThis.log = (...args) => api.log.info(logText(args));
  const settings = { ...defaults };
  let projection;
  function init() {
    projection = new Projection(definition, settings, api);
    globalThis.emit = (...args) => projection.output.emit(args);
    globalThis.linkTo = (...args) => projection.output.linkTo(args);
  }
  async function start() {
    read();
    const entry = await api.start({ settings, init, onEvent: (event) => projection.onEvent(event) });
    const endBatch = () => {
      projection.states.flush();
      entry.endBatch();
    };
    return { ...entry, endBatch };
  }
  return { ...api, start };
}
