// An event as handlers see it. There is one at a time, of which the context knows; it can
// be read until its handler returns.

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

function parsed(json) {
  return json === null ? null : JSON.parse(json);
}

/** What is shown of an event that is logged; sequenceNumber too, where settings say what it is. */
const shown = "isJson data body bodyRaw eventType streamId eventId metadata metadataRaw linkMetadata linkMetadataRaw partition category created".split(" ");

/** eventsOf is the prototype of events: getters for what the context has. */
function eventsOf(context) {
  return Object.freeze({
    get eventType() {
      return context.type;
    },
    get streamId() {
      return context.at.link === undefined ? context.at.stream : context.at.link.stream;
    },
    get partition() {
      return context.partition;
    },
    get category() {
      return context.category;
    },
    get isJson() {
      return context.isJson();
    },
    get data() {
      return context.data();
    },
    get body() {
      return context.data();
    },
    get bodyRaw() {
      return context.event.text;
    },
    get metadataRaw() {
      return context.metadata();
    },
    get metadata() {
      return parsed(context.metadata());
    },
    get linkMetadataRaw() {
      return context.at.link === undefined ? null : context.event.header(linkMetadataHeader) || null;
    },
    get linkMetadata() {
      return parsed(this.linkMetadataRaw);
    },
    get eventId() {
      return context.event.id;
    },
    get created() {
      return iso(context.event.timeText, context.event.stored);
    },
    get sequenceNumber() {
      return context.sequenceNumber();
    },
    toJSON() {
      if (storing) throw new Error("a state has the event itself: store what is needed of it, such as event.data");
      const all = {};
      for (const name of shown) all[name] = this[name];
      if (context.settings.number !== "") all.sequenceNumber = this.sequenceNumber;
      return all;
    },
  });
}
