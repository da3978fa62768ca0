// gnomon.h: projections for Gnomon in C11, over the contract projection_v1 (docs/ABI.md).
// It includes gnomon_text.h and gnomon_json.h, and that is all: no libc is needed, none is in
// the way. Build with clang --target=wasm32 -mbulk-memory.
//
//   static int on_event(const gn_event *e) {
//     gn_text count = gn_text_of("0");
//     gn_get(e->subject, &count);
//     gn_put(e->subject, gn_join(gn_int(count, 0) + 1));
//     return 0;
//   }
//   GNOMON_PROJECTION(on_event)
//
// A call that the host refuses makes the event fail when its handler returns, with the
// first reason, whatever the handler returns: nothing has to be checked for that.
// Texts are bytes, not ended by a zero. Those that functions here return, and those of the
// event, are valid until the handler returns; gn_keep makes one that stays.
#ifndef GNOMON_H
#define GNOMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __wasi__
#include <stdlib.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

// ---- The host -----------------------------------------------------------------------

#define GN_IMPORT_OF(module, name) __attribute__((import_module(module), import_name(#name)))
#define GN_IMPORT(name) GN_IMPORT_OF("projection_v1", name)
#define GN_EXPORT(name) __attribute__((export_name(#name)))
#define GN_LARGE __attribute__((noinline, unused)) static // not to be copied to where it is called
#define GN_SHARED __attribute__((weak)) // one of it, in however many files the header is

GN_IMPORT(batch_read) int32_t gn_host_batch_read(void *buf, uint32_t cap);
GN_IMPORT(state_get) int32_t gn_host_get(const void *key, uint32_t klen, void *buf, uint32_t cap);
GN_IMPORT(state_put) int32_t gn_host_put(const void *key, uint32_t klen, const void *value, uint32_t vlen);
GN_IMPORT(state_delete) int32_t gn_host_delete(const void *key, uint32_t klen);
GN_IMPORT(state_scan) int64_t gn_host_scan(const void *prefix, uint32_t plen, const void *after, uint32_t alen, uint32_t limit, void *buf, uint32_t cap);
GN_IMPORT(emit) int32_t gn_host_emit(uint32_t event, const void *subject, uint32_t slen, const void *headers, uint32_t hlen, const void *data, uint32_t dlen);
GN_IMPORT(config_read) int32_t gn_host_config_read(void *buf, uint32_t cap);
GN_IMPORT(log) void gn_host_log(int32_t level, const void *text, uint32_t len);
GN_IMPORT(log_enabled) int32_t gn_host_log_enabled(int32_t level);
GN_IMPORT(fail) void gn_host_fail(uint32_t event, const void *text, uint32_t len);
GN_IMPORT(blob_write) int32_t gn_host_blob_write(const void *blob, uint32_t len);
GN_IMPORT(blob_read) int32_t gn_host_blob_read(void *buf, uint32_t cap);
GN_IMPORT(input_read) int32_t gn_host_input_read(void *buf, uint32_t cap);
GN_IMPORT(output_write) int32_t gn_host_output_write(const void *bytes, uint32_t len);

enum { GN_NOT_FOUND = -1, GN_TOO_LARGE = -2, GN_BAD_ARGUMENT = -3, GN_READ_ONLY = -4, GN_OVER_QUOTA = -5 };
enum { GN_DEBUG = -4, GN_INFO = 0, GN_WARN = 4, GN_ERROR = 8 }; // levels of gn_log

#include "gnomon_text.h"

// ---- Failures -----------------------------------------------------------------------

// gn_fail_parts says why the event fails. The first reason counts. It returns what the
// handler is to return.
GN_LARGE int gn_fail_parts(const gn_part *parts, uint32_t count) {
  if (!gn_now.failed) gn_now.failed = true, gn_now.reason = gn_join_parts(parts, count);
  return 1;
}

static inline int gn_fail_text(gn_text t) {
  gn_part why = gn_part_text(t);
  return gn_fail_parts(&why, 1);
}

// gn_forgive takes the failure back, such as that of a call of the host whose code one has
// looked at.
static inline void gn_forgive(void) { gn_now.failed = false; }

GN_LARGE void gn_refused(const char *function, gn_text about, int64_t code) {
  const char *what = code == GN_TOO_LARGE    ? "it is too large (code -2): docs/ABI.md has the limits"
                     : code == GN_READ_ONLY  ? "there is no state to write here (code -4)"
                     : code == GN_OVER_QUOTA ? "it is over quota (code -5): an event may write 8 MiB and 65,536 keys"
                                             : "a bad argument, or not the call for it (code -3)";
  if (about.size > 100) about.size = 100;
  gn_part why[] = {gn_part_string(function), gn_part_string(" "), gn_quoted(about), gn_part_string(" was refused: "), gn_part_string(what)};
  gn_fail_parts(why, 5);
}

