// What a script says of itself while it is read: options, a source, and what
// is done with it.

/** An error about the script: its text ends with the place in it. */
class Refusal extends Error {
  name = "kurrentdb";
}

/** refuse is for what KurrentDB has and this dialect has not, or what neither has. */
function refuse(construct, instead) {
  return new Refusal(`${construct}: ${instead}`);
}

/** What may follow what, as in KurrentDB. */
const follows = {
  fromAll: ["partitionBy", "when", "foreachStream", "outputState"],
  fromCategory: ["partitionBy", "when", "foreachStream", "outputState"],
  fromStream: ["partitionBy", "when", "outputState"],
  fromStreams: ["partitionBy", "when", "outputState"],
  foreachStream: ["when"],
  partitionBy: ["when"],
  when: ["transformBy", "filterBy", "outputState", "outputTo"],
  outputState: ["transformBy", "filterBy", "outputTo"],
  transformBy: ["transformBy", "filterBy", "outputState", "outputTo"],
  filterBy: ["transformBy", "filterBy", "outputState", "outputTo"],
  outputTo: [],
};

/** What scripts call elsewhere, and what to do instead. */
const refused = {
  linkStreamTo: "link events with linkTo(stream, event)",
  copyTo: "it does nothing in KurrentDB; emit(stream, type, event.data) copies an event",
  fromStreamCatalog: "KurrentDB has it no longer; use fromCategory or fromAll().foreachStream()",
  fromStreamsMatching: "KurrentDB has it no longer; use fromAll().partitionBy(…), and return null for streams that do not match",
  on_raw: "KurrentDB has it no longer; use when({$any: …})",
  emitStateUpdated: "use outputState()",
  require: "a script is one file; paste what it needs",
  $load_module: "a script is one file; paste what it needs",
};

const optionTypes = { $includelinks: "boolean", reorderevents: "boolean", bistate: "boolean", processinglag: "number", resultstreamname: "string" };

class Definition {
  constructor() {
    this.source = null; // {from, streams, categories, types}
    this.partitioned = ""; // stream, or custom
    this.partitionBy = null;
    this.handlers = new Map();
    this.special = {}; // $init, $initShared, $any, $created, $deleted
    this.transforms = [];
    this.options = {};
    this.outputsState = false;
    this.resultStream = "";
    this.partitionResultStream = "";
    this.step = "";
  }

  setOptions(given) {
    for (const [name, value] of Object.entries(Object(given))) {
      const key = name.toLowerCase();
      const type = optionTypes[key];
      if (type === undefined) throw refuse(`options: ${name}`, "unknown; there are $includeLinks, reorderEvents, processingLag, resultStreamName, biState");
      if (typeof value !== type) throw refuse(`options: ${name}`, `want a ${type}`);
      this.options[key] = value;
    }
    if (this.options.resultstreamname) this.resultStream = this.options.resultstreamname;
  }

  from(name, source) {
    if (this.source) throw refuse(name, `the script has ${this.source.from} already; a projection has one source`);
    this.source = { from: name, category: null, streams: new Set(), categories: new Set(), types: new Set(), ...source };
    this.step = name === "fromCategories" ? "fromCategory" : name;
    return new Chain(this);
  }

  fromStreams(name, streams) {
    if (streams.length === 0) throw refuse(name, "want the ids of streams");
    const source = { streams: new Set(), categories: new Set(), types: new Set() };
    for (const s of streams) {
      if (typeof s !== "string" || s === "") throw refuse(name, "want the ids of streams");
      if (s.startsWith("$ce-")) source.categories.add(s.slice(4));
      else if (s.startsWith("$et-")) source.types.add(s.slice(4));
      else if (s.startsWith("$") && !s.startsWith("$projections-")) {
        throw refuse(`${name}: ${s}`, "of the system's streams there are $ce-CATEGORY and $et-TYPE, and results: $projections-…");
      } else source.streams.add(s);
    }
    return this.from(name, source);
  }

  fromCategory(name, categories) {
    if (categories.length === 0 || categories.some((c) => typeof c !== "string" || c === "")) {
      throw refuse(name, "want the name of a category");
    }
    // Several categories are several streams in KurrentDB, which has no foreachStream for them.
    const source = { categories: new Set(categories), category: categories.length === 1 ? categories[0] : null };
    const chain = this.from(name, source);
    if (categories.length > 1) this.step = "fromStreams";
    return chain;
  }

