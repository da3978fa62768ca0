// An event as handlers see it. There is one at a time, of which the context knows; it can
// be read until its handler returns. It is a proxy of getters that all events share: so it
// has properties of its own, which Object.keys, {...event} and for…in find, and is made in
// a moment.

/** The headers of an event that is a link: which event it links to, and the link's own metadata. */
const linkHeader = "kurrentdb-link";
const linkMetadataHeader = "kurrentdb-link-metadata";

/** iso gives a time as KurrentDB writes it: UTC with seven digits of a second. */
function iso(text, stored) {
  const m = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/.exec(text);
  if (!m) return stored.toISOString().slice(0, 23) + "0000Z";
  const local = `${m[1]}T${m[2]}`;
  const utc = m[4] === "Z" || m[4] === "z" ? local : new Date(Date.parse(local + m[4])).toISOString().slice(0, 19);
  return `${utc}.${((m[3] || "") + "0000000").slice(0, 7)}Z`;
}

/** parsed gives metadata; header is where they are. */
function parsed(json, header) {
  if (json === null) return null;
  try {
    return JSON.parse(json);
  } catch (err) {
    throw new TypeError(`the header ${header} is no JSON: ${err.message}`);
  }
}

/** What the JSON of an event has; sequenceNumber too, where settings say what it is. */
const shown = "isJson data body bodyRaw eventType streamId eventId metadata metadataRaw linkMetadata linkMetadataRaw partition category created".split(" ");

/** What a script does to an event itself. KurrentDB has most of it do nothing. */
const unchangeable = {
  set(_, name) {
    throw refuse(`event.${String(name)} = …`, "an event cannot be changed; keep what you need in a variable");
  },
  defineProperty(_, name) {
    throw refuse(`event.${String(name)}`, "an event cannot be changed");
  },
};

/** over refuses an event that is kept beyond its handler: it would show the present one. */
function over() {
  throw refuse("an event of before", "it can be read until its handler returns; keep in the state what is needed of it, such as event.data");
}

/** eventsOf gives what makes an event: getters for what the context has. */
function eventsOf(context) {
  const properties = Object.freeze(propertiesOf(context));
  return () => new Proxy(properties, unchangeable);
}

function propertiesOf(context) {
  const properties = {
    get eventType() {
      if (this !== context.current) over();
      return context.type;
    },
    get streamId() {
      if (this !== context.current) over();
      return context.at.link === undefined ? context.at.stream : context.at.link.stream;
    },
    get partition() {
      if (this !== context.current) over();
      return context.partition;
    },
    get category() {
      if (this !== context.current) over();
      return context.category;
    },
    get isJson() {
      if (this !== context.current) over();
      return context.isJson();
    },
    get data() {
      if (this !== context.current) over();
      return context.data();
    },
    get body() {
      if (this !== context.current) over();
      return context.data();
    },
    get bodyRaw() {
      if (this !== context.current) over();
      return context.event.text;
    },
    get metadataRaw() {
      if (this !== context.current) over();
      return context.metadata();
    },
    get metadata() {
      if (this !== context.current) over();
      return parsed(context.metadata(), context.metadataHeader);
    },
    get linkMetadataRaw() {
      if (this !== context.current) over();
      return context.at.link === undefined ? null : context.event.header(linkMetadataHeader) || null;
    },
    get linkMetadata() {
      return parsed(this.linkMetadataRaw, linkMetadataHeader);
    },
    get eventId() {
      if (this !== context.current) over();
      return context.event.id;
    },
    get created() {
      if (this !== context.current) over();
      return iso(context.event.timeText, context.event.stored);
    },
    get sequenceNumber() {
      if (this !== context.current) over();
      return context.sequenceNumber();
    },
  };
  // A state may have the event itself: then it has all that is shown of it.
  const toJSON = function () {
    if (this !== context.current) over();
    const all = {};
    for (const name of shown) all[name] = this[name];
    if (context.settings.number !== "") all.sequenceNumber = this.sequenceNumber;
    return all;
  };
  return Object.defineProperty(properties, "toJSON", { value: toJSON });
}