// gn_checked makes the event fail when a function of the host returned an error.
static inline int32_t gn_checked(const char *function, gn_text about, int64_t code) {
  if (code < 0) gn_refused(function, about, code);
  return (int32_t)code;
}

// gn_end ends the handling of an event: 0, or 1 when it failed.
GN_LARGE int32_t gn_end(int result) {
  if (result != 0 && !gn_now.failed) {
    gn_part why[] = {gn_part_string("the handler returned "), gn_part_signed(result)};
    gn_fail_parts(why, 2);
  }
  if (gn_now.failed) gn_host_fail(gn_now.event, gn_now.reason.at, gn_now.reason.size);
  return gn_now.failed;
}

static inline void gn_begin(uint32_t event) {
  gn_now.event = event;
  gn_now.failed = false;
  gn_scratch.used = gn_spare_page.size = 0;
}

// ---- Events -------------------------------------------------------------------------

typedef struct {
  uint32_t index;    // in the batch
  uint64_t sequence; // in the stream, from 1
  int64_t stored_ns; // when the stream stored it: Unix nanoseconds, UTC
  gn_text subject, headers, data;
  gn_text key; // the key that the projection declares; empty without one
} gn_event;

// gn_header is a header's value, the first of several; NULL without one. Names are compared
// without regard to case.
GN_LARGE gn_text gn_header(const gn_event *e, const char *name) {
  const char *p = e->headers.at, *end = p + e->headers.size;
  uint32_t want = gn_length(name);
  while (p < end) {
    uint16_t nlen, vlen;
    __builtin_memcpy(&nlen, p, 2), __builtin_memcpy(&vlen, p + 2, 2);
    uint32_t i = 0;
    while (nlen == want && i < nlen && ((p[4 + i] ^ name[i]) == 0 || ((p[4 + i] ^ name[i]) == 32 && (name[i] | 32) >= 'a' && (name[i] | 32) <= 'z'))) i++;
    if (nlen == want && i == nlen) return gn_bytes(p + 4 + nlen, vlen);
    p += 4 + nlen + vlen;
  }
  return gn_bytes(NULL, 0);
}

static inline gn_text gn_type(const gn_event *e) { return gn_header(e, "ce-type"); }

// gn_token is the i-th of the subject's tokens, which dots separate, from 1; empty beyond.
static inline gn_text gn_token(const gn_event *e, int i) {
  const char *p = e->subject.at, *end = p + e->subject.size;
  for (; i > 1 && p < end; p++) i -= *p == '.';
  const char *from = p;
  while (i == 1 && p < end && *p != '.') p++;
  return gn_bytes(from, (uint32_t)(p - from));
}

// gn_next_event takes the record at p apart, and returns where the next one begins.
static inline const char *gn_next_event(const char *p, gn_event *e) {
  struct { uint32_t size, flags; uint64_t sequence; int64_t time_ns; uint32_t subject, headers, data, key; } r;
  __builtin_memcpy(&r, p, sizeof r);
  e->sequence = r.sequence, e->stored_ns = r.time_ns;
  e->subject = gn_bytes(p + 40, r.subject);
  e->headers = gn_bytes(e->subject.at + r.subject, r.headers);
  e->data = gn_bytes(e->headers.at + r.headers, r.data);
  e->key = gn_bytes(e->data.at + r.data, r.key);
  return p + r.size;
}

// gn_read_all reads all that a function of the host has for a buffer, which grows to it.
GN_LARGE gn_text gn_read_all(gn_buffer *b, const char *function, int32_t (*read)(void *, uint32_t)) {
  for (;;) {
    int32_t n = read(b->at, b->size);
    if (n < 0) return gn_checked(function, gn_bytes(NULL, 0), n), gn_bytes(NULL, 0);
    if ((uint32_t)n <= b->size) return gn_bytes(b->at, (uint32_t)n);
    gn_grow(b, (uint32_t)n);
  }
}

// ---- State --------------------------------------------------------------------------

// gn_get sets value to that of the key, and says whether there is one.
GN_LARGE bool gn_get(gn_text key, gn_text *value) {
  for (;;) {
    uint32_t room = gn_scratch.size - gn_scratch.used;
    int32_t n = gn_host_get(key.at, key.size, gn_scratch.at + gn_scratch.used, room);
    if (n == GN_NOT_FOUND || gn_checked("state_get", key, n) < 0) return false;
    if ((uint32_t)n + 7 < room) return *value = gn_bytes(gn_take((uint32_t)n), (uint32_t)n), true;
    gn_reserve(&gn_scratch, (uint32_t)n + 8);
  }
}

// gn_put and gn_delete return 0, or a negative code, which makes the event fail.
GN_LARGE int32_t gn_put(gn_text key, gn_text value) {
  return gn_checked("state_put", key, gn_host_put(key.at, key.size, value.at, value.size));
}
static inline int32_t gn_delete(gn_text key) { return gn_checked("state_delete", key, gn_host_delete(key.at, key.size)); }

