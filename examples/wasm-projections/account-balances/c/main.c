// A projection that keeps the balance of every account, emits an event when one is
// overdrawn, and answers which accounts have the most. gnomon.h is the SDK.
#include "gnomon.h"

// What [projection.settings] of the configuration may say, and the defaults.
static int64_t overdraft = 0;                  // how far below zero an account may be
static gn_text alerts = GN_TEXT("alerts.account"); // first part of the subject of what is emitted

static int on_init(void) {
  static const gn_setting settings[] = {
      {"overdraft", .integer = &overdraft, .least = 0},
      {"alerts", .text = &alerts},
  };
  return gn_settings(settings);
}

// The value of the key "account\tNAME".
typedef struct {
  gn_text owner;
  int64_t balance, events; // so many were applied
  gn_text last;            // the time of the last of them, as it says it
} account;

static gn_text key_of(gn_text name) { return gn_join("account\t", name); }

static bool decode(gn_text value, account *a) {
  gn_value v[4];
  if (!gn_object(value, v, "owner", "balance", "events", "last")) return gn_fail("a stored account is not JSON: ", value), false;
  *a = (account){v[0].text, v[1].integer, v[2].integer, v[3].text};
  return true;
}

static void store(gn_text name, const account *a) {
  gn_put(key_of(name), gn_join("{\"owner\":", gn_quoted(a->owner), ",\"balance\":", a->balance, ",\"events\":", a->events, ",\"last\":", gn_quoted(a->last), "}"));
}

static bool load(gn_text name, account *a) {
  gn_text value;
  return gn_get(key_of(name), &value) && decode(value, a);
}

// text takes a field of the event that must say something.
static bool text(const gn_event *e, const char *field, gn_text *value) {
  if (gn_field_text(e, field, value) && value->size > 0) return true;
  return gn_fail(field, " must be a text"), false;
}

static int on_opened(const gn_event *e, gn_text name) {
  account a = {.events = 1, .last = gn_header(e, "ce-time")};
  gn_text there;
  if (!text(e, "owner", &a.owner)) return 1;
  if (gn_get(key_of(name), &there)) return gn_fail("account ", name, " is open already");
  store(name, &a);
  return 0;
}

static int on_closed(gn_text name, const account *a) {
  if (a->balance != 0) return gn_fail("account ", name, " is closed with a balance of ", a->balance);
  gn_log(GN_INFO, "account ", name, " closed after ", a->events + 1, " events");
  gn_delete(key_of(name));
  return 0;
}

// alert emits that the account is overdrawn: once, however often this is computed anew.
static void alert(const gn_event *e, gn_text name, const account *a) {
  gn_emit(gn_join(alerts, ".overdrawn"),
          gn_join("{\"account\":", gn_quoted(name), ",\"balance\":", a->balance, ",\"sequence\":", e->sequence, "}"),
          gn_headers("ce-type", "account.overdrawn", "account-owner-length", a->owner.size));
}

// on_event is called for every event, in the order of the stream. A result other than 0
// takes back all that the event wrote and emitted.
static int on_event(const gn_event *e) {
  gn_text type = gn_type(e), name;
  bool opened = gn_is(type, "account.opened"), closed = gn_is(type, "account.closed");
  bool withdrawn = gn_is(type, "account.withdrawn");
  if (!opened && !closed && !withdrawn && !gn_is(type, "account.deposited")) return 0;
  if (!text(e, "account", &name)) return 1;
  if (opened) return on_opened(e, name);

  int64_t amount = 0;
  if (!closed && (!gn_field_int(e, "amount", &amount) || amount < 1 || amount > 999999999999999))
    return gn_fail("amount must be a whole number from 1 to 999999999999999");
  account a;
  if (!load(name, &a)) return gn_fail("account ", name, " is not open");
  if (closed) return on_closed(name, &a);

  int64_t before = a.balance;
  a.balance += withdrawn ? -amount : amount;
  a.events++;
  a.last = gn_header(e, "ce-time");
  if (before >= -overdraft && a.balance < -overdraft) alert(e, name, &a);
  store(name, &a);
  return 0;
}

// on_query answers a request such as {"top":3}: the accounts with the highest balances,
// equal ones by name. The best of those that were scanned are kept in order.
static int on_query(gn_text request) {
  struct { gn_text name; int64_t balance; } best[101];
  gn_value top = {.whole = true, .integer = 3};
  if (request.size > 0) {
    gn_value asked;
    if (!gn_object(request, &asked, "top")) return gn_fail("the request must be a JSON object, such as {\"top\":3}");
    if (asked.kind != GN_ABSENT) top = asked;
  }
  if (!top.whole || top.integer < 1 || top.integer > 100) return gn_fail("top must be from 1 to 100");

  int count = 0;
  for (gn_scan s = gn_scan_prefix(gn_join("account\t")); gn_scan_next(&s);) {
    account a;
    if (!decode(s.value, &a)) return 1;
    int at = count; // keys come in order, so the one that comes later stays behind its equals
    for (; at > 0 && best[at - 1].balance < a.balance; at--) best[at] = best[at - 1];
    if (at == top.integer) continue;
    best[at].name = gn_copy(gn_bytes(s.key.at + 8, s.key.size - 8)), best[at].balance = a.balance;
    if (count < top.integer) count++;
  }
  gn_answer("[");
  for (int i = 0; i < count; i++) gn_answer(i ? "," : "", "{\"account\":", gn_quoted(best[i].name), ",\"balance\":", best[i].balance, "}");
  gn_answer("]");
  return 0;
}

GNOMON_INIT(on_init)
GNOMON_PROJECTION(on_event)
GNOMON_QUERY(on_query)
