/* The host's functions as JavaScript functions. They are what the prelude builds the
   friendly interface of; scripts do not see them. */
#include <stdlib.h>
#include <string.h>
#include "runtime.h"

static Buffer value; /* of reads */

/* fill reads with a buffer that is large enough: the length, or a negative code; -100
   with an exception. */
#define THROWN (-100)

typedef int32_t reader(const void *k, uint32_t klen, void *buf, uint32_t cap);

static int32_t fill(JSContext *ctx, reader *read, const void *k, uint32_t klen)
{
    for (;;) {
        int32_t n = read(k, klen, value.p, value.size);
        if (n < 0 || (value.p && (uint32_t)n <= value.size))
            return n;
        if (buffer_grow(ctx, &value, n))
            return THROWN;
    }
}

static int32_t read_config(const void *k, uint32_t klen, void *buf, uint32_t cap) { return host_config_read(buf, cap); }
static int32_t read_input(const void *k, uint32_t klen, void *buf, uint32_t cap) { return host_input_read(buf, cap); }
static int32_t read_blob(const void *k, uint32_t klen, void *buf, uint32_t cap) { return host_blob_read(buf, cap); }

static JSValue key_error(JSContext *ctx, const char *op, const char *key, int32_t code)
{
    return JS_ThrowRangeError(ctx, "%s \"%.100s\": %s", op, key, code_text(code));
}

enum { AS_TEXT, AS_BYTES };

static JSValue state_get(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int kind)
{
    size_t len;
    const char *key = text_of(ctx, argv[0], &len, "a key");
    if (!key)
        return JS_EXCEPTION;
    int32_t n = fill(ctx, host_state_get, key, len);
    JSValue v = JS_EXCEPTION;
    if (n == NOT_FOUND)
        v = JS_UNDEFINED;
    else if (n >= 0 && kind == AS_BYTES)
        v = bytes_new(ctx, value.p, n);
    else if (n >= 0)
        v = text_new(ctx, value.p, n, "the value of a key");
    else if (n != THROWN)
        key_error(ctx, "get", key, n);
    JS_FreeCString(ctx, key);
    return v;
}

static JSValue state_put(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t len, vlen;
    const char *text;
    const char *key = text_of(ctx, argv[0], &len, "a key");
    if (!key)
        return JS_EXCEPTION;
    JSValue result = JS_EXCEPTION;
    const uint8_t *p = bytes_of(ctx, argv[1], &vlen, &text, "a value");
    if (p) {
        int32_t code = host_state_put(key, len, p, vlen);
        result = code < 0 ? key_error(ctx, "put", key, code) : JS_UNDEFINED;
    }
    JS_FreeCString(ctx, text);
    JS_FreeCString(ctx, key);
    return result;
}

static JSValue state_delete(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t len;
    const char *key = text_of(ctx, argv[0], &len, "a key");
    if (!key)
        return JS_EXCEPTION;
    int32_t code = host_state_delete(key, len);
    JSValue result = code < 0 ? key_error(ctx, "delete", key, code) : JS_UNDEFINED;
    JS_FreeCString(ctx, key);
    return result;
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t n;
    memcpy(&n, p, 4);
    return n;
}

/* page_of makes [key, value, key, value…] of the entries of a page. */
static JSValue page_of(JSContext *ctx, const uint8_t *p, uint32_t len, int kind)
{
    JSValue page = JS_NewArray(ctx);
    uint32_t i = 0;
    for (const uint8_t *end = p + len; p < end && !JS_IsException(page);) {
        uint32_t k = load32(p), v = load32(p + 4);
        p += 8;
        JSValue key = text_new(ctx, p, k, "a key of the state");
        JSValue val = kind == AS_BYTES ? bytes_new(ctx, p + k, v) : text_new(ctx, p + k, v, "the value of a key");
        p += k + v;
        if (JS_IsException(key) || JS_IsException(val) || JS_SetPropertyUint32(ctx, page, i, key) < 0 || JS_SetPropertyUint32(ctx, page, i + 1, val) < 0) {
            JS_FreeValue(ctx, page);
            page = JS_EXCEPTION;
        }
        i += 2;
    }
    return page;
}

/* state_scan(prefix, after): the next page of entries. */
static JSValue state_scan(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int kind)
{
    size_t plen, alen;
    const char *prefix = text_of(ctx, argv[0], &plen, "a prefix");
    const char *after = prefix ? text_of(ctx, argv[1], &alen, "the key to go on after") : NULL;
    JSValue page = JS_EXCEPTION;
    uint32_t room = 16 << 10;
    while (after && !buffer_grow(ctx, &value, room)) {
        int64_t r = host_state_scan(prefix, plen, after, alen, 0, value.p, value.size);
        if (r == TOO_LARGE && room < 2 << 20) { /* one entry that is larger than the page */
            room = 2 << 20;
            continue;
        }
        page = r < 0 ? key_error(ctx, "scan", prefix, r) : page_of(ctx, value.p, (uint32_t)r, kind);
        break;
    }
    JS_FreeCString(ctx, prefix);
    JS_FreeCString(ctx, after);
    return page;
}

