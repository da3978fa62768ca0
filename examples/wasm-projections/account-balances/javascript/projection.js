// A projection that keeps the balance of every account, emits an event when one is
// overdrawn, and answers which accounts have the most. README.md says how to build it.

// What [projection.settings] of the configuration may say, and the defaults.
export const settings = {
  overdraft: 0, // how far below zero an account may be
  alerts: "alerts.account", // first part of the subject of what is emitted
};

// init is called once before any event, with the settings as the configuration has them.
export function init() {
  if (!Number.isInteger(settings.overdraft) || settings.overdraft < 0)
    throw new Error(`settings: overdraft is ${settings.overdraft}: a whole number from 0 is expected`);
}

const PREFIX = "account\t"; // of keys; the account's name follows
const MOST = 999_999_999_999_999;

// onEvent is called for every event, in the order of the stream. An error takes back all
// that the event wrote and emitted.
export function onEvent(event, state) {
  const handle = handlers[event.type];
  if (handle) handle(event, state, text(event, "account"));
}

const handlers = {
  __proto__: null, // so that an event of the type "constructor" has no handler
  "account.opened": open,
  "account.deposited": (event, state, name) => move(event, state, name, amount(event)),
  "account.withdrawn": (event, state, name) => move(event, state, name, -amount(event)),
  "account.closed": close,
};

// The host finds fields of the data: faster than event.data, which parses all of it.
function text(event, field) {
  const value = event.string(field);
  if (!value) throw new Error(`${field} must be a text`);
  return value;
}

function amount(event) {
  const value = event.int("amount");
  if (!(value >= 1 && value <= MOST)) throw new Error(`amount must be a whole number from 1 to ${MOST}`);
  return value;
}

function open(event, state, name) {
  const owner = text(event, "owner");
  if (state.has(PREFIX + name)) throw new Error(`account ${name} is open already`);
  state.putJSON(PREFIX + name, { owner, balance: 0, events: 1, last: event.timeText });
}

function load(state, name) {
  const account = state.getJSON(PREFIX + name);
  if (!account) throw new Error(`account ${name} is not open`);
  return account;
}

function move(event, state, name, change) {
  const account = load(state, name);
  const before = account.balance;
  account.balance += change;
  account.events++;
  account.last = event.timeText;
  state.putJSON(PREFIX + name, account);
  const limit = -settings.overdraft;
  if (change < 0 && before >= limit && account.balance < limit) alert(event, name, account);
}

function close(event, state, name) {
  const account = load(state, name);
  if (account.balance !== 0) throw new Error(`account ${name} is closed with a balance of ${account.balance}`);
  log.info(`account ${name} closed after ${account.events + 1} events`);
  state.delete(PREFIX + name);
}

// alert tells that the account is overdrawn: once, however often this is computed anew.
function alert(event, account, { balance, owner }) {
  emit(settings.alerts + ".overdrawn", { account, balance, sequence: event.sequence }, {
    "ce-type": "account.overdrawn",
    "account-owner-length": utf8.encode(owner).length,
  });
}

// query answers a request such as {"top":3}: the accounts with the highest balances.
export function query(request, state) {
  const top = request.data?.top ?? 3;
  if (!Number.isInteger(top) || top < 1 || top > 100) throw new Error("top must be from 1 to 100");
  const all = [];
  for (const [key, { balance }] of state.scanJSON(PREFIX)) all.push({ account: key.slice(PREFIX.length), balance });
  // sort keeps the order of equal ones, which is that of the scan: by the bytes of the key.
  return all.sort((a, b) => b.balance - a.balance).slice(0, top);
}
