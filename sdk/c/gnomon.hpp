// gnomon.hpp: projections for Gnomon in C++17, a thin layer over gnomon.h, whose rules hold:
// a call that the host refuses makes the event fail, whatever its handler returns, and texts
// are valid until the handler returns. Build with -fno-exceptions -fno-rtti; of the standard
// library all may be used that needs no files, clocks or threads.
//
//   static int on_event(gnomon::Event e) {
//     auto count = gnomon::get(e.subject()).value_or("0");
//     gnomon::put(e.subject(), gnomon::join(gnomon::integer(count).value_or(0) + 1));
//     return 0;
//   }
//   GNOMON_CPP_PROJECTION(on_event)
#ifndef GNOMON_HPP
#define GNOMON_HPP

#include <array>
#include <cstdarg>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <optional>
#include <string_view>
#include <type_traits>

#include "gnomon.h"

namespace gnomon {

using std::optional;
using std::string_view;

inline string_view view(gn_text t) { return {t.at, t.size}; }
inline gn_text text(string_view v) { return gn_bytes(v.data(), static_cast<uint32_t>(v.size())); }

// ---- Texts of parts: texts, integers and quoted(text) ---------------------------------

template <class T>
gn_part part(const T &x) {
  if constexpr (std::is_same_v<T, gn_part>) return x;
  else if constexpr (std::is_same_v<T, gn_text>) return gn_part_text(x);
  else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) return gn_part_signed(x);
  else if constexpr (std::is_integral_v<T>) return gn_part_unsigned(x);
  else return gn_part_text(text(x));
}

template <class... P>
std::array<gn_part, sizeof...(P)> parts(const P &...p) { return {part(p)...}; }

// quoted is a text as a JSON string, join the parts one after the other.
inline gn_part quoted(string_view v) { return gn_quoted(text(v)); }

template <class... P>
string_view join(const P &...p) { return view(gn_join_parts(parts(p...).data(), sizeof...(P))); }

// fail says why the event fails; return what it returns.
template <class... P>
int fail(const P &...p) { return gn_fail_parts(parts(p...).data(), sizeof...(P)); }

template <class... P>
void log(int level, const P &...p) { gn_log_parts(level, parts(p...).data(), sizeof...(P)); }

// answer appends to the answer of a query.
template <class... P>
void answer(const P &...p) { gn_answer_parts(parts(p...).data(), sizeof...(P)); }

// headers are pairs of name and value.
template <class... P>
gn_text headers(const P &...p) {
  static_assert(sizeof...(P) % 2 == 0, "headers are pairs of name and value");
  return gn_headers_parts(parts(p...).data(), sizeof...(P));
}

// copy makes a text that does not change when a scan goes on, keep one that stays for good.
inline string_view copy(string_view v) { return view(gn_copy(text(v))); }
inline string_view keep(string_view v) { return view(gn_keep(text(v))); }

// ---- JSON ---------------------------------------------------------------------------

// Value is a JSON value; see gn_value.
struct Value : gn_value {
  bool absent() const { return kind == GN_ABSENT; }
  optional<string_view> string() const { return kind == GN_STRING ? optional(view(text)) : std::nullopt; }
  optional<int64_t> integer() const { return whole ? optional(gn_value::integer) : std::nullopt; }
};

// members are those of a JSON object with these names, in their order; none when the text is
// no JSON object.
template <class... N>
optional<std::array<Value, sizeof...(N)>> members(string_view json, const N &...names) {
  const char *const list[] = {names...};
  gn_value values[sizeof...(N)];
  if (!gn_read_members(text(json), values, list, sizeof...(N))) return std::nullopt;
  std::array<Value, sizeof...(N)> all{};
  for (size_t i = 0; i < sizeof...(N); i++) static_cast<gn_value &>(all[i]) = values[i];
  return all;
}

// integer reads a whole number of at most 18 digits.
inline optional<int64_t> integer(string_view digits) {
  gn_value v;
  gn_reader r = {digits.data(), digits.data() + digits.size(), false};
  v = gn_read_value(&r, 0);
  return !r.bad && r.at == r.end && v.whole ? optional(v.integer) : std::nullopt;
}

// ---- Events -------------------------------------------------------------------------

class Event {
public:
  explicit Event(const gn_event &e) : e_(&e) {}

  uint64_t sequence() const { return e_->sequence; }
  int64_t stored_ns() const { return e_->stored_ns; } // Unix nanoseconds
  string_view subject() const { return view(e_->subject); }
  string_view token(int i) const { return view(gn_token(e_, i)); } // from 1
  string_view header(const char *name) const { return view(gn_header(e_, name)); }
  string_view type() const { return header("ce-type"); }
  string_view key() const { return view(e_->key); }
  string_view data() const { return view(e_->data); }

  // A field of the data, found by the host: of the kind, or none. Names are literals.
  Value field(const char *name) const { return {gn_field(e_, name)}; }
  optional<string_view> string(const char *name) const { return field(name).string(); }
  optional<int64_t> integer(const char *name) const { return field(name).integer(); }

private:
  const gn_event *e_;
};

// Output takes what an upcaster makes of an event: itself, others in its place, or nothing.
class Output {
public:
  explicit Output(const gn_event &e) : e_(&e) {}
  void pass() { gn_pass(e_); }
  void put(string_view subject, string_view data, gn_text headers = {}) { gn_output(e_, text(subject), text(data), headers); }

private:
  const gn_event *e_;
};

// emit has an event published, once, when the one at hand is committed.
inline void emit(string_view subject, string_view data, gn_text headers = {}) { gn_emit(text(subject), text(data), headers); }

// ---- State --------------------------------------------------------------------------

