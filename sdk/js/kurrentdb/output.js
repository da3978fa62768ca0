// What a projection emits: events, links and results.

class Output {
  /** publish is emit of this engine: subject, data, headers. */
  constructor(definition, mapping, context, publish) {
    this.publish = publish;
    this.definition = definition;
    this.mapping = mapping;
    this.context = context;
  }

  /** emit appends an event to a stream. */
  emit(args) {
    const [stream, type, body, metadata] = args;
    this.allowed("emit");
    if (args.length < 3) throw new Error("emit: want stream, type and data");
    text("emit", "stream", stream);
    text("emit", "type", type);
    object("emit", "data", body);
    if (args.length > 3) object("emit", "metadata", metadata);
    this.send(stream, type, jsonOf(body, "data of emit"), this.metadata(metadata), {});
  }

  /** linkTo appends a link to the event that is being handled. */
  linkTo(args) {
    const [stream, event, metadata] = args;
    this.allowed("linkTo");
    if (args.length !== 2 && args.length !== 3) throw new Error("linkTo: want stream, event, and perhaps metadata");
    text("linkTo", "stream", stream);
    object("linkTo", "event", event);
    if (event !== this.context.current) {
      throw refuse("linkTo", "only the event that is being handled can be linked, since a link carries its event with it");
    }
    if (metadata !== undefined) object("linkTo", "metadata", metadata);
    const linked = this.context.event;
    const headers = { [linkHeader]: `${this.context.linkNumber()}@${event.streamId}` };
    if (metadata !== undefined) headers[linkMetadataHeader] = jsonOf(metadata, "metadata of linkTo");
    for (const name of ["ce-id", "ce-time", "ce-datacontenttype", "content-type"]) {
      const value = linked.header(name);
      if (value) headers[name] = value;
    }
    this.send(stream, event.eventType, linked.text, this.context.metadata(), headers);
  }

  /** result appends what has become of a partition's result, where a script names a stream for it. */
  result(partition, json) {
    const { resultStream: all, partitionResultStream, emitsResults } = this.definition;
    if (!emitsResults) return;
    const type = json === undefined ? "ResultRemoved" : "Result";
    const metadata = this.metadata();
    if (partition === "") {
      this.send(all, type, json || "", metadata, {});
      return;
    }
    const own = (partitionResultStream || `${all}-{0}`).split("{0}").join(partition);
    this.send(own, type, json || "", metadata, {});
    this.send(all, type, json || "", metadata, { [linkHeader]: `${this.context.event.sequence}@${own}` });
  }

  /** metadata gives an emitted event's metadata, with what KurrentDB adds: what caused it. */
  metadata(given) {
    const { event } = this.context;
    const all = {};
    if (event.id) all.$causedBy = event.id;
    const raw = this.context.metadata();
    if (raw !== null && raw.includes("$correlationId")) all.$correlationId = parsed(raw, this.context.metadataHeader).$correlationId;
    return jsonOf({ ...all, ...given }, "metadata of emit");
  }

  send(stream, type, data, metadata, headers) {
    const { streams } = this.mapping;
    const subject = this.mapping.subject(stream, type, this.context.event);
    const all = { "ce-type": type, ...headers };
    const types = this.mapping.types;
    if (types && types.header) all[types.header] = type;
    if (streams.header) all[streams.header] = stream;
    if (metadata !== null && metadata !== "{}") all[this.context.metadataHeader] = metadata;
    this.publish(subject, data, all);
  }

  allowed(name) {
    const where = this.context.phase;
    if (where !== handling) throw refuse(`${name}()`, `it belongs into ${handling}, not into ${where}`);
  }
}

function text(call, what, value) {
  if (typeof value !== "string" || value.trim() === "") throw new Error(`${call}: ${what}: want a text that is not empty`);
}

function object(call, what, value) {
  if (typeof value !== "object" || value === null) throw new Error(`${call}: ${what}: want an object`);
}
