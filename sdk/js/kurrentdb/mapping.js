// Which stream of KurrentDB an event of JetStream belongs to, and where an event
// for a stream goes. docs/authoring/kurrentdb.md has the rules.

/** The settings of a projection in this dialect, with their defaults. */
const defaults = {
  streams: "subject:2-3", // subject:N, subject:N-M, subject:N- or header:NAME
  category: "first -", // where a stream's id that is one token is cut: first or last, and the separator
  types: "", // header:NAME or subject:N; "": the header ce-type, else the token after those of the stream
  number: "", // event.sequenceNumber: header:NAME, or sequence; "": who reads it is refused
  metadata: "header:metadata", // the header with an event's metadata as JSON
  deleted: "", // types of events that delete their stream, with commas between, beside $streamDeleted
  emit: "", // what subjects of emitted events begin with; "": the same tokens as the event's own
};

/** wrong is the error for a setting. */
function wrong(name, value, want) {
  return new Error(`settings: ${name} = ${JSON.stringify(value)}: want ${want}`);
}

/** place reads where something stands in an event: {header} or {from, to} in tokens from 1. */
function place(name, value, want) {
  const header = /^header:(\S+)$/.exec(value);
  if (header) return { header: header[1] };
  const subject = /^subject:([1-9]\d?)(?:(-)([1-9]\d?)?)?$/.exec(value);
  const from = subject ? Number(subject[1]) : 0;
  const to = subject && subject[2] ? Number(subject[3] || Infinity) : from;
  if (!subject || to < from) throw wrong(name, value, want);
  return { from, to };
}

class Mapping {
  constructor(settings) {
    this.streams = place("streams", settings.streams, "subject:N, subject:N-M, subject:N- or header:NAME");
    const cut = /^(first|last) (\S)$/.exec(settings.category);
    if (!cut) throw wrong("category", settings.category, '"first -" or "last -", with any separator');
    this.last = cut[1] === "last";
    this.separator = cut[2];
    this.types = settings.types === "" ? null : place("types", settings.types, "header:NAME or subject:N");
    if (this.types && this.types.to !== this.types.from) throw wrong("types", settings.types, "header:NAME or subject:N");
    this.prefix = settings.emit;
    this.known = new Map(); // subject: what it says; a cache
  }

  /**
   * of gives {stream, category, token} of an event; token is that after the stream's, or "".
   * What follows from stream and category alone is noted there, too: selected and partition.
   */
  of(event) {
    if (this.streams.header) {
      const stream = event.header(this.streams.header);
      if (!stream) throw new Error(`the header ${this.streams.header}, which settings.streams names, is missing`);
      return { stream, category: this.categoryOf(stream), token: "" };
    }
    const subject = event.subject;
    let found = this.known.get(subject);
    if (found === undefined) {
      if (this.known.size >= 256) this.known.clear();
      this.known.set(subject, (found = this.read(subject)));
    }
    return found;
  }

  read(subject) {
    const { from, to } = this.streams;
    const tokens = subject.split(".");
    const own = tokens.slice(from - 1, to);
    if (own.length === 0) {
      throw new Error(`the subject ${subject} has no token ${from}, where settings.streams says that the stream is`);
    }
    const stream = own.join("-");
    return { stream, category: own.length > 1 ? own[0] : this.categoryOf(stream), token: tokens[to] || "" };
  }

  categoryOf(stream) {
    const i = this.last ? stream.lastIndexOf(this.separator) : stream.indexOf(this.separator);
    return i > 0 ? stream.slice(0, i) : undefined;
  }

  type(event, token) {
    if (this.types === null) return event.header("ce-type") || token;
    if (this.types.header) return event.header(this.types.header) || "";
    return event.subject.split(".")[this.types.from - 1] || "";
  }

  /** subject is where an event of a type for a stream goes, when event causes it. */
  subject(stream, type, event) {
    const tokens = this.tokens(stream);
    if (this.types && this.types.from) {
      if (this.types.from !== (this.streams.to || 0) + 1) {
        throw new Error("an event cannot be emitted when settings.types is a token that does not follow those of the stream");
      }
      tokens.push(type);
    }
    const bad = tokens.find((t) => !/^[^\s.*>\x00-\x1f\x7f]+$/.test(t));
    if (bad !== undefined) {
      throw new Error(`${JSON.stringify(bad)} of the stream ${JSON.stringify(stream)} cannot be a token of a subject: no blanks, dots, * or >`);
    }
    const before = this.before(event);
    return (before === "" ? "" : before + ".") + tokens.join(".");
  }

  /** tokens cuts a stream's id into as many tokens as settings.streams has. */
  tokens(stream) {
    const { header, from, to } = this.streams;
    const most = header ? 1 : to - from + 1;
    const tokens = [];
    let rest = stream;
    while (tokens.length + 1 < most && rest.indexOf("-") >= 0) {
      tokens.push(rest.slice(0, rest.indexOf("-")));
      rest = rest.slice(rest.indexOf("-") + 1);
    }
    return [...tokens, rest];
  }

  before(event) {
    if (this.prefix !== "") return this.prefix;
    if (this.streams.header) {
      throw new Error('to emit where streams are in a header, say where to: settings emit = "PREFIX"');
    }
    return event.subject.split(".").slice(0, this.streams.from - 1).join(".");
  }
}
