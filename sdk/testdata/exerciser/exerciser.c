// The exerciser in C: sdk/same_test.go says what it does.
#include "gnomon.h"

static gn_text name = GN_TEXT("none");
static int64_t number = 7;
static bool flag;

static int on_init(void) {
  const gn_setting list[] = {{.name = "name", .text = &name}, {.name = "n", .integer = &number, .least = INT64_MIN}, {.name = "flag", .flag = &flag}};
  return gn_settings(list);
}

static uint32_t hash(uint32_t h, gn_text t, uint32_t most) {
  for (uint32_t i = 0; i < t.size && i < most; i++) h = (h ^ (unsigned char)t.at[i]) * 16777619u;
  return h;
}

// scan reads other keys meanwhile.
static gn_text scan(bool stop, gn_text prefix, gn_text after) {
  uint32_t count = 0, inner = 0, size = 0, h = 2166136261u;
  for (gn_scan s = gn_scan_after(prefix, after); gn_scan_next(&s);) {
    if (count % 50 == 0) {
      gn_text got;
      if (gn_get(s.key, &got)) inner += got.size;
      for (gn_scan i = gn_scan_prefix(s.key); gn_scan_next(&i);) inner++;
    }
    count++, size += s.value.size;
    h = hash(hash(h, s.key, UINT32_MAX), s.value, 1000);
    if (stop && count == 3) break;
  }
  return gn_join(count, ";", inner, ";", size, ";", h, ";");
}

static int deep(const char *from) {
  char frame[1000];
  __builtin_memset(frame, *from, sizeof frame);
  return *from ? deep(frame) + frame[*from & 7] : 0;
}

// fault ends the call by a trap, or by having no more memory or stack.
static void fault(gn_text kind) {
  while (gn_is(kind, "memory")) gn_take(1 << 20);
  if (gn_is(kind, "stack")) gn_log(GN_INFO, deep(kind.at));
  __builtin_trap();
}

static gn_text operation(const gn_event *e, char op, gn_text a, gn_text b) {
  static const int levels[] = {GN_DEBUG, GN_INFO, GN_WARN, GN_ERROR};
  static const char *const names[] = {"h0", "h1", "h2", "h3", "h4"};
  gn_text none = gn_bytes(NULL, 0), value;
  gn_part parts[600];
  uint32_t count = 0;
  switch (op) {
  case 'p': gn_put(a, b); return none;
  case 'd': gn_delete(a); return none;
  case 'c':
    if (!gn_get(a, &value)) return gn_delete(b), none;
    gn_put(b, value);
    return gn_join(value.size, ";");
  case 's':
  case 'S': return scan(op == 'S', a, b);
  case 'e':
    for (uint32_t i = 1; i < b.size; i++) {
      parts[count++] = gn_part_string(names[i % 5]);
      parts[count++] = gn_part_text(gn_bytes(a.at, a.size * (b.at[i] & 1)));
    }
    gn_emit(a, b, gn_headers_parts(parts, count));
    return none;
  case 'l': gn_log(levels[(int)b.at[0]], a); return none;
  case 'h': {
    char *zero_ended = gn_take(a.size + 1);
    __builtin_memcpy(zero_ended, a.at, a.size), zero_ended[a.size] = 0;
    return gn_join(gn_header(e, zero_ended), ";");
  }
  case 't': return gn_join(gn_token(e, b.at[0]), ";");
  case 'q': return gn_join(gn_quoted(a));
  case 'v': return gn_join(e->subject, ";", e->key, ";", gn_header(e, "ce-id"));
  case 'x': fault(a);
  }
  return gn_fail(a), none;
}

// operations does what the event's data says: {u8 operation, u32 length of a, u32 length of b, a, b}*.
static int operations(const gn_event *e) {
  gn_text trace = gn_bytes(NULL, 0);
  for (const char *p = e->data.at, *end = p + e->data.size; p < end && !gn_now.failed;) {
    uint32_t size[2];
    __builtin_memcpy(size, p + 1, 8);
    gn_text a = gn_bytes(p + 9, size[0]), b = gn_bytes(a.at + a.size, size[1]);
    trace = gn_join(trace, operation(e, *p, a, b));
    p = b.at + b.size;
  }
  gn_put(gn_join("trace\t", e->sequence), trace);
  return 0;
}

static void keep(const gn_event *e, const char *where, const char *field, const gn_value *v) {
  gn_text key = gn_join(e->sequence, "\t", where, "\t", field);
  if (v->whole && v->integer <= 1ll << 53 && v->integer >= -(1ll << 53)) gn_put(key, gn_join(v->integer));
  else if (v->kind != GN_STRING) gn_put(key, gn_text_of("-"));
  else gn_put(key, v->text), gn_put(gn_join(key, "\tquoted"), gn_join(gn_quoted(v->text)));
}

// fields reads the data's fields as the host found them, and itself.
static int fields(const gn_event *e) {
  static const char *const names[] = {"s", "n", "é\n", "absent"};
  for (int i = 0; i < 4; i++) {
    gn_value v = gn_field(e, names[i]);
    keep(e, "field", names[i], &v);
  }
  gn_value v[2];
  if (!gn_object(e->data, v, "s", "n")) return gn_fail("no object");
  keep(e, "own", "s", &v[0]), keep(e, "own", "n", &v[1]);
  return 0;
}

static int on_event(const gn_event *e) {
  gn_text type = gn_type(e);
  if (gn_is(type, "json")) return fields(e);
  if (!gn_is(type, "settings")) return operations(e);
  gn_put(gn_text_of("settings"), gn_join(name, "|", number, "|", flag ? "true" : "false"));
  return 0;
}

// on_migrate rewrites the rows of an older state: each before the scan goes on behind it.
static int on_migrate(int32_t from) {
  gn_text key = gn_text_of("");
  uint32_t count = 0;
  if (from == 9) return gn_fail("said: no schema 9");
  for (gn_scan s = gn_scan_prefix(gn_text_of("row\t")); gn_scan_next(&s); s = gn_scan_after(gn_text_of("row\t"), key)) {
    key = gn_join(s.key);
    if (s.value.size == 0) gn_delete(key);
    else gn_put(key, gn_join(from, s.value));
    count++;
  }
  gn_put(gn_text_of("migrated"), gn_join(count));
  return 0;
}

static int on_query(gn_text request) {
  static char large[(1 << 20) + 1];
  gn_text value;
  if (gn_is(request, "large")) return gn_answer(gn_bytes(large, sizeof large)), 0;
  if (gn_is(request, "fail")) return gn_fail(gn_bytes("no\0é", 5));
  if (!gn_get(request, &value)) return gn_fail("absent");
  gn_answer("=", value);
  return 0;
}

GNOMON_INIT(on_init)
GNOMON_PROJECTION(on_event)
GNOMON_QUERY(on_query)
GNOMON_MIGRATE(on_migrate)
