/* What an upcaster hands on in place of the current event: records, as a batch has them. */
#include <stdlib.h>
#include <string.h>
#include "runtime.h"

enum { MAX_SUBJECT = 1024, MAX_HEADERS = 64 << 10, HEADER = 40 };

/* write_record hands on an event with the sequence and the time of the current one. */
static JSValue write_record(JSContext *ctx, Part subject, Part headers, Part data)
{
    static const uint8_t zeros[8];
    if (subject.len == 0 || subject.len > MAX_SUBJECT)
        return JS_ThrowRangeError(ctx, "subject of %u bytes: it must have 1 to %d", subject.len, MAX_SUBJECT);
    if (headers.len > MAX_HEADERS)
        return JS_ThrowRangeError(ctx, "headers of %u bytes: the limit is %d", headers.len, MAX_HEADERS);
    uint32_t length = HEADER + subject.len + headers.len + data.len, size = (length + 7) & ~7u;
    uint8_t head[HEADER] = {0};
    memcpy(head, &size, 4);
    memcpy(head + 8, current.record + 8, 16); /* sequence, time */
    const uint32_t lengths[3] = {subject.len, headers.len, data.len};
    memcpy(head + 24, lengths, sizeof lengths);
    DynBytes record = {0};
    JSValue result = JS_EXCEPTION;
    if (!bytes_append(ctx, &record, head, HEADER) && !bytes_append(ctx, &record, subject.p, subject.len) &&
        !bytes_append(ctx, &record, headers.p, headers.len) && !bytes_append(ctx, &record, data.p, data.len) &&
        !bytes_append(ctx, &record, zeros, size - length)) {
        int32_t code = host_output_write(record.p, record.len);
        result = code < 0 ? JS_ThrowRangeError(ctx, "write event: %s", code_text(code)) : JS_UNDEFINED;
    }
    free(record.p);
    return result;
}

static JSValue no_event(JSContext *ctx)
{
    return JS_ThrowTypeError(ctx, "out belongs into upcast: what is handed on stands for an event");
}

/* keep(): the event as it is. */
JSValue upcast_keep(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    return current.record ? write_record(ctx, part(SUBJECT_PART), part(HEADERS_PART), part(DATA_PART)) : no_event(ctx);
}

/* A header as it is encoded: {u16 nlen, u16 vlen, name, value}. */
typedef struct {
    const uint8_t *p;
    uint16_t nlen, vlen;
} Header;

static Header header_at(const uint8_t *p)
{
    Header h = {.p = p};
    memcpy(&h.nlen, p, 2);
    memcpy(&h.vlen, p + 2, 2);
    return h;
}

static uint32_t size_of(Header h) { return 4u + h.nlen + h.vlen; }

static int follows(Header a, Header b) /* a comes behind b, by name */
{
    int order = memcmp(a.p + 4, b.p + 4, a.nlen < b.nlen ? a.nlen : b.nlen);
    return order ? order > 0 : a.nlen > b.nlen;
}

static int names(Part given, Header h)
{
    for (uint32_t at = 0; at < given.len;) {
        Header g = header_at(given.p + at);
        if (g.nlen == h.nlen && same_name(g.p + 4, (const char *)h.p + 4, h.nlen))
            return 1;
        at += size_of(g);
    }
    return 0;
}

/* merge appends the headers of the event, with those that are given in the place of the ones
   of the same name: an empty value takes them away. They are ordered by name. 0, or -1 with
   an exception. */
static int merge(JSContext *ctx, DynBytes *to, Part given)
{
    Part own = part(HEADERS_PART);
    uint32_t count = 0;
    Header *list = js_malloc(ctx, (own.len + given.len) / 4 * sizeof *list + sizeof *list);
    if (!list)
        return -1;
    for (uint32_t at = 0; at < own.len; at += size_of(header_at(own.p + at))) {
        Header h = header_at(own.p + at);
        if (!names(given, h))
            list[count++] = h;
    }
    for (uint32_t at = 0; at < given.len; at += size_of(header_at(given.p + at))) {
        Header h = header_at(given.p + at);
        if (h.vlen == 0)
            continue;
        uint32_t i = count++;
        for (; i > 0 && follows(list[i - 1], h); i--)
            list[i] = list[i - 1];
        list[i] = h;
    }
    int bad = 0;
    for (uint32_t i = 0; i < count && !bad; i++)
        bad = bytes_append(ctx, to, list[i].p, size_of(list[i]));
    js_free(ctx, list);
    return bad;
}

static int is_named(Part headers)
{
    for (uint32_t at = 0; at < headers.len; at += size_of(header_at(headers.p + at)))
        if (header_at(headers.p + at).nlen == 0)
            return 0;
    return 1;
}

/* replace(subject, data, [name, value…]): another event in its place. */
JSValue upcast_replace(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    if (!current.record)
        return no_event(ctx);
    size_t slen, dlen;
    const char *text = NULL;
    JSValue result = JS_EXCEPTION;
    DynBytes given = {0}, headers = {0};
    const char *subject = text_of(ctx, argv[0], &slen, "the subject of an event");
    const uint8_t *data = subject ? bytes_of(ctx, argv[1], &dlen, &text, "the data of an event") : NULL;
    if (data && !put_headers(ctx, &given, argv[2])) {
        Part pairs = {given.p, given.len};
        if (!is_named(pairs))
            JS_ThrowTypeError(ctx, "a header needs a name");
        else if (!merge(ctx, &headers, pairs))
            result = write_record(ctx, (Part){(const uint8_t *)subject, slen}, (Part){headers.p, headers.len}, (Part){data, dlen});
    }
    free(given.p);
    free(headers.p);
    JS_FreeCString(ctx, text);
    JS_FreeCString(ctx, subject);
    return result;
}