// A scan goes over the keys with a prefix, in the order of their bytes:
//
//   for (gn_scan s = gn_scan_prefix(prefix); gn_scan_next(&s);) … s.key, s.value …
//
// Both are valid until the next step. Write to the state after the scan, not during it.
typedef struct {
  gn_text key, value;
  gn_text prefix, after; // of the page that comes next
  char *page, *next, *end;
  uint32_t size;
} gn_scan;

// gn_scan_after begins with the first key greater than after.
static inline gn_scan gn_scan_after(gn_text prefix, gn_text after) {
  gn_scan s = {after, after, prefix, after, NULL, NULL, NULL, 0};
  return s;
}
static inline gn_scan gn_scan_prefix(gn_text prefix) { return gn_scan_after(prefix, gn_bytes(NULL, 0)); }

// An entry has a key, a value and their lengths. A page whose scan
// has ended is the next scan's, so that many in one handler take no more memory than one.
enum { GN_PAGE = 16 << 10, GN_MOST_ENTRY = 64000 + (1 << 20) + 8 };

static inline void gn_new_page(gn_scan *s, uint32_t size) { s->page = (char *)gn_take(size), s->size = size; }

static inline bool gn_scan_page(gn_scan *s) {
  s->after = gn_copy(s->key); // which stands in the page
  if (s->size == 0 && gn_spare_page.size > 0) s->page = gn_spare_page.at, s->size = gn_spare_page.size, gn_spare_page.size = 0;
  if (s->size == 0) gn_new_page(s, GN_PAGE);
  for (;;) {
    int64_t n = gn_host_scan(s->prefix.at, s->prefix.size, s->after.at, s->after.size, 0, s->page, s->size);
    if (n > 0) return s->next = s->page, s->end = s->page + (uint32_t)n, true;
    if (n != GN_TOO_LARGE || s->size >= GN_MOST_ENTRY) {
      gn_spare_page.at = s->page, gn_spare_page.size = s->size;
      return s->size = 0, gn_checked("state_scan", s->prefix, n), false;
    }
    gn_new_page(s, GN_MOST_ENTRY);
  }
}

GN_LARGE bool gn_scan_next(gn_scan *s) {
  if (s->next == s->end && !gn_scan_page(s)) return false;
  uint32_t size[2];
  __builtin_memcpy(size, s->next, 8);
  s->key = gn_bytes(s->next + 8, size[0]);
  s->value = gn_bytes(s->key.at + size[0], size[1]);
  s->next += 8 + size[0] + size[1];
  return true;
}

// ---- Effects ------------------------------------------------------------------------

// gn_headers_parts are pairs of name and value, as gn_emit and gn_output take them.
GN_LARGE gn_text gn_headers_parts(const gn_part *parts, uint32_t count) {
  gn_text all = gn_bytes(gn_scratch.at + gn_scratch.used, 0);
  for (uint32_t i = 0; i + 1 < count; i += 2) {
    gn_text name = gn_join_parts(&parts[i], 1), value = gn_join_parts(&parts[i + 1], 1);
    uint16_t size[2] = {(uint16_t)name.size, (uint16_t)value.size};
    if (name.size > UINT16_MAX || value.size > UINT16_MAX) gn_checked("header", name, GN_TOO_LARGE);
    gn_text pair[] = {all, gn_bytes(size, 4), name, value};
    char *at = (char *)gn_take(all.size + 4 + name.size + value.size), *to = at;
    for (int k = 0; k < 4; to += pair[k++].size) __builtin_memcpy(to, pair[k].at, pair[k].size);
    all = gn_bytes(at, (uint32_t)(to - at));
  }
  return all;
}

// gn_emit has an event published, once, when the one at hand is committed. headers are of
// gn_headers, or {0}.
GN_LARGE int32_t gn_emit(gn_text subject, gn_text data, gn_text headers) {
  return gn_checked("emit", subject, gn_host_emit(gn_now.event, subject.at, subject.size, headers.at, headers.size, data.at, data.size));
}

static inline bool gn_log_enabled(int32_t level) { return gn_host_log_enabled(level) == 1; }
GN_LARGE void gn_log_parts(int32_t level, const gn_part *parts, uint32_t count) {
  gn_text line = gn_join_parts(parts, count);
  gn_host_log(level, line.at, line.size);
}