  then(name) {
    const may = follows[this.step];
    if (!may.includes(name)) {
      throw refuse(`${name}()`, `it does not follow ${this.step}(); there is ${may.join(", ") || "nothing more"}`);
    }
    this.step = name;
  }

  handle(name, handler) {
    wantFunction(`the handler ${name}`, handler, "");
    if (["$init", "$initShared", "$any", "$created", "$deleted"].includes(name)) {
      this.special[name] = handler;
      return;
    }
    if (name.startsWith("$")) throw refuse(`the handler ${name}`, "unknown; there are $init, $initShared, $any, $created, $deleted and the types of events");
    if (this.special.$any) {
      throw refuse(`the handler ${name} after $any`, "KurrentDB then passes over all events but those with a handler of their own; put $any last, or leave it out");
    }
    if (this.handlers.has(name)) throw refuse(`the handler ${name}`, "there is one already");
    this.handlers.set(name, handler);
  }

  /** emitsResults reports whether results are events as well as keys. */
  get emitsResults() {
    return this.outputsState && this.resultStream !== "";
  }

  get biState() {
    return this.special.$initShared !== undefined || this.options.bistate === true;
  }

  /** check refuses what only the whole script shows. */
  check(settings) {
    if (!this.source) throw refuse("the script", "it has no source; call fromAll, fromCategory, fromStream or fromStreams");
    if (this.special.$deleted && this.partitioned !== "stream") {
      throw refuse("the handler $deleted", "it needs foreachStream()");
    }
    if (this.special.$deleted && this.biState) throw refuse("the handler $deleted", "it cannot be with $initShared or biState");
    if (this.biState && this.partitioned === "") {
      throw refuse(this.special.$initShared ? "the handler $initShared" : "options: biState", "it needs foreachStream() or partitionBy()");
    }
    if (this.options.reorderevents) {
      if (this.source.from !== "fromStreams") throw refuse("options: reorderEvents", "it needs fromStreams([…])");
      if (this.options.processinglag < 50) throw refuse("options: processingLag", "want 50 or more with reorderEvents");
    }
    for (const type of deletedTypes(settings)) {
      if (this.handlers.has(type)) throw refuse(`the handler ${type}`, "settings.deleted names the type, and such events are handed to $deleted alone");
    }
  }
}

/** wantFunction refuses what is no function, and those that return a promise or an iterator, which is no state. */
function wantFunction(what, f, of) {
  if (typeof f !== "function") throw refuse(what, `want a function${of}`);
  if (Object.prototype.toString.call(f) !== "[object Function]") throw refuse(what, `want a function${of} that is neither async nor a generator`);
}

function deletedTypes(settings) {
  return settings.deleted.split(",").map((t) => t.trim()).filter((t) => t !== "");
}

/** What the functions of a script return, to go on with. */
class Chain {
  constructor(definition) {
    Object.defineProperty(this, "definition", { value: definition });
  }

  foreachStream() {
    this.definition.then("foreachStream");
    this.definition.partitioned = "stream";
    return this;
  }

  partitionBy(key) {
    this.definition.then("partitionBy");
    wantFunction("partitionBy", key, " of an event");
    this.definition.partitioned = "custom";
    this.definition.partitionBy = key;
    return this;
  }

  when(handlers) {
    this.definition.then("when");
    if (typeof handlers !== "object" || handlers === null) throw refuse("when", "want an object of handlers");
    for (const [name, handler] of Object.entries(handlers)) this.definition.handle(name, handler);
    return this;
  }

  transformBy(f) {
    return this.transform("transformBy", f);
  }

  filterBy(f) {
    return this.transform("filterBy", f);
  }

  transform(name, f) {
    this.definition.then(name);
    wantFunction(name, f, " of a state");
    this.definition.transforms.push({ name, f });
    this.definition.outputsState = true;
    return this;
  }

  outputState() {
    this.definition.then("outputState");
    this.definition.outputsState = true;
    return this;
  }

  outputTo(stream, partitions) {
    this.definition.then("outputTo");
    if (typeof stream !== "string" || (partitions !== undefined && typeof partitions !== "string")) {
      throw refuse("outputTo", "want the id of a stream, and for partitions a pattern with {0}");
    }
    this.definition.resultStream = stream;
    this.definition.partitionResultStream = partitions || "";
    return this;
  }
}
for (const name of ["$defines_state_transform", "chainHandlers", "fork"]) {
  Object.defineProperty(Chain.prototype, name, {
    value: () => {
      throw refuse(`${name}()`, "leave it out; transformBy, filterBy and outputState say what is stored");
    },
  });
}
