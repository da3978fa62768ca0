// The states of partitions. A handler gets what the stored JSON says, whether that was
// written one event ago or before a restart, so batches and restarts leave no trace.
// KurrentDB keeps the object for as long as events of one partition follow each other,
// and reads the JSON otherwise.
//
// To read and write it for each event would take long, so an object is kept within a
// batch where that makes no difference: plain, of the runtime, says so of values that are
// what their JSON says, and that nobody else has a hold of.

/** The key of the result where there are no partitions, and those that are not results. */
const rootKey = "result";
const sharedKey = "$shared";
const stateKey = "$state";

/** What may be more than this, in bytes, is stored at once: if it is too large, the event that made it fails. */
const MAX_VALUE = 1 << 20;

/** What is known of a key: its JSON as stored, or its value, which is to be stored. */
class Entry {
  constructor(key, stored) {
    this.key = key;
    this.stored = stored; // undefined: there is none
    this.text = stored; // what a value would be read of
    this.value = none;
    this.written = false; // whether the text is that of the value
  }
}

/** No value: what there is is the text. */
const none = Symbol("none");

class States {
  constructor(definition, context, api) {
    this.definition = definition;
    this.context = context;
    this.host = api.host;
    this.biState = definition.biState;
    this.transforms = definition.transforms;
    // Where results are computed, or emitted, they are for each event.
    this.eachEvent = this.transforms.length > 0 || definition.emitsResults;
    this.entries = new Map();
    this.shared = null;
    this.used = []; // entries whose values the event may have changed
  }

  resultKey(partition) {
    return partition === "" ? rootKey : partition;
  }

  stateKey(partition) {
    if (this.transforms.length === 0) return partition === "" ? rootKey : partition;
    return partition === "" ? stateKey : `${stateKey}-${partition}`;
  }

  entry(key) {
    let e = this.entries.get(key);
    if (e === undefined) this.entries.set(key, (e = new Entry(key, this.host.get(key))));
    return e;
  }

  /** settle has the values that an event has left be what their JSON says, while it can still be read. */
  settle() {
    const used = this.used;
    for (let i = 0; i < used.length; i++) {
      // As JSON, in bytes at most, when it is plain. A state of null is none.
      const size = used[i].value === null ? 0 : this.host.plain(used[i]);
      if (size > 0 && size <= MAX_VALUE) continue;
      this.write(used[i]);
      // One that the host would refuse fails this event, and not the last one of the batch.
      if (used[i].text !== undefined && 3 * used[i].text.length > MAX_VALUE) this.store(used[i]);
    }
    used.length = 0;
  }

  /** write makes the text of a value, which is read anew when it is used. */
  write(entry) {
    if (entry.value === none) return;
    if (!entry.written) entry.text = textOf(entry.value);
    entry.value = none;
    entry.written = false;
  }

  /** own gives the entry of a partition, with its value; isNew when $init made that. */
  own(partition) {
    const entry = this.entry(this.stateKey(partition));
    this.isNew = this.fill(entry, "$init");
    return entry;
  }

  fill(entry, init) {
    entry.written = false;
    if (entry.value !== none) return false;
    const isNew = entry.text === undefined;
    if (!isNew) entry.value = JSON.parse(entry.text);
    else {
      const make = this.definition.special[init];
      entry.value = make === undefined ? {} : make();
    }
    return isNew;
  }

  /** handle calls a handler with the state of a partition, takes what it returns, and gives the entry. */
  handle(partition, handler, e) {
    const own = this.own(partition);
    const created = this.isNew ? this.definition.special.$created : undefined;
    if (this.biState) this.handlePair(own, handler, e, created);
    else {
      if (created !== undefined) created(own.value, e);
      const returned = handler(own.value, e);
      if (returned !== undefined) own.value = returned;
    }
    return own;
  }

  handlePair(own, handler, e, created) {
    const shared = this.entry(sharedKey);
    this.fill(shared, "$initShared");
    let pair = [own.value, shared.value];
    if (created !== undefined) created(pair, e);
    const returned = handler(pair, e);
    if (returned !== undefined) pair = returned;
    if (!Array.isArray(pair)) throw new Error("a handler with shared state returns the pair [state, shared], or nothing");
    own.value = pair[0];
    shared.value = pair[1];
    this.used.push(shared);
    this.pair = this.eachEvent ? pair : null;
  }

  /** done is for when nobody has a hold of the state any more, not even handle. */
  done(partition, own) {
    if (this.eachEvent) this.result(partition, own);
    else this.used.push(own);
  }

  /** result stores the result of a state that has changed. */
  result(partition, own) {
    // Where nobody is told of the result, to compute it is cheaper than to see whether it has to be.
    if (!this.biState && !this.definition.emitsResults && own.value !== null && this.host.plain(own) > 0) {
      const entry = this.entry(this.resultKey(partition));
      entry.value = this.transform(this.host.copy(own.value));
      this.used.push(entry); // own is plain still: the script had a copy
      return;
    }
    const before = own.text;
    own.text = textOf(own.value);
    own.written = true;
    this.used.push(own);
    if (own.text === before) return;
    if (this.transforms.length === 0) {
      this.context.output.result(partition, own.text);
      return;
    }
    const entry = this.entry(this.resultKey(partition));
    entry.value = this.transform(own.text === undefined ? null : JSON.parse(own.text));
    if (!this.definition.emitsResults) {
      this.used.push(entry);
      return;
    }
    const old = entry.text;
    this.write(entry);
    if (entry.text !== old) this.context.output.result(partition, entry.text);
  }

  /** transform gives the result of a copy of a state, or null. */
  transform(result) {
    // With shared state functions get the pair.
    if (this.biState) result = [result, JSON.parse(textOf(this.pair[1]) || "null")];
    for (const { name, f } of this.transforms) {
      this.context.phase = name;
      const made = f(result);
      if (name === "transformBy") result = made;
      else if (made !== true) result = null;
      if (result === null || result === undefined) break;
    }
    return result;
  }

  /** flush stores what has changed, at the end of a batch. */
  flush() {
    for (const entry of this.entries.values()) {
      this.write(entry);
      this.store(entry);
    }
    this.entries.clear();
    this.used.length = 0;
  }

  store(entry) {
    if (entry.text === entry.stored) return;
    if (entry.text === undefined) this.host.delete(entry.key);
    else this.host.put(entry.key, entry.text);
    entry.stored = entry.text;
  }
}

let storing = false;

/** textOf gives a state as JSON, as KurrentDB writes it; undefined for none. */
function textOf(value) {
  return value === null || value === undefined ? undefined : jsonOf(value, "the state");
}

/** jsonOf gives JSON of a value that KurrentDB would write as well, and as that. */
function jsonOf(value, what) {
  storing = what;
  let text = JSON.stringify(value);
  // Only where there is a null can there have been a number that JSON has no word for.
  if (text !== undefined && text.includes("null")) text = JSON.stringify(value, finite);
  storing = false;
  return text;
}

/** finite refuses NaN and the infinities, at which KurrentDB's projections fault. */
function finite(key, value) {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new Error(`${value} in ${storing}, in ${key || "its place"}: JSON has no such number; is there a property that the event does not have?`);
  }
  return value;
}

// A Date in a state is a Date until it is stored and a text afterwards here, and
// an empty object in KurrentDB. Neither is meant.
const dateToJSON = Date.prototype.toJSON;
Date.prototype.toJSON = function (key) {
  if (storing) throw new Error(`a Date in ${storing}, in ${key || "its place"}: store a text, date.toISOString()`);
  return dateToJSON.call(this, key);
};
