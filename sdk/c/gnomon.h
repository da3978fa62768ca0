// gnomon.h: projections for Gnomon in C11, over the contract projection_v1 (docs/ABI.md).
// This is all that there is to call, with gnomon_text.h, texts and how to make them of parts, and
// gnomon_json.h, fields, settings and JSON. gnomon_host.h is how it is done. No libc is needed,
// none is in the way. Build with clang --target=wasm32 -mbulk-memory.
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

#include "gnomon_text.h"

// What calls of the host return, and levels of gn_log.
enum { GN_NOT_FOUND = -1, GN_TOO_LARGE = -2, GN_BAD_ARGUMENT = -3, GN_READ_ONLY = -4, GN_OVER_QUOTA = -5 };
enum { GN_DEBUG = -4, GN_INFO = 0, GN_WARN = 4, GN_ERROR = 8 };

// ---- Events -------------------------------------------------------------------------

typedef struct {
  uint32_t index;    // in the batch
  uint64_t sequence; // in the stream, from 1
  int64_t stored_ns; // when the stream stored it: Unix nanoseconds, UTC
  gn_text subject, headers, data;
  gn_text key; // the key that the projection declares; empty without one
} gn_event;

// gn_header is a header's value, the first of several; its at is NULL without one. Names are
// compared without regard to case.
static gn_text gn_header(const gn_event *e, const char *name);
static inline gn_text gn_type(const gn_event *e); // its header ce-type

// gn_token is the i-th of the subject's tokens, which dots separate, from 1; empty beyond.
static inline gn_text gn_token(const gn_event *e, int i);

// ---- State --------------------------------------------------------------------------

// gn_get sets value to that of the key, and says whether there is one.
static bool gn_get(gn_text key, gn_text *value);

// gn_put and gn_delete return 0, or a negative code, which makes the event fail.
static int32_t gn_put(gn_text key, gn_text value);
static inline int32_t gn_delete(gn_text key);

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

static inline gn_scan gn_scan_prefix(gn_text prefix);
static inline gn_scan gn_scan_after(gn_text prefix, gn_text after); // from the first key greater than after
static bool gn_scan_next(gn_scan *s);

// ---- Effects ------------------------------------------------------------------------
// What has … takes texts, strings and whole numbers, up to 12 of them, as gn_join does.

// gn_emit has an event published, once, when the one at hand is committed. headers are
// gn_headers(name, value, …), or {0}.
static int32_t gn_emit(gn_text subject, gn_text data, gn_text headers);

// gn_log(level, …) writes a line to the engine's log.
static inline bool gn_log_enabled(int32_t level);

// gn_fail(…) says why the event fails. The first reason counts. It returns what the handler is
// to return. gn_forgive takes the failure back, such as that of a call whose code one looks at.
static inline int gn_fail_text(gn_text why);
static inline void gn_forgive(void);

// gn_write and gn_read are for memory that outlives the instance: on_snapshot writes it in
// blobs, and on_restore reads them back, in order, until gn_read returns false.
static inline int32_t gn_write(gn_text blob);
static inline bool gn_read(gn_text *blob);

// An upcaster hands an event on as it is with gn_pass, or another in its place, with
// gn_output, as often as it likes. What it does neither with is not there for projections.
static inline int32_t gn_pass(const gn_event *e);
static int32_t gn_output(const gn_event *e, gn_text subject, gn_text data, gn_text headers);

#include "gnomon_host.h"

// ---- Entry points -------------------------------------------------------------------
// Each macro makes one export; a handler returns 0, or what gn_fail returned.
//
//   int on_event(const gn_event *e)   int on_init(void)       int on_query(gn_text request)
//   int on_snapshot(void)             int on_restore(void)    int on_migrate(int32_t from)
//
// A query is answered with gn_answer(…), as often as one likes.

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
