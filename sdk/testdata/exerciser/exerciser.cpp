// The exerciser in C++: sdk/same_test.go says what it does.
#include <cstring>
#include <string>
#include <vector>

#include "gnomon.hpp"

using gnomon::optional;
using gnomon::string_view;
using std::string;

static string_view name = "none";
static int64_t number = 7;
static bool flag = false;

static int on_init() { return gnomon::settings({{"name", name}, {"n", number}, {"flag", flag}}); }

static uint32_t hash(uint32_t h, string_view t) {
  for (unsigned char c : t) h = (h ^ c) * 16777619u;
  return h;
}

// scan reads other keys meanwhile.
static string scan(bool stop, string_view prefix, string_view after) {
  uint32_t count = 0, inner = 0, size = 0, h = 2166136261u;
  for (auto [key, value] : gnomon::scan(prefix, after)) {
    if (count % 50 == 0) {
      inner += gnomon::get(key).value_or("").size();
      for ([[maybe_unused]] auto more : gnomon::scan(key)) inner++;
    }
    count++, size += value.size();
    h = hash(hash(h, key), value.substr(0, 1000));
    if (stop && count == 3) break;
  }
  return string(gnomon::join(count, ";", inner, ";", size, ";", h, ";"));
}

static int deep(const char *from) {
  char frame[1000];
  std::memset(frame, *from, sizeof frame);
  return *from ? deep(frame) + frame[*from & 7] : 0;
}

// fault ends the call by what would throw, or by having no more memory or stack.
static void fault(string_view kind) {
  static std::vector<string> hoard;
  while (kind == "memory") hoard.push_back(string(1 << 20, 'x'));
  if (kind == "stack") gnomon::log(GN_INFO, deep(kind.data()));
  gnomon::log(GN_INFO, string(kind).at(kind.size()));
}

static string operation(gnomon::Event e, char op, string_view a, string_view b) {
  switch (op) {
  case 'p': gnomon::put(a, b); return "";
  case 'd': gnomon::erase(a); return "";
  case 'c': {
    auto value = gnomon::get(a);
    if (!value) return gnomon::erase(b), "";
    gnomon::put(b, *value);
    return std::to_string(value->size()) + ";";
  }
  case 's':
  case 'S': return scan(op == 'S', a, b);
  case 'e': {
    std::vector<string> texts;
    for (size_t i = 1; i < b.size(); i++) texts.push_back("h" + std::to_string(i % 5)), texts.push_back(b[i] & 1 ? string(a) : "");
    std::vector<gn_part> parts;
    for (const string &t : texts) parts.push_back(gnomon::part(t));
    gnomon::emit(a, b, gn_headers_parts(parts.data(), parts.size()));
    return "";
  }
  case 'l': gnomon::log(std::array{GN_DEBUG, GN_INFO, GN_WARN, GN_ERROR}[b[0]], a); return "";
  case 'h': return string(e.header(string(a).c_str())) + ";";
  case 't': return string(e.token(b[0])) + ";";
  case 'q': return string(gnomon::join(gnomon::quoted(a)));
  case 'v': return string(gnomon::join(e.subject(), ";", e.key(), ";", e.header("ce-id")));
  }
  if (op == 'x') fault(a);
  gnomon::fail(a);
  return "";
}

// operations does what the event's data says: {u8 operation, u32 length of a, u32 length of b, a, b}*.
static int operations(gnomon::Event e) {
  string trace;
  for (string_view rest = e.data(); !rest.empty() && !gn_now.failed;) {
    uint32_t size[2];
    std::memcpy(size, rest.data() + 1, 8);
    trace += operation(e, rest[0], rest.substr(9, size[0]), rest.substr(9 + size[0], size[1]));
    rest.remove_prefix(9 + size[0] + size[1]);
  }
  gnomon::put(gnomon::join("trace\t", e.sequence()), trace);
  return 0;
}

static void keep(gnomon::Event e, string_view where, string_view field, gnomon::Value v) {
  string key = std::to_string(e.sequence()) + "\t" + string(where) + "\t" + string(field);
  if (auto n = v.integer(); n && *n <= 1ll << 53 && *n >= -(1ll << 53)) return gnomon::put(key, std::to_string(*n));
  auto text = v.string();
  if (!text) return gnomon::put(key, "-");
  gnomon::put(key, *text);
  gnomon::put(key + "\tquoted", gnomon::join(gnomon::quoted(*text)));
}

// fields reads the data's fields as the host found them, and itself.
static int fields(gnomon::Event e) {
  for (const char *field : {"s", "n", "é\n", "absent"}) keep(e, "field", field, e.field(field));
  auto own = gnomon::members(e.data(), "s", "n");
  if (!own) return gnomon::fail("no object");
  keep(e, "own", "s", (*own)[0]), keep(e, "own", "n", (*own)[1]);
  return 0;
}

static int on_event(gnomon::Event e) {
  if (e.type() == "json") return fields(e);
  if (e.type() != "settings") return operations(e);
  gnomon::put("settings", gnomon::join(name, "|", number, "|", flag ? "true" : "false"));
  return 0;
}

// on_migrate rewrites the rows of an older state.
static int on_migrate(int32_t from) {
  if (from == 9) return gnomon::fail("said: no schema 9");
  std::vector<string> keys;
  for (auto [key, value] : gnomon::scan("row\t")) keys.emplace_back(key);
  for (const string &key : keys) {
    string_view value = *gnomon::get(key);
    if (value.empty()) gnomon::erase(key);
    else gnomon::put(key, gnomon::join(from, value));
  }
  gnomon::put("migrated", std::to_string(keys.size()));
  return 0;
}

static int on_query(string_view request) {
  if (request == "large") return gnomon::answer(string((1 << 20) + 1, 'x')), 0;
  if (request == "fail") return gnomon::fail(string_view("no\0é", 5));
  auto value = gnomon::get(request);
  if (!value) return gnomon::fail("absent");
  gnomon::answer("=", *value);
  return 0;
}

GNOMON_CPP_INIT(on_init)
GNOMON_CPP_PROJECTION(on_event)
GNOMON_CPP_QUERY(on_query)
GNOMON_CPP_MIGRATE(on_migrate)