// gn_write and gn_read are for memory that outlives the instance: on_snapshot writes it in
// blobs, and on_restore reads them back, in order, until gn_read returns false.
static inline int32_t gn_write(gn_text blob) { return gn_checked("blob_write", gn_bytes(NULL, 0), gn_host_blob_write(blob.at, blob.size)); }
static inline bool gn_read(gn_text *blob) {
  uint32_t size = 1 << 10;
  for (;;) {
    char *at = (char *)gn_take(size);
    int32_t n = gn_host_blob_read(at, size);
    if (n == GN_NOT_FOUND || gn_checked("blob_read", gn_bytes(NULL, 0), n) < 0) return false;
    if ((uint32_t)n <= size) return *blob = gn_bytes(at, (uint32_t)n), true;
    size = (uint32_t)n;
  }
}

// gn_answer_parts appends to the answer of a query.
GN_LARGE int32_t gn_answer_parts(const gn_part *parts, uint32_t count) {
  gn_text t = gn_join_parts(parts, count);
  return gn_checked("output_write", gn_bytes(NULL, 0), gn_host_output_write(t.at, t.size));
}

// An upcaster hands an event on as it is with gn_pass, or another in its place, with
// gn_output, as often as it likes. What it does neither with is not there for projections.
GN_LARGE int32_t gn_output(const gn_event *e, gn_text subject, gn_text data, gn_text headers) {
  uint32_t size = (40 + subject.size + headers.size + data.size + 7) & ~7u, sizes[] = {size, 0}, lengths[] = {subject.size, headers.size, data.size, 0};
  char *at = (char *)gn_take(size), *to = at + 40;
  __builtin_memset(at + size - 8, 0, 8); // the padding
  __builtin_memcpy(at, sizes, 8), __builtin_memcpy(at + 8, &e->sequence, 8), __builtin_memcpy(at + 16, &e->stored_ns, 8), __builtin_memcpy(at + 24, lengths, 16);
  __builtin_memcpy(to, subject.at, subject.size), to += subject.size;
  __builtin_memcpy(to, headers.at, headers.size), to += headers.size;
  __builtin_memcpy(to, data.at, data.size);
  return gn_checked("output_write", subject, gn_host_output_write(at, size));
}
static inline int32_t gn_pass(const gn_event *e) { return gn_output(e, e->subject, e->data, e->headers); }

GN_SHARED bool gn_table_read; // the table of fields is of this batch; gnomon_json.h

// ---- Entry points -------------------------------------------------------------------
// Each macro makes one export; a handler returns 0, or what gn_fail returned.

static inline int32_t gn_each(int (*handler)(const gn_event *), const char *function, int32_t (*read)(void *, uint32_t)) {
  gn_begin(0);
  gn_text batch = gn_read_all(&gn_batch, function, read);
  gn_table_read = false;
  if (gn_now.failed) return gn_end(1);
  gn_event e;
  e.index = 0;
  for (const char *p = batch.at; p < batch.at + batch.size; e.index++) {
    gn_begin(e.index);
    p = gn_next_event(p, &e);
    if (gn_end(handler(&e))) return 1;
  }
  return 0;
}

static inline int32_t gn_once(int (*handler)(void)) { return gn_begin(0), gn_end(handler()); }

static inline int32_t gn_asked(int (*handler)(gn_text request)) {
  gn_begin(0);
  return gn_end(handler(gn_read_all(&gn_batch, "input_read", gn_host_input_read)));
}

#define GNOMON_PROJECTION(on_event) GN_EXPORT(apply) int32_t gn_export_apply(void) { return gn_each(on_event, "batch_read", gn_host_batch_read); }
#define GNOMON_UPCASTER(on_event) GN_EXPORT(upcast) int32_t gn_export_upcast(void) { return gn_each(on_event, "input_read", gn_host_input_read); }
#define GNOMON_INIT(on_init) GN_EXPORT(init) int32_t gn_export_init(void) { return gn_once(on_init); }
#define GNOMON_QUERY(on_query) GN_EXPORT(query) int32_t gn_export_query(void) { return gn_asked(on_query); }
#define GNOMON_MEMORY(on_snapshot, on_restore) \
  GN_EXPORT(snapshot) int32_t gn_export_snapshot(void) { return gn_once(on_snapshot); } \
  GN_EXPORT(restore) int32_t gn_export_restore(void) { return gn_once(on_restore); }
#define GNOMON_MIGRATE(on_migrate) GN_EXPORT(migrate) int32_t gn_export_migrate(int32_t from) { return gn_begin(0), gn_end(on_migrate(from)); }

#ifdef __cplusplus
} // extern "C"
#else

#define gn_join(...) gn_join_parts(GN_PARTS(__VA_ARGS__))
#define gn_fail(...) gn_fail_parts(GN_PARTS(__VA_ARGS__))
#define gn_log(level, ...) gn_log_parts(level, GN_PARTS(__VA_ARGS__))
#define gn_headers(...) gn_headers_parts(GN_PARTS(__VA_ARGS__))
#define gn_answer(...) gn_answer_parts(GN_PARTS(__VA_ARGS__))
#endif

#include "gnomon_json.h"
#endif