inline optional<string_view> get(string_view key) {
  gn_text value;
  return gn_get(text(key), &value) ? optional(view(value)) : std::nullopt;
}
inline void put(string_view key, string_view value) { gn_put(text(key), text(value)); }
inline void erase(string_view key) { gn_delete(text(key)); }

// A type T is kept in the state by load, store and update when it has
//   static optional<T> decode(string_view);   none: it is not what was stored
//   string_view encode() const;
template <class T>
optional<T> load(string_view key) {
  optional<string_view> value = get(key);
  if (!value) return std::nullopt;
  optional<T> t = T::decode(*value);
  if (!t) fail("the value of ", quoted(key), " is not what was stored there");
  return t;
}

template <class T>
void store(string_view key, const T &value) { put(key, value.encode()); }

// update loads a value, or a new one, has it changed, and stores it when change returns 0.
template <class T, class F>
int update(string_view key, F change) {
  optional<T> value = load<T>(key);
  if (!value) value.emplace();
  int result = change(*value);
  if (result == 0 && !gn_now.failed) store(key, *value);
  return result;
}

// scan goes over the keys with a prefix, in the order of their bytes:
//   for (auto [key, value] : gnomon::scan("account\t")) …
// Both are valid until the next step. Write to the state after it.
struct Entry {
  string_view key, value;
};

class scan {
public:
  explicit scan(string_view prefix, string_view after = {}) : s_(gn_scan_after(text(prefix), text(after))) {}

  struct End {};
  class Iterator {
  public:
    explicit Iterator(gn_scan *s) : s_(s) { ++*this; }
    Entry operator*() const { return {view(s_->key), view(s_->value)}; }
    Iterator &operator++() { return more_ = gn_scan_next(s_), *this; }
    bool operator!=(End) const { return more_; }

  private:
    gn_scan *s_;
    bool more_ = false;
  };
  Iterator begin() { return Iterator(&s_); }
  End end() { return {}; }

private:
  gn_scan s_;
};

// ---- Settings -----------------------------------------------------------------------

struct Setting {
  Setting(const char *name, int64_t &to, int64_t least = INT64_MIN) : raw{name, &to, least, 0, nullptr, nullptr} {}
  Setting(const char *name, string_view &to) : raw{name, nullptr, 0, 0, nullptr, nullptr}, to(&to), said(text(to)) {}
  Setting(const char *name, bool &to) : raw{name, nullptr, 0, 0, nullptr, &to} {}

  gn_setting raw;
  string_view *to = nullptr; // of a text, which is read into said
  gn_text said{};
};

// settings reads them into variables, which hold the defaults; see gn_settings. For on_init.
template <size_t N>
int settings(Setting (&&list)[N]) {
  gn_setting raw[N];
  for (size_t i = 0; i < N; i++) {
    raw[i] = list[i].raw;
    if (list[i].to) raw[i].text = &list[i].said;
  }
  int result = gn_read_settings(raw, N);
  for (const Setting &s : list)
    if (s.to) *s.to = view(s.said);
  return result;
}

} // namespace gnomon

// ---- The standard library ------------------------------------------------------------
// Without these, what it does when memory runs out would bring all of stdio with it.

__attribute__((weak)) void *operator new(size_t size) {
  void *at = std::malloc(size ? size : 1);
  if (!at) gn_out_of_memory();
  return at;
}
__attribute__((weak)) void *operator new(size_t size, const std::nothrow_t &) noexcept { return std::malloc(size ? size : 1); }
__attribute__((weak)) void operator delete(void *at) noexcept { std::free(at); }
__attribute__((weak)) void operator delete(void *at, size_t) noexcept { std::free(at); }

#ifdef _LIBCPP_VERSION // libc++.llvm.org, "Overriding the default termination handler"
_LIBCPP_BEGIN_NAMESPACE_STD
__attribute__((weak, noreturn)) void __libcpp_verbose_abort(const char *format, ...) {
  char text[512];
  uint32_t size = 0;
  va_list args;
  va_start(args, format);
  for (bool texts = true; *format && size < sizeof text; format++) { // %s, up to any other
    texts = texts && (*format != '%' || format[1] == 's');
    if (!texts || *format != '%') text[size++] = *format;
    else if (format++; const char *said = va_arg(args, const char *)) while (*said && size < sizeof text) text[size++] = *said++;
  }
  va_end(args);
  gn_host_fail(gn_now.event, text, size);
  __builtin_trap();
}
_LIBCPP_END_NAMESPACE_STD
#endif

// ---- Entry points ---------------------------------------------------------------------
// int on_event(gnomon::Event), of an upcaster int on_event(gnomon::Event, gnomon::Output),
// int on_query(std::string_view), and int () for the others.

#define GNOMON_CPP_PROJECTION(on_event) extern "C" { GNOMON_PROJECTION([](const gn_event *e) { return (on_event)(gnomon::Event(*e)); }) }
#define GNOMON_CPP_UPCASTER(on_event) extern "C" { GNOMON_UPCASTER([](const gn_event *e) { return (on_event)(gnomon::Event(*e), gnomon::Output(*e)); }) }
#define GNOMON_CPP_QUERY(on_query) extern "C" { GNOMON_QUERY([](gn_text request) { return (on_query)(gnomon::view(request)); }) }
#define GNOMON_CPP_INIT(on_init) extern "C" { GNOMON_INIT(on_init) }
#define GNOMON_CPP_MIGRATE(on_migrate) extern "C" { GNOMON_MIGRATE(on_migrate) }
#define GNOMON_CPP_MEMORY(on_snapshot, on_restore) extern "C" { GNOMON_MEMORY(on_snapshot, on_restore) }

#endif
