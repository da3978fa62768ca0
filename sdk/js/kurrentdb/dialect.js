// Runs a script of KurrentDB's projection dialect as a projection of this engine.

/** What is going on: the settings, the event that is handled, and in which function of the script. */
class Context {
  constructor(settings) {
    this.settings = settings;
    this.current = null;
    this.phase = "the script itself";
    this.output = null;
    this.metadataHeader = place("metadata", settings.metadata, "header:NAME").header;
    if (this.metadataHeader === undefined) throw wrong("metadata", settings.metadata, "header:NAME");
    const n = settings.number;
    this.numberHeader = n === "" || n === "sequence" ? null : place("number", n, "header:NAME or sequence").header;
    if (this.numberHeader === undefined) throw wrong("number", n, "header:NAME or sequence");
  }

  during(phase, f) {
    const before = this.phase;
    this.phase = phase;
    try {
      return f();
    } finally {
      this.phase = before;
    }
  }

  metadataOf(event) {
    return event.header(this.metadataHeader) || null;
  }

  /** linkNumber is the number by which a link names its event. */
  linkNumber(event, at) {
    if (at.link) return at.link.number;
    if (this.numberHeader === null) return event.sequence;
    const value = event.header(this.numberHeader);
    if (!/^\d{1,15}$/.test(value || "")) throw new Error(`the header ${this.numberHeader}, which settings.number names, is ${JSON.stringify(value)}: want a whole number`);
    return Number(value);
  }

  numberOf(event, at) {
    if (this.settings.number === "") {
      throw refuse(
        "event.sequenceNumber",
        'JetStream numbers the events of all streams together; where an event has its number in its own stream, set number = "header:NAME", and where the number of all serves, number = "sequence"',
      );
    }
    return this.linkNumber(event, at);
  }

  resultChanged(partition, json) {
    this.output.result(partition, json);
  }
}

/** The phase in which a script may emit. */
const handling = "a handler";

class Projection {
  constructor(definition, settings) {
    definition.check(settings);
    this.definition = definition;
    this.context = new Context(settings);
    this.mapping = new Mapping(settings);
    this.states = new States(definition, this.context);
    this.output = this.context.output = new Output(definition, this.mapping, this.context);
    this.deleted = new Set(deletedTypes(settings));
    this.any = definition.special.$any;
    this.allTypes = this.any !== undefined || definition.handlers.size === 0;
  }

  onEvent(event, store) {
    const found = this.mapping.of(event);
    const type = this.mapping.type(event, found.token);
    const handler = this.definition.handlers.get(type);
    const deletes = this.deletes(type, event);
    if (!deletes && handler === undefined && (!this.allTypes || type.startsWith("$"))) return;
    const at = this.at(event, found);
    if (!this.selects(at, type)) return;
    const e = new ProjectionEvent(event, at, type, this.definition.source.category, this.context);
    this.context.current = e;
    try {
      this.context.during(handling, () => {
        if (deletes) this.handleDeleted(at, store);
        else this.handle(e, this.partitionOf(e, at), handler || this.any, store);
      });
    } finally {
      this.context.current = null;
    }
  }

  /** at adds to a place what the event links to. */
  at(event, found) {
    const link = event.header(linkHeader);
    if (!link) return found;
    const m = /^(\d{1,15})@(.+)$/.exec(link);
    if (!m) throw new Error(`the header ${linkHeader} is ${JSON.stringify(link)}: want NUMBER@STREAM`);
    return { ...found, link: { number: Number(m[1]), stream: m[2] } };
  }

  deletes(type, event) {
    if (type === "$streamDeleted" || this.deleted.has(type)) return true;
    // A soft delete: everything before the highest number there is is truncated.
    return type === "$metadata" && /"\$tb"\s*:\s*9223372036854775807\b/.test(event.text);
  }

  selects(at, type) {
    const source = this.definition.source;
    if (source.from === "fromAll") {
      if (at.link && this.definition.options.$includelinks !== true) return false;
      return !at.stream.startsWith("$") || at.stream.startsWith("$$");
    }
    return source.streams.has(at.stream) || source.categories.has(at.category) || (source.types.has(type) && !at.link);
  }

  partitionOf(e, at) {
    switch (this.definition.partitioned) {
      case "":
        return "";
      case "stream":
        return this.streamOf(at);
      default:
        return partitionKey(this.context.during("partitionBy", () => this.definition.partitionBy(e)));
    }
  }

  /** streamOf is the stream that is the partition: of a link in a category, the link's. */
  streamOf(at) {
    const stream = at.link && this.definition.source.from === "fromAll" ? at.link.stream : at.stream;
    return checked(stream.startsWith("$$") ? stream.slice(2) : stream);
  }

  handle(e, partition, handler, store) {
    if (partition === null) return;
    e.partition = partition;
    const loaded = this.states.load(partition, store);
    if (loaded.isNew && this.definition.special.$created) this.definition.special.$created(loaded.value, e);
    let value = loaded.value;
    if (e.bodyRaw.trim() !== "") {
      const returned = handler === undefined ? this.bodyOf(e) : handler(value, e);
      if (returned !== undefined) value = returned;
    }
    this.states.save(partition, loaded, value, store);
  }

  /** bodyOf is the state where a script has no handlers: that of the last event. */
  bodyOf(e) {
    return e.isJson ? e.data : e.bodyRaw;
  }

  handleDeleted(at, store) {
    const handler = this.definition.special.$deleted;
    if (handler === undefined) return;
    const partition = this.streamOf(at);
    const loaded = this.states.load(partition, store);
    this.context.during("$deleted", () => handler(loaded.value, null, partition, false));
    this.states.save(partition, loaded, loaded.value, store);
  }
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

/** define runs a script and gives what it defines. */
function define(run) {
  const definition = new Definition();
  const functions = {
    options: (o) => definition.setOptions(o),
    fromAll: () => definition.from("fromAll", {}),
    fromStream: (s) => definition.fromStreams("fromStream", [s]),
    fromStreams: (...s) => definition.fromStreams("fromStreams", Array.isArray(s[0]) ? s[0] : s),
    fromCategory: (...c) => definition.fromCategory("fromCategory", Array.isArray(c[0]) ? c[0] : c),
    fromCategories: (...c) => definition.fromCategory("fromCategories", Array.isArray(c[0]) ? c[0] : c),
    on_event: (name, handler) => definition.handle(name, handler),
    on_any: (handler) => definition.handle("$any", handler),
  };
  for (const [name, instead] of Object.entries(refused)) {
    globalThis[name] = () => {
      throw refuse(`${name}()`, instead);
    };
  }
  Object.assign(globalThis, functions);
  run();
  for (const name of Object.keys(functions)) {
    globalThis[name] = () => {
      throw refuse(`${name}()`, "it belongs outside of handlers");
    };
  }
  return definition;
}

/** logText is what log writes of its arguments. */
function logText(args) {
  return args.map((a) => (typeof a === "object" && a !== null ? JSON.stringify(a) : String(a))).join(" ,");
}
