// An event as handlers see it.

/** iso gives a time as KurrentDB writes it: UTC with seven digits of a second. */
function iso(text, stored) {
  const m = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/.exec(text || "");
  if (!m) {
    const utc = stored.toISOString();
    return utc.slice(0, 23) + "0000Z";
  }
  const whole = m[3] === "Z" || m[3] === "z" ? m[1] : new Date(Date.parse(m[1] + m[3])).toISOString().slice(0, 19);
  return `${whole}.${((m[2] || "") + "0000000").slice(0, 7)}Z`;
}

/** The headers of an event that is a link: which event it links to, and the link's own metadata. */
const linkHeader = "kurrentdb-link";
const linkMetadataHeader = "kurrentdb-link-metadata";

class ProjectionEvent {
  constructor(event, at, type, category, context) {
    hidden(this, "of", { event, at, context, data: undefined, read: false });
    this.eventType = type;
    this.streamId = at.link ? at.link.stream : at.stream;
    this.partition = "";
    this.category = category;
  }

  get isJson() {
    const type = this.of.event.header("content-type") || this.of.event.header("ce-datacontenttype");
    return !type || /\bjson\b/i.test(type);
  }

  get data() {
    const of = this.of;
    if (!of.read) {
      of.data = this.isJson && of.event.text !== "" ? JSON.parse(of.event.text) : undefined;
      of.read = true;
    }
    return of.data;
  }

  get body() {
    return this.data;
  }

  get bodyRaw() {
    return this.of.event.text;
  }

  get metadataRaw() {
    return this.of.context.metadataOf(this.of.event);
  }

  get metadata() {
    const raw = this.metadataRaw;
    return raw === null ? null : JSON.parse(raw);
  }

  get linkMetadataRaw() {
    return this.of.at.link ? this.of.event.header(linkMetadataHeader) || null : null;
  }

  get linkMetadata() {
    const raw = this.linkMetadataRaw;
    return raw === null ? null : JSON.parse(raw);
  }

  get eventId() {
    return this.of.event.id;
  }

  get created() {
    return iso(this.of.event.timeText, this.of.event.stored);
  }

  get sequenceNumber() {
    return this.of.context.numberOf(this.of.event, this.of.at);
  }

  toJSON() {
    const all = {};
    for (const name of ["isJson", "data", "body", "bodyRaw", "eventType", "streamId", "eventId", "metadata", "metadataRaw", "linkMetadata", "linkMetadataRaw", "partition", "category", "created"]) {
      all[name] = this[name];
    }
    if (this.of.context.settings.number !== "") all.sequenceNumber = this.sequenceNumber;
    return all;
  }
}

function hidden(object, name, value) {
  Object.defineProperty(object, name, { value });
}
