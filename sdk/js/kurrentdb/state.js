// The states of partitions. They are kept as JSON texts: a handler gets what the
// text says, whether the state was written one event ago or before a restart, so
// batches and restarts leave no trace. KurrentDB keeps the object for as long as
// events of one partition follow each other, and reads the text otherwise.

/** The key of the result where there are no partitions, and those that are not results. */
const rootKey = "result";
const sharedKey = "$shared";
const stateKey = "$state";

class States {
  constructor(definition, context) {
    this.definition = definition;
    this.context = context;
    this.biState = definition.biState;
    this.transforms = definition.transforms;
  }

  resultKey(partition) {
    return partition === "" ? rootKey : partition;
  }

  stateKey(partition) {
    if (this.transforms.length === 0) return this.resultKey(partition);
    return partition === "" ? stateKey : `${stateKey}-${partition}`;
  }

  /** load gives {text, shared, value, isNew} of a partition: what is stored, or what $init makes. */
  load(partition, store) {
    const text = store.get(this.stateKey(partition));
    const isNew = text === undefined;
    const own = isNew ? this.init("$init") : JSON.parse(text);
    if (!this.biState) return { text, shared: undefined, value: own, isNew };
    const shared = store.get(sharedKey);
    const common = shared === undefined ? this.init("$initShared") : JSON.parse(shared);
    return { text, shared, value: [own, common], isNew };
  }

  init(name) {
    const handler = this.definition.special[name];
    return handler === undefined ? {} : handler();
  }

  /** save stores what has become of a state. */
  save(partition, loaded, value, store) {
    let own = value;
    if (this.biState) {
      if (!Array.isArray(value)) throw new Error("a handler with shared state returns the pair [state, shared], or nothing");
      own = value[0];
      this.put(sharedKey, loaded.shared, textOf(value[1]), store);
    }
    const text = textOf(own);
    if (text === loaded.text) return;
    this.put(this.stateKey(partition), loaded.text, text, store);
    if (this.transforms.length > 0) this.saveResult(partition, value, store);
    else this.context.resultChanged(partition, text);
  }

  saveResult(partition, value, store) {
    const key = this.resultKey(partition);
    const old = store.get(key);
    const text = textOf(this.transform(value));
    if (text === old) return;
    this.put(key, old, text, store);
    this.context.resultChanged(partition, text);
  }

  /** transform gives the result of a state, or null. */
  transform(value) {
    let result = value;
    for (const { name, f } of this.transforms) {
      const made = this.context.during(name, () => f(result));
      if (name === "transformBy") result = made;
      else if (made !== true) return null;
      if (result === null || result === undefined) return null;
    }
    return result;
  }

  put(key, old, text, store) {
    if (text === old) return;
    if (text === undefined) store.delete(key);
    else store.put(key, text);
  }
}

let storing = false;

/** textOf gives a state as JSON, as KurrentDB writes it; undefined for none. */
function textOf(value) {
  if (value === null || value === undefined) return undefined;
  storing = true;
  try {
    return JSON.stringify(value);
  } finally {
    storing = false;
  }
}

// A Date in a state is a Date until it is stored and a text afterwards here, and
// an empty object in KurrentDB. Neither is meant.
const dateToJSON = Date.prototype.toJSON;
Date.prototype.toJSON = function (key) {
  if (storing) throw new Error(`a Date in the state, in ${key || "its place"}: store a text, date.toISOString()`);
  return dateToJSON.call(this, key);
};