/* put_header appends {u16 nlen, u16 vlen, name, value}; 0, or -1 with an exception. */
static int put_header(JSContext *ctx, DynBytes *b, JSValueConst name, JSValueConst val)
{
    size_t nlen, vlen;
    const char *n = text_of(ctx, name, &nlen, "the name of a header");
    const char *v = n ? text_of(ctx, val, &vlen, "the value of a header") : NULL;
    int bad = !v;
    if (v && (nlen > 0xffff || vlen > 0xffff)) {
        JS_ThrowRangeError(ctx, "header %.60s: name and value may have 65535 bytes each", n);
        bad = 1;
    }
    if (!bad) {
        uint16_t lengths[2] = {nlen, vlen};
        bad = bytes_append(ctx, b, lengths, 4) || bytes_append(ctx, b, n, nlen) || bytes_append(ctx, b, v, vlen);
    }
    JS_FreeCString(ctx, n);
    JS_FreeCString(ctx, v);
    return bad ? -1 : 0;
}

int put_headers(JSContext *ctx, DynBytes *b, JSValueConst list)
{
    uint32_t count = 0;
    JSValue length = JS_GetPropertyStr(ctx, list, "length");
    JS_ToUint32(ctx, &count, length);
    int bad = 0;
    for (uint32_t i = 0; i + 1 < count && !bad; i += 2) {
        JSValue name = JS_GetPropertyUint32(ctx, list, i), val = JS_GetPropertyUint32(ctx, list, i + 1);
        bad = put_header(ctx, b, name, val);
        JS_FreeValue(ctx, name);
        JS_FreeValue(ctx, val);
    }
    return bad;
}

/* emit(subject, data, headers) */
static JSValue emit(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t slen, dlen;
    const char *text = NULL;
    JSValue result = JS_EXCEPTION;
    DynBytes headers = {0};
    if (!current.record)
        return JS_ThrowTypeError(ctx, "emit belongs into onEvent: what is emitted is caused by an event");
    const char *subject = text_of(ctx, argv[0], &slen, "the subject of emit");
    const uint8_t *data = subject ? bytes_of(ctx, argv[1], &dlen, &text, "the data of emit") : NULL;
    if (data && !put_headers(ctx, &headers, argv[2])) {
        int32_t code = host_emit(current.index, subject, slen, headers.p, headers.len, data, dlen);
        result = code < 0 ? key_error(ctx, "emit to", subject, code) : JS_UNDEFINED;
    }
    free(headers.p);
    JS_FreeCString(ctx, text);
    JS_FreeCString(ctx, subject);
    return result;
}

static JSValue log_line(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    int32_t level;
    size_t len;
    if (JS_ToInt32(ctx, &level, argv[0]))
        return JS_EXCEPTION;
    const char *text = JS_ToCStringLen(ctx, &len, argv[1]);
    if (!text)
        return JS_EXCEPTION;
    host_log(level, text, len);
    JS_FreeCString(ctx, text);
    return JS_UNDEFINED;
}

static JSValue log_enabled(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    int32_t level;
    if (JS_ToInt32(ctx, &level, argv[0]))
        return JS_EXCEPTION;
    return JS_NewBool(ctx, host_log_enabled(level));
}

enum { CONFIG, INPUT, BLOB };

/* config(), input() and blob() as bytes or text; undefined after the last blob. */
static JSValue read_all(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int from)
{
    static reader *const readers[] = {read_config, read_input, read_blob};
    int32_t n = fill(ctx, readers[from], NULL, 0);
    if (n == THROWN)
        return JS_EXCEPTION;
    if (n == NOT_FOUND && from == BLOB)
        return JS_UNDEFINED;
    if (n < 0)
        return JS_ThrowTypeError(ctx, "read: %s", code_text(n));
    if (argc > 0 && JS_ToBool(ctx, argv[0]))
        return bytes_new(ctx, value.p, n);
    return text_new(ctx, value.p, n, from == INPUT ? "the request" : "what was read");
}

enum { OUTPUT, BLOB_OUT };

