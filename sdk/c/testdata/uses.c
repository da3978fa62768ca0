// Does what the first token of an event's subject says.
#include "gnomon.h"

static char large[(1 << 20) + 1];

static int fill(void) {
  for (int i = 2999; i >= 0; i--) {
    gn_text key = gn_join("n\t", i + 10000);
    gn_put(key, i == 500 ? gn_bytes(large, 1 << 20) : gn_join("value of ", i));
  }
  gn_put(gn_text_of("m"), gn_bytes(NULL, 0));
  gn_put(gn_text_of("o"), gn_bytes(NULL, 0));
  return 0;
}

static int scan(gn_text after, int stop) {
  int count = 0;
  uint64_t bytes = 0;
  for (gn_scan s = gn_scan_after(gn_text_of("n\t"), after); gn_scan_next(&s);) {
    if (!after.size && !gn_equal(s.key, gn_join("n\t", count + 10000))) return gn_fail("key ", gn_quoted(s.key), " is number ", count);
    bytes += s.value.size;
    if (++count == stop) break;
  }
  gn_put(gn_text_of("scanned"), gn_join(count, " keys, ", bytes, " bytes"));
  return 0;
}

static int many_fields(const gn_event *e) {
  static char names[65][4];
  for (int i = 0; i < 65; i++) {
    names[i][0] = 'f', names[i][1] = (char)('0' + i / 10), names[i][2] = (char)('0' + i % 10);
    if (gn_field(e, names[i]).kind != GN_ABSENT) return gn_fail("field ", names[i], " is there");
  }
  return 0;
}

static int depth(const char *from, int more) {
  char frame[1000];
  __builtin_memset(frame, *from, sizeof frame);
  return more ? depth(frame, more - 1) + frame[*from & 7] : 0;
}

static int on_event(const gn_event *e) {
  gn_text what = gn_token(e, 1), k = gn_text_of("k"), value;
  if (gn_is(what, "large")) {
    gn_put(k, gn_bytes(large, 1 << 20));
    if (!gn_get(k, &value)) return gn_fail("the large value is not there");
    gn_put(k, gn_join(value.size));
  }
  if (gn_is(what, "too-large")) gn_put(k, gn_bytes(large, sizeof large));
  if (gn_is(what, "forgiven")) {
    if (gn_put(k, gn_bytes(large, sizeof large)) == GN_TOO_LARGE) gn_forgive();
    gn_put(k, gn_text_of("forgiven"));
  }
  if (gn_is(what, "field")) {
    if (!gn_field_text(e, "text", &value)) return gn_fail("text must be a text");
    gn_put(k, gn_join(value.size, " of ", e->data.size, " by ", gn_field(e, gn_is(gn_token(e, 2), "late") ? "late" : "text").kind, ", ", value.at[value.size - 1] == '\n' ? "whole" : "cut"));
  }
  if (gn_is(what, "int")) gn_put(k, gn_join(gn_int(gn_token(e, 2), -1)));
  if (gn_is(what, "empty-key")) gn_put(gn_bytes(NULL, 0), k);
  if (gn_is(what, "empty-value")) gn_put(k, gn_bytes(NULL, 0));
  if (gn_is(what, "is-there")) gn_put(gn_text_of("there"), gn_join(gn_get(k, &value) ? "yes " : "no ", gn_get(gn_text_of("absent"), &value) ? "yes" : "no"));
  if (gn_is(what, "delete")) gn_delete(k);
  if (gn_is(what, "returns")) return 7;
  if (gn_is(what, "fails")) return gn_fail("number ", -1, " of ", gn_quoted(e->subject)), gn_fail("not the first reason"), 0;
  if (gn_is(what, "fill")) return fill();
  if (gn_is(what, "scan")) return scan(gn_bytes(NULL, 0), 0);
  if (gn_is(what, "scans")) {
    for (int i = 0; i < 10000; i++)
      for (gn_scan s = gn_scan_prefix(gn_text_of("none")); gn_scan_next(&s);) gn_fail("a key");
    return gn_put(gn_text_of("scanned"), gn_text_of("often")), 0;
  }
  if (gn_is(what, "after")) return scan(gn_text_of("n\t10500"), 2);
  if (gn_is(what, "many-fields")) return many_fields(e);
  if (gn_is(what, "no-object")) gn_field(e, "a");
  if (gn_is(what, "recurse")) return depth(e->subject.at, 100) == 7; // 100 KB of stack
  if (gn_is(what, "memory"))
    for (;;) gn_take(1 << 20);
  if (gn_is(what, "emit")) gn_emit(gn_join("to.", gn_token(e, 2)), e->data, gn_headers("a", "1", gn_type(e), 2, "empty", ""));
  if (gn_is(what, "emit-no-headers")) gn_emit(gn_text_of("to"), e->data, gn_bytes(NULL, 0));
  if (gn_is(what, "log")) {
    gn_log(GN_DEBUG, "token 2 ", gn_token(e, 2), ", 4 ", gn_quoted(gn_token(e, 4)), ", 0 ", gn_quoted(gn_token(e, 0)));
    gn_log(GN_INFO, "type ", gn_header(e, "CE-Type"), ", absent ", gn_header(e, "ce-typ").at == NULL ? "yes" : "no", ", key ", e->key);
    gn_log(GN_WARN, INT64_MIN, " ", UINT64_MAX, " ", 0, " ", -7);
    if (gn_log_enabled(GN_ERROR)) gn_log(GN_ERROR, e->sequence, " ", e->stored_ns);
  }
  return 0;
}

GNOMON_PROJECTION(on_event)
