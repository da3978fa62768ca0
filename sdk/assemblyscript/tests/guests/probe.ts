// What the SDK does, by the type of the event: the tests say which.
import { Buffer, Event, JsonObject, JsonWriter, Kind, Level, State, emit, fail, log, onEvent, onInit, onRequest } from "gnomon";
export { apply, init, query } from "gnomon";

let limit: i64 = 0;
let share: f64 = 0;
let names: string[] = [];

onInit((settings) => {
  limit = settings.int("limit", 7, 0, 100);
  share = settings.float("share", 0.5);
  if (settings.bool("strict", false)) log.info("strict " + settings.string("name", "nobody"));
  names = settings.table("names").names();
});

class Tally {
  count: i64 = 0;
  name: string = "";
  share: f64 = 0;
  open: bool = false;

  read(json: JsonObject): void {
    this.count = json.int("count");
    this.name = json.string("name");
    this.share = json.float("share");
    this.open = json.bool("open");
  }

  write(json: JsonWriter): void {
    json.object().field("count").int(this.count).field("name").string(this.name)
      .field("share").float(this.share).field("open").bool(this.open).end();
  }
}

class Node {
  next: Node | null = null;
}

const out = new JsonWriter();
const text = new Buffer();

onEvent((event, state) => {
  const type = event.type;
  if (type == "settings") return state.put("settings", `${limit} ${share} ${names.join(",")}`);
  if (type == "event") return describe(event, state);
  if (type == "fold") return fold(event, state);
  if (type == "strings") return strings(event, state);
  if (type == "fields") return fields(event, state);
  if (type == "grow") return grow(event, state);
  if (type == "scan") return scan(event, state);
  if (type == "churn") return churn(event, state);
  if (type == "emit") return emit("out." + event.token(2).toString(), event.data, ["ce-type", "seen", "length", event.data.length.toString()]);
  if (type == "log") {
    log.debug("d");
    log.warn(event.data);
    log.error(log.enabled(Level.Error) ? "e" : "");
    return;
  }
  failing(type, event, state);
});

function failing(type: string, event: Event, state: State): void {
  state.put("before", "x");
  if (type == "fail") fail("no such thing");
  if (type == "throw") throw new Error("odd");
  if (type == "index") names[event.data.length].trim();
  if (type == "null") new Node().next!.next = null;
  if (type == "absent") event.string("there");
  if (type == "kind") event.int("text");
  if (type == "data") event.field("text");
  if (type == "no key") state.put("", "x");
  if (type == "long key") state.put("ä".repeat(40000), "x");
  if (type == "long value") state.put("k", "x".repeat(1 << 20 | 1));
  if (type == "headers") emit("a", "b", ["odd"]);
  if (type == "subject") emit("", "b");
  if (type == "not json") {
    state.put("k", "[1]");
    state.load("k", new Tally());
  }
  if (type == "scan and write") {
    state.put("k1", "");
    for (const rows = state.scan("k"); rows.next(); ) state.delete(rows.key);
  }
  if (type == "unended") out.reset().end();
  if (type == "nan") out.reset().float(NaN);
  if (type == "range") event.subject[99];
}

function describe(event: Event, state: State): void {
  out.reset().array()
    .int(event.sequence).int(event.stored).string(event.subject).string(event.token(1)).string(event.token(2)).string(event.token(9)).string(event.token(0))
    .string(event.type).string(event.id).string(event.time).string(event.key).string(event.header("X-Odd")).string(event.headerText("none"))
    .string(event.data).bool(event.is("event")).bool(event.is("events")).end();
  state.put("event", out);
}

function fold(event: Event, state: State): void {
  const tally = new Tally();
  if (!state.load("tally", tally)) tally.open = true;
  tally.count++;
  tally.name = event.string("name");
  tally.share = event.float("share");
  tally.open = event.bool("open") != tally.open;
  state.store("tally", tally);
}

// The same text by the way of strings, and as bytes.
function strings(event: Event, state: State): void {
  const value = event.text("text");
  state.put("as string\t" + event.string("text"), out.reset().string(event.string("text")));
  state.put(text.set("as bytes\t").add(value), out.reset().string(value));
  if (!value.equals(event.string("text")) || !value.equals(value) || value.equals("other")) fail("equals");
}

// Fields that were asked for keep what they say when others are asked for.
function fields(event: Event, state: State): void {
  const first = event.text("first");
  for (let i = 0; i < 20; i++) event.field("f" + i.toString());
  const n = event.field("n");
  state.put("fields", `${first.toString()} ${n.isInt} ${n.int} ${n.raw.toString()} ${event.field("none").kind == Kind.Absent}`);
}

function grow(event: Event, state: State): void {
  for (let n = 10; n <= 1 << 20; n *= 4) {
    state.put("grow", "x".repeat(n));
    if (state.get("grow")!.length != n) fail("length");
  }
  state.put("grow", event.data.length.toString());
  if (state.get("none") || state.has("none") || !state.has("grow")) fail("presence");
}

// Keys of several pages, with one value of 1 MiB among them.
function scan(event: Event, state: State): void {
  for (let i = 1000; i < 3000; i++) state.put("row\t" + i.toString(), "v".repeat(i == 2500 ? 1 << 20 : 20));
  let count = 0, bytes = 0, last = "";
  for (const rows = state.scan("row\t"); rows.next(); count++) {
    bytes += rows.value.length;
    if (rows.key.toString() <= last) fail("order");
    last = rows.key.toString();
    if (count == 5) for (const inner = state.scan("row\t", "row\t2997"); inner.next(); ) last += inner.key.slice(7).toString();
    if (count == 5) last = rows.key.toString();
  }
  let after = 0;
  for (const rows = state.scan("row\t", "row\t2989"); rows.next(); ) after++;
  state.put("scanned", `${count} ${bytes} ${after} ${last}`);
}

function churn(event: Event, state: State): void {
  let words = event.string("text").split(" ");
  words.sort();
  state.put("words", words.join("-") + event.sequence.toString());
}

const object = new JsonObject();
const inner = new JsonObject();

// Writes again what the request says, without blanks.
onRequest((request, state, answer) => {
  object.open(request, "the request");
  const fields = object.names();
  answer.object();
  for (let i = 0; i < fields.length; i++) {
    const name = fields[i];
    answer.field(name);
    switch (object.kind(name)) {
      case Kind.String: answer.string(object.text(name)); break;
      case Kind.Bool: answer.bool(object.bool(name)); break;
      case Kind.Null: answer.null(); break;
      case Kind.Number: answer.raw(object.raw(name)); break;
      case Kind.Object:
        inner.open(object.raw(name), "a field");
        answer.raw("{}");
        break;
      default: answer.raw("[]");
    }
  }
  answer.end();
});
