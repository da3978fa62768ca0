/* What the parts of the runtime share. */
#ifndef GNOMON_RUNTIME_H
#define GNOMON_RUNTIME_H

#include "quickjs.h"
#include "guest.h"

#define NO_EVENT (-1)

/* A buffer that only grows. There is room for a NUL behind size. */
typedef struct {
    uint8_t *p;
    uint32_t size;
} Buffer;

/* Bytes that are appended to. p is to be freed with free. */
typedef struct {
    uint8_t *p;
    size_t len, room;
} DynBytes;

/* The event that is being handled: its record, its place in the batch, and its serial
   number, by which an event that was kept too long is told. */
typedef struct {
    uint8_t *record; /* in the batch; NULL between events */
    int32_t index;
    uint32_t serial;
} Current;

extern Current current;
extern Buffer batch;
extern uint32_t batch_length;
extern int fields_fresh;  /* the table of fields is that of this batch */
extern int out_of_memory; /* an allocation failed: this call can only fail */

/* grow makes room for size bytes and a NUL; 0, or -1 with an exception. */
int buffer_grow(JSContext *ctx, Buffer *b, uint32_t size);

/* bytes_append appends; 0, or -1 with an exception. */
int bytes_append(JSContext *ctx, DynBytes *b, const void *p, size_t len);

/* A string of UTF-8; anything else throws, and what says of what. */
JSValue text_new(JSContext *ctx, const void *p, size_t len, const char *what);

/* The UTF-8 of a string, which must be well formed; NULL with an exception. To be freed
   with JS_FreeCString. */
const char *text_of(JSContext *ctx, JSValueConst v, size_t *len, const char *what);

/* The bytes of a Uint8Array or ArrayBuffer, or of a string; *text is to be freed with
   JS_FreeCString unless NULL. NULL with an exception. */
const uint8_t *bytes_of(JSContext *ctx, JSValueConst v, size_t *len, const char **text, const char *what);

/* text_replaced replaces what is not UTF-8 by what has U+FFFD for each such byte, which is to be
   freed then, and has room for a NUL. 0, or -1 with an exception. */
int text_replaced(JSContext *ctx, const uint8_t **p, uint32_t *len, uint8_t **to_free);

JSValue bytes_new(JSContext *ctx, const void *p, size_t len);

/* What a negative code of the host means. */
const char *code_text(int32_t code);

/* put_headers appends [name, value, name, value…] as a batch has headers; 0, or -1 with an exception. */
int put_headers(JSContext *ctx, DynBytes *b, JSValueConst list);

/* upcast.c: keep(), replace(subject, data, headers) */
JSValue upcast_keep(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv);
JSValue upcast_replace(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv);

JSValue host_object(JSContext *ctx);               /* host.c: what the prelude is given */
double value_plain(JSContext *ctx, JSValueConst v, uint32_t *hash); /* engine.c */
JSValue value_copy(JSContext *ctx, JSValueConst v);
/* A part of the current record: see docs/ABI.md, "A batch". */
typedef struct {
    const uint8_t *p;
    uint32_t len;
} Part;

enum { SUBJECT_PART, HEADERS_PART, DATA_PART, KEY_PART };

Part part(int which); /* event.c */
int same_name(const uint8_t *a, const char *b, size_t n); /* of headers: without regard to case */
int event_class(JSContext *ctx);
JSValue event_new(JSContext *ctx);                 /* of the current record */
void fields_reset(void);

#endif