static JSValue write_all(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int to)
{
    size_t len;
    const char *text;
    const uint8_t *p = bytes_of(ctx, argv[0], &len, &text, to == OUTPUT ? "an answer" : "a snapshot");
    if (!p)
        return JS_EXCEPTION;
    int32_t code = 0;
    /* A blob is a row of the store: pieces of a megabyte. */
    const uint32_t piece = 1 << 20;
    if (to == OUTPUT)
        code = host_output_write(p, len);
    else
        for (size_t at = 0; code >= 0 && at < len; at += piece)
            code = host_blob_write(p + at, len - at < piece ? len - at : piece);
    JS_FreeCString(ctx, text);
    if (code < 0)
        return JS_ThrowRangeError(ctx, "%s: %s", to == OUTPUT ? "the answer" : "the snapshot", code_text(code));
    return JS_UNDEFINED;
}

/* decode(bytes): their text. */
static JSValue decode(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t len;
    const char *text;
    const uint8_t *p = bytes_of(ctx, argv[0], &len, &text, "the argument");
    if (!p)
        return JS_EXCEPTION;
    JSValue v = text_new(ctx, p, len, "what is decoded");
    JS_FreeCString(ctx, text);
    return v;
}

/* encode(text): its bytes in UTF-8. */
static JSValue encode(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t len;
    const char *text = text_of(ctx, argv[0], &len, "the argument");
    if (!text)
        return JS_EXCEPTION;
    JSValue v = bytes_new(ctx, text, len);
    JS_FreeCString(ctx, text);
    return v;
}

/* join(pieces): the bytes of an array of Uint8Arrays, one behind the other, as text. */
static JSValue join(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    uint32_t count = 0;
    DynBytes all = {0};
    JSValue length = JS_GetPropertyStr(ctx, argv[0], "length");
    JS_ToUint32(ctx, &count, length);
    int bad = 0;
    for (uint32_t i = 0; i < count && !bad; i++) {
        size_t len;
        const char *text;
        JSValue piece = JS_GetPropertyUint32(ctx, argv[0], i);
        const uint8_t *p = bytes_of(ctx, piece, &len, &text, "a piece");
        bad = !p || bytes_append(ctx, &all, p, len);
        JS_FreeCString(ctx, text);
        JS_FreeValue(ctx, piece);
    }
    JSValue v = bad ? JS_EXCEPTION : text_new(ctx, all.p ? all.p : (const uint8_t *)"", all.len, "a snapshot");
    free(all.p);
    return v;
}

static uint32_t plain_hash;

/* plain(holder): how many bytes holder.value has as JSON, at most, when it is what its JSON
   says and nobody else has it; negated, when somebody else has it, or it cannot be changed;
   otherwise 0. */
static JSValue plain(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    JSValue v = JS_GetPropertyStr(ctx, argv[0], "value");
    if (JS_IsException(v))
        return v;
    double size = value_plain(ctx, v, &plain_hash);
    JS_FreeValue(ctx, v);
    return JS_NewFloat64(ctx, size);
}

/* hash(): of the value that plain has looked at last, if that did not give 0. */
static JSValue hash(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    return JS_NewInt32(ctx, (int32_t)plain_hash);
}

/* copy(value): of one that plain gave a number above 0 for. */
static JSValue copy(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    return value_copy(ctx, argv[0]);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("plain", 1, plain),
    JS_CFUNC_DEF("hash", 0, hash),
    JS_CFUNC_DEF("copy", 1, copy),
    JS_CFUNC_MAGIC_DEF("get", 1, state_get, AS_TEXT),
    JS_CFUNC_MAGIC_DEF("getBytes", 1, state_get, AS_BYTES),
    JS_CFUNC_DEF("put", 2, state_put),
    JS_CFUNC_DEF("delete", 1, state_delete),
    JS_CFUNC_MAGIC_DEF("scan", 2, state_scan, AS_TEXT),
    JS_CFUNC_MAGIC_DEF("scanBytes", 2, state_scan, AS_BYTES),
    JS_CFUNC_DEF("emit", 3, emit),
    JS_CFUNC_DEF("keep", 0, upcast_keep),
    JS_CFUNC_DEF("replace", 3, upcast_replace),
    JS_CFUNC_DEF("log", 2, log_line),
    JS_CFUNC_DEF("logEnabled", 1, log_enabled),
    JS_CFUNC_MAGIC_DEF("config", 1, read_all, CONFIG),
    JS_CFUNC_MAGIC_DEF("input", 1, read_all, INPUT),
    JS_CFUNC_MAGIC_DEF("blob", 1, read_all, BLOB),
    JS_CFUNC_MAGIC_DEF("output", 1, write_all, OUTPUT),
    JS_CFUNC_MAGIC_DEF("writeBlob", 1, write_all, BLOB_OUT),
    JS_CFUNC_DEF("decode", 1, decode),
    JS_CFUNC_DEF("encode", 1, encode),
    JS_CFUNC_DEF("join", 1, join),
};

JSValue host_object(JSContext *ctx)
{
    JSValue host = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, host, functions, sizeof functions / sizeof *functions);
    return host;
}
