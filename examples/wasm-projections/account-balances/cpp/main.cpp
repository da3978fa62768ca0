// A projection that keeps the balance of every account, emits an event when one is
// overdrawn, and answers which accounts have the most. gnomon.hpp is the SDK.
#include <algorithm>
#include <vector>

#include "gnomon.hpp"

using gnomon::fail, gnomon::join, gnomon::quoted;
using std::optional, std::string_view;

// What [projection.settings] of the configuration may say, and the defaults.
static int64_t overdraft = 0;                     // how far below zero an account may be
static string_view alerts = "alerts.account"; // first part of the subject of what is emitted

static int on_init() {
  return gnomon::settings({{"overdraft", overdraft, 0}, {"alerts", alerts}});
}

// The value of the key "account\tNAME".
struct Account {
  string_view owner;
  int64_t balance = 0, events = 0; // so many were applied
  string_view last;                // the time of the last of them, as it says it

  static optional<Account> decode(string_view value) {
    auto m = gnomon::members(value, "owner", "balance", "events", "last");
    if (!m) return {};
    auto &[owner, balance, events, last] = *m;
    return Account{owner.string().value_or(""), balance.integer().value_or(0), events.integer().value_or(0), last.string().value_or("")};
  }

  string_view encode() const {
    return join("{\"owner\":", quoted(owner), ",\"balance\":", balance, ",\"events\":", events, ",\"last\":", quoted(last), "}");
  }
};

constexpr string_view prefix = "account\t";

static int on_opened(gnomon::Event e, string_view name) {
  auto owner = e.string("owner");
  if (!owner || owner->empty()) return fail("owner must be a text");
  if (gnomon::get(join(prefix, name))) return fail("account ", name, " is open already");
  gnomon::store(join(prefix, name), Account{*owner, 0, 1, e.header("ce-time")});
  return 0;
}

static int on_closed(string_view name, const Account &a) {
  if (a.balance != 0) return fail("account ", name, " is closed with a balance of ", a.balance);
  gnomon::log(GN_INFO, "account ", name, " closed after ", a.events + 1, " events");
  gnomon::erase(join(prefix, name));
  return 0;
}

// alert emits that the account is overdrawn: once, however often this is computed anew.
static void alert(gnomon::Event e, string_view name, const Account &a) {
  gnomon::emit(join(alerts, ".overdrawn"),
               join("{\"account\":", quoted(name), ",\"balance\":", a.balance, ",\"sequence\":", e.sequence(), "}"),
               gnomon::headers("ce-type", "account.overdrawn", "account-owner-length", a.owner.size()));
}

// on_event is called for every event, in the order of the stream. A result other than 0
// takes back all that the event wrote and emitted.
static int on_event(gnomon::Event e) {
  string_view type = e.type();
  bool opened = type == "account.opened", closed = type == "account.closed", withdrawn = type == "account.withdrawn";
  if (!opened && !closed && !withdrawn && type != "account.deposited") return 0;
  auto name = e.string("account");
  if (!name || name->empty()) return fail("account must be a text");
  if (opened) return on_opened(e, *name);

  int64_t amount = closed ? 1 : e.integer("amount").value_or(0);
  if (amount < 1 || amount > 999'999'999'999'999) return fail("amount must be a whole number from 1 to 999999999999999");
  auto a = gnomon::load<Account>(join(prefix, *name));
  if (!a) return fail("account ", *name, " is not open");
  if (closed) return on_closed(*name, *a);

  int64_t before = a->balance;
  a->balance += withdrawn ? -amount : amount;
  a->events++;
  a->last = e.header("ce-time");
  if (before >= -overdraft && a->balance < -overdraft) alert(e, *name, *a);
  gnomon::store(join(prefix, *name), *a);
  return 0;
}

// on_query answers a request such as {"top":3}: the accounts with the highest balances,
// equal ones by name.
static int on_query(string_view request) {
  optional<int64_t> top = 3;
  if (!request.empty()) {
    auto asked = gnomon::members(request, "top");
    if (!asked) return fail("the request must be a JSON object, such as {\"top\":3}");
    if (!(*asked)[0].absent()) top = (*asked)[0].integer();
  }
  if (!top || *top < 1 || *top > 100) return fail("top must be from 1 to 100");

  std::vector<std::pair<string_view, int64_t>> all;
  for (auto [key, value] : gnomon::scan(prefix)) {
    auto a = Account::decode(value);
    if (!a) return fail("the value of ", quoted(key), " is not JSON");
    all.emplace_back(gnomon::copy(key.substr(prefix.size())), a->balance);
  }
  // Keys come in order, which a stable sort keeps among equals.
  std::stable_sort(all.begin(), all.end(), [](auto &a, auto &b) { return a.second > b.second; });
  gnomon::answer("[");
  for (size_t i = 0; i < all.size() && i < size_t(*top); i++)
    gnomon::answer(i ? "," : "", "{\"account\":", quoted(all[i].first), ",\"balance\":", all[i].second, "}");
  gnomon::answer("]");
  return 0;
}

GNOMON_CPP_INIT(on_init)
GNOMON_CPP_PROJECTION(on_event)
GNOMON_CPP_QUERY(on_query)
