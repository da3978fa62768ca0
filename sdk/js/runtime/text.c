/* Texts and bytes between JavaScript and the host. Nothing is replaced silently: what is
   not UTF-8, or half of a surrogate pair, is an error. */
#include <stdlib.h>
#include <string.h>
#include "runtime.h"

/* sequence is the length of the character at p, 0 when it is not UTF-8. */
static int sequence(const uint8_t *p, const uint8_t *end)
{
    uint8_t c = *p;
    if (c < 0x80)
        return 1;
    int n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || end - p < n)
        return 0;
    /* Table 3-7 of the Unicode standard: the second byte has the narrower ranges. */
    uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (int i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static int is_utf8(const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len;
    for (int n; p < end; p += n)
        if ((n = sequence(p, end)) == 0)
            return 0;
    return 1;
}

int text_replaced(JSContext *ctx, const uint8_t **p, uint32_t *len, uint8_t **to_free)
{
    if (is_utf8(*p, *len))
        return 0;
    uint8_t *to = malloc(3 * (size_t)*len + 1);
    if (!to) {
        out_of_memory = 1;
        JS_ThrowOutOfMemory(ctx);
        return -1;
    }
    *to_free = to;
    for (const uint8_t *from = *p, *end = from + *len; from < end;) {
        int n = sequence(from, end);
        memcpy(to, n ? (const void *)from : "\xef\xbf\xbd", n ? n : 3);
        to += n ? n : 3;
        from += n ? n : 1;
    }
    *p = *to_free;
    *len = to - *to_free;
    return 0;
}

JSValue text_new(JSContext *ctx, const void *p, size_t len, const char *what)
{
    if (!is_utf8(p, len))
        return JS_ThrowTypeError(ctx, "%s is not UTF-8: read it as bytes", what);
    return JS_NewStringLen(ctx, p, len);
}

const char *text_of(JSContext *ctx, JSValueConst v, size_t *len, const char *what)
{
    if (!JS_IsString(v)) {
        JS_ThrowTypeError(ctx, "%s must be a string", what);
        return NULL;
    }
    const char *s = JS_ToCStringLen(ctx, len, v);
    if (s && !is_utf8((const uint8_t *)s, *len)) {
        JS_FreeCString(ctx, s);
        JS_ThrowTypeError(ctx, "%s has half of a surrogate pair, which UTF-8 cannot say", what);
        return NULL;
    }
    return s;
}

const uint8_t *bytes_of(JSContext *ctx, JSValueConst v, size_t *len, const char **text, const char *what)
{
    *text = NULL;
    if (JS_IsString(v))
        return (const uint8_t *)(*text = text_of(ctx, v, len, what));
    size_t offset = 0, size = 0;
    JSValue buffer = JS_GetTypedArrayBuffer(ctx, v, &offset, len, NULL);
    if (JS_IsException(buffer)) {
        JS_FreeValue(ctx, JS_GetException(ctx));
        JS_ThrowTypeError(ctx, "%s must be a string or a Uint8Array", what);
        return NULL;
    }
    uint8_t *p = JS_GetArrayBuffer(ctx, &size, buffer);
    JS_FreeValue(ctx, buffer);
    if (p)
        return p + offset;
    if (*len == 0) { /* an empty array may have no memory */
        JS_FreeValue(ctx, JS_GetException(ctx));
        return (const uint8_t *)"";
    }
    return NULL;
}

JSValue bytes_new(JSContext *ctx, const void *p, size_t len)
{
    JSValue buffer = JS_NewArrayBufferCopy(ctx, p, len);
    if (JS_IsException(buffer))
        return buffer;
    JSValueConst args[3] = {buffer, JS_UNDEFINED, JS_UNDEFINED}; /* it reads three, whatever it is told */
    JSValue array = JS_NewTypedArray(ctx, 3, args, JS_TYPED_ARRAY_UINT8);
    JS_FreeValue(ctx, buffer);
    return array;
}

int buffer_grow(JSContext *ctx, Buffer *b, uint32_t size)
{
    if (size <= b->size && b->p)
        return 0;
    uint32_t room = size + size / 4 + 1024;
    uint8_t *p = malloc((size_t)room + 1);
    if (!p) {
        out_of_memory = 1;
        JS_ThrowOutOfMemory(ctx);
        return -1;
    }
    free(b->p); /* what it held is read again */
    b->p = p;
    b->size = room;
    return 0;
}

int bytes_append(JSContext *ctx, DynBytes *b, const void *p, size_t len)
{
    if (b->len + len > b->room) {
        size_t room = 2 * (b->len + len) + 64;
        uint8_t *q = realloc(b->p, room);
        if (!q) {
            out_of_memory = 1;
            JS_ThrowOutOfMemory(ctx);
            return -1;
        }
        b->p = q;
        b->room = room;
    }
    if (len)
        memcpy(b->p + b->len, p, len);
    b->len += len;
    return 0;
}

const char *code_text(int32_t code)
{
    switch (code) {
    case NOT_FOUND:
        return "not found";
    case TOO_LARGE:
        return "too large";
    case BAD_ARGUMENT:
        return "bad argument, or a use that does not belong to this call";
    case READ_ONLY:
        return "there is no state to write in this call";
    case OVER_QUOTA:
        return "over quota";
    }
    return "an error of the host";
}
