// gnomon_host.h: what gnomon.h declares, over the functions that the host offers. It is
// included by gnomon.h, which has what to call.
#ifndef GNOMON_HOST_H
#define GNOMON_HOST_H

// ---- The host -----------------------------------------------------------------------

GN_IMPORT(batch_read) int32_t gn_host_batch_read(void *buf, uint32_t cap);
GN_IMPORT(state_get) int32_t gn_host_get(const void *key, uint32_t klen, void *buf, uint32_t cap);
GN_IMPORT(state_put) int32_t gn_host_put(const void *key, uint32_t klen, const void *value, uint32_t vlen);
GN_IMPORT(state_delete) int32_t gn_host_delete(const void *key, uint32_t klen);
GN_IMPORT(state_scan) int64_t gn_host_scan(const void *prefix, uint32_t plen, const void *after, uint32_t alen, uint32_t limit, void *buf, uint32_t cap);
GN_IMPORT(emit) int32_t gn_host_emit(uint32_t event, const void *subject, uint32_t slen, const void *headers, uint32_t hlen, const void *data, uint32_t dlen);
GN_IMPORT(config_read) int32_t gn_host_config_read(void *buf, uint32_t cap);
GN_IMPORT(log) void gn_host_log(int32_t level, const void *text, uint32_t len);
GN_IMPORT(log_enabled) int32_t gn_host_log_enabled(int32_t level);
GN_IMPORT(blob_write) int32_t gn_host_blob_write(const void *blob, uint32_t len);
GN_IMPORT(blob_read) int32_t gn_host_blob_read(void *buf, uint32_t cap);
GN_IMPORT(input_read) int32_t gn_host_input_read(void *buf, uint32_t cap);
GN_IMPORT(output_write) int32_t gn_host_output_write(const void *bytes, uint32_t len);

// ---- Failures -----------------------------------------------------------------------

GN_LARGE int gn_fail_parts(const gn_part *parts, uint32_t count) {
  if (!gn_now.failed) gn_now.failed = true, gn_now.reason = gn_join_parts(parts, count);
  return 1;
}

static inline int gn_fail_text(gn_text t) {
  gn_part why = gn_part_text(t);
  return gn_fail_parts(&why, 1);
}

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

GN_LARGE bool gn_get(gn_text key, gn_text *value) {
  for (;;) {
    uint32_t room = gn_scratch.size - gn_scratch.used;
    int32_t n = gn_host_get(key.at, key.size, gn_scratch.at + gn_scratch.used, room);
    if (n == GN_NOT_FOUND || gn_checked("state_get", key, n) < 0) return false;
    if ((uint32_t)n + 7 < room) return *value = gn_bytes(gn_take((uint32_t)n), (uint32_t)n), true;
    gn_reserve(&gn_scratch, (uint32_t)n + 8);
  }
}

GN_LARGE int32_t gn_put(gn_text key, gn_text value) {
  return gn_checked("state_put", key, gn_host_put(key.at, key.size, value.at, value.size));
}
static inline int32_t gn_delete(gn_text key) { return gn_checked("state_delete", key, gn_host_delete(key.at, key.size)); }

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

GN_LARGE int32_t gn_emit(gn_text subject, gn_text data, gn_text headers) {
  return gn_checked("emit", subject, gn_host_emit(gn_now.event, subject.at, subject.size, headers.at, headers.size, data.at, data.size));
}

static inline bool gn_log_enabled(int32_t level) { return gn_host_log_enabled(level) == 1; }
GN_LARGE void gn_log_parts(int32_t level, const gn_part *parts, uint32_t count) {
  gn_text line = gn_join_parts(parts, count);
  gn_host_log(level, line.at, line.size);
}

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
// What the exports do.

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

#endif
