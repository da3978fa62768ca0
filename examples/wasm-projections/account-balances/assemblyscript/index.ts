// A projection that keeps the balance of every account, emits an event when one is
// overdrawn, and answers which accounts have the most. README.md says how to build it.
import { Buffer, Event, JsonObject, JsonWriter, Kind, Reader, State, Text, emit, fail, log, onEvent, onInit, onRequest } from "gnomon";
export { apply, init, query } from "gnomon"; // what the engine calls

const PREFIX = "account\t"; // of the keys; the account's name follows
const MOST_AMOUNT: i64 = 999_999_999_999_999;

// What [projection.settings] of the configuration may say, and the defaults.
let overdraft: i64 = 0; // how far below zero an account may be
let alerts = "alerts.account"; // first part of the subject of what is emitted

onInit((settings) => {
  overdraft = settings.int("overdraft", overdraft, 0);
  alerts = settings.string("alerts", alerts);
});

/** The value of a key. Its texts are buffers, which are used again for each event: a string would be made anew. */
class Account {
  owner: Buffer = new Buffer();
  balance: i64 = 0;
  events: i64 = 0; // so many were applied
  last: Buffer = new Buffer(); // the time of the last of them, as it says it

  read(json: JsonObject): void {
    this.owner.set(json.text("owner"));
    this.balance = json.int("balance");
    this.events = json.int("events");
    this.last.set(json.text("last"));
  }

  write(json: JsonWriter): void {
    json.object()
      .field("owner").string(this.owner)
      .field("balance").int(this.balance)
      .field("events").int(this.events)
      .field("last").string(this.last)
      .end();
  }
}

// Made once, so that an event allocates nothing.
const account = new Account();
const key = new Buffer();
const data = new JsonWriter();

// Called for every event, in the order of the stream. fail takes back all that the event
// wrote and emitted.
onEvent((event, state) => {
  const opened = event.is("account.opened"), closed = event.is("account.closed");
  const withdrawn = event.is("account.withdrawn");
  if (!opened && !closed && !withdrawn && !event.is("account.deposited")) return;

  const name = text(event, "account");
  key.set(PREFIX).add(name);
  if (opened) return open(event, state, name);
  let amount: i64 = 0;
  if (!closed) {
    const field = event.field("amount");
    if (!field.isInt || field.int < 1 || field.int > MOST_AMOUNT) fail("amount must be a whole number from 1 to " + MOST_AMOUNT.toString());
    amount = withdrawn ? -field.int : field.int;
  }
  if (!state.load(key, account)) fail(`account ${name.toString()} is not open`);
  account.events++;
  if (closed) {
    if (account.balance != 0) fail(`account ${name.toString()} is closed with a balance of ${account.balance}`);
    log.info(`account ${name.toString()} closed after ${account.events} events`);
    return state.delete(key);
  }
  const before = account.balance;
  account.balance += amount;
  account.last.set(event.headerText("ce-time"));
  if (before >= -overdraft && account.balance < -overdraft) alert(event, name);
  state.store(key, account);
});

/** A field that must say something. */
function text(event: Event, name: string): Text {
  const field = event.field(name);
  if (field.kind != Kind.String || field.text.length == 0) fail(name + " must be a text");
  return field.text;
}

function open(event: Event, state: State, name: Text): void {
  const owner = text(event, "owner");
  if (state.has(key)) fail(`account ${name.toString()} is open already`);
  account.owner.set(owner);
  account.balance = 0;
  account.events = 1;
  account.last.set(event.headerText("ce-time"));
  state.store(key, account);
}

/** Emits that the account is overdrawn: once, however often this is computed anew. */
function alert(event: Event, name: Text): void {
  data.reset().object()
    .field("account").string(name)
    .field("balance").int(account.balance)
    .field("sequence").int(event.sequence)
    .end();
  emit(alerts + ".overdrawn", data, ["ce-type", "account.overdrawn", "account-owner-length", account.owner.length.toString()]);
}

class Holder {
  constructor(public name: string, public balance: i64) {}
}

const object = new JsonObject();

// Answers a request such as {"top":3}: the accounts with the highest balances.
onRequest((request, state, answer) => {
  const top = readTop(request);
  // In the order of keys, so that of equal balances the first stays the first.
  const best = new Array<Holder>();
  for (const rows = state.scan(PREFIX); rows.next(); ) {
    object.open(rows.value, "value of a key");
    const balance = object.int("balance");
    let at = best.length;
    while (at > 0 && best[at - 1].balance < balance) at--;
    if (at >= top) continue;
    if (best.length == top) best.pop();
    best.push(new Holder("", 0));
    for (let i = best.length - 1; i > at; i--) best[i] = best[i - 1];
    best[at] = new Holder(rows.key.slice(PREFIX.length).toString(), balance);
  }
  answer.array();
  for (let i = 0; i < best.length; i++) {
    answer.object().field("account").string(best[i].name).field("balance").int(best[i].balance).end();
  }
  answer.end();
});

function readTop(request: Text): i32 {
  if (request.length == 0) return 3;
  object.open(request, "the request");
  if (!object.has("top")) return 3;
  const top = object.intOr("top", 0);
  if (top < 1 || top > 100) fail("top must be from 1 to 100");
  return <i32>top;
}
