/* The event as a script sees it: getters over its record in the batch. Nothing of it is
   made before it is asked for. */
#include <stdlib.h>
#include <string.h>
#include "runtime.h"

static JSClassID event_id;

/* What an Event object holds. */
typedef struct {
    uint32_t serial;
    JSValue data; /* JSON, once parsed; else JS_UNINITIALIZED */
} Event;

static uint32_t load32(const uint8_t *p)
{
    uint32_t n;
    memcpy(&n, p, 4);
    return n;
}

Part part(int i)
{
    const uint8_t *r = current.record, *p = r + 40;
    for (int k = 0; k < i; k++)
        p += load32(r + 24 + 4 * k);
    return (Part){p, load32(r + 24 + 4 * i)};
}

static Part subject_part(void) { return part(SUBJECT_PART); }
static Part headers_part(void) { return part(HEADERS_PART); }
static Part data_part(void) { return part(DATA_PART); }
static Part key_part(void) { return part(KEY_PART); }

static int fold_case(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; }

int same_name(const uint8_t *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fold_case(a[i]) != fold_case((uint8_t)b[i]))
            return 0;
    return 1;
}

/* header_part is the value of the first header of the name; p is NULL without one. */
static Part header_part(const char *name, size_t len)
{
    Part h = headers_part();
    for (const uint8_t *p = h.p, *end = h.p + h.len; p < end;) {
        uint16_t lengths[2];
        memcpy(lengths, p, 4);
        p += 4;
        if (lengths[0] == len && same_name(p, name, len))
            return (Part){p + lengths[0], lengths[1]};
        p += lengths[0] + lengths[1];
    }
    return (Part){0};
}

static Event *event_of(JSContext *ctx, JSValueConst this)
{
    Event *e = JS_GetOpaque2(ctx, this, event_id);
    if (e && (!current.record || e->serial != current.serial)) {
        JS_ThrowTypeError(ctx, "this event is over: an event can be read until its handler returns; keep its values instead");
        return NULL;
    }
    return e;
}

/* parse_data parses the data as JSON; bytes that are not UTF-8 become U+FFFD, as in the fields
   that the host finds. QuickJS wants a NUL behind it: there is a byte, of
   the key, the padding, the next record or the buffer's spare one. */
static JSValue parse_data(JSContext *ctx)
{
    Part d = data_part();
    uint8_t *replaced = NULL;
    if (text_replaced(ctx, &d.p, &d.len, &replaced))
        return JS_EXCEPTION;
    uint8_t *end = (uint8_t *)d.p + d.len, was = *end;
    *end = 0;
    JSValue v = JS_ParseJSON(ctx, (const char *)d.p, d.len, "<event data>");
    *end = was;
    free(replaced);
    return v;
}

static JSValue get_data(JSContext *ctx, JSValueConst this)
{
    Event *e = event_of(ctx, this);
    if (!e)
        return JS_EXCEPTION;
    if (JS_IsUninitialized(e->data)) {
        JSValue v = parse_data(ctx);
        if (JS_IsException(v))
            return v;
        e->data = v;
    }
    return JS_DupValue(ctx, e->data);
}

enum { TYPE, ID, TIME_TEXT };

static JSValue get_header_text(JSContext *ctx, JSValueConst this, int which)
{
    static const char *const names[] = {"ce-type", "ce-id", "ce-time"};
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    Part h = header_part(names[which], strlen(names[which]));
    return h.p ? text_new(ctx, h.p, h.len, names[which]) : JS_NewStringLen(ctx, "", 0);
}

enum { SUBJECT, TEXT, KEY };

static JSValue get_text(JSContext *ctx, JSValueConst this, int which)
{
    static Part (*const parts[])(void) = {subject_part, data_part, key_part};
    static const char *const names[] = {"the event's subject", "the event's data", "the event's key"};
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    Part p = parts[which]();
    return text_new(ctx, p.p, p.len, names[which]);
}

static JSValue get_bytes(JSContext *ctx, JSValueConst this)
{
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    Part p = data_part();
    return bytes_new(ctx, p.p, p.len);
}

static JSValue get_sequence(JSContext *ctx, JSValueConst this)
{
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    uint64_t sequence;
    memcpy(&sequence, current.record + 8, 8);
    return JS_NewFloat64(ctx, sequence); /* exact up to 2^53 */
}

static double stored_ms(void)
{
    int64_t ns;
    memcpy(&ns, current.record + 16, 8);
    int64_t ms = ns / 1000000;
    return ns % 1000000 < 0 ? ms - 1 : ms;
}

/* digits reads n digits; -1 when there is something else. */
static int digits(const uint8_t *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        v = 10 * v + p[i] - '0';
    }
    return v;
}

/* days_from_civil is the number of days since 1970-01-01 of the proleptic Gregorian
   calendar: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_from_civil(int y, int m, int d)
{
    y -= m <= 2;
    int era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return (int64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int month_days(int y, int m)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 29 : days[m - 1];
}

/* rfc3339 is a time in milliseconds since 1970, cut; 0, or -1 when it is none. */
static int rfc3339(const uint8_t *p, uint32_t n, double *ms)
{
    if (n < 20 || p[4] != '-' || p[7] != '-' || (p[10] | 0x20) != 't' || p[13] != ':' || p[16] != ':')
        return -1;
    int y = digits(p, 4), mo = digits(p + 5, 2), d = digits(p + 8, 2);
    int h = digits(p + 11, 2), mi = digits(p + 14, 2), s = digits(p + 17, 2);
    if (y < 0 || mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 59)
        return -1;
    const uint8_t *end = p + n;
    int fraction = 0, scale = 100;
    p += 19;
    if (*p == '.') {
        const uint8_t *first = ++p;
        for (; p < end && *p >= '0' && *p <= '9'; p++, scale /= 10)
            fraction += (*p - '0') * scale;
        if (p == first)
            return -1;
    }
    int offset = 0;
    if (end - p == 1 && (*p | 0x20) == 'z')
        ;
    else if (end - p == 6 && (*p == '+' || *p == '-') && p[3] == ':') {
        int oh = digits(p + 1, 2), om = digits(p + 4, 2);
        if (oh < 0 || oh > 23 || om < 0 || om > 59)
            return -1;
        offset = (oh * 60 + om) * (*p == '-' ? -1 : 1);
    } else
        return -1;
    *ms = ((double)(days_from_civil(y, mo, d) * 86400 + h * 3600 + (mi - offset) * 60 + s)) * 1000 + fraction;
    return 0;
}

enum { OWN_TIME, STORED };

static JSValue get_time(JSContext *ctx, JSValueConst this, int which)
{
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    double ms = stored_ms();
    if (which == OWN_TIME) {
        Part h = header_part("ce-time", 7);
        if (h.p)
            rfc3339(h.p, h.len, &ms);
    }
    return JS_NewDate(ctx, ms);
}

/* header(name): its value, or undefined. */
static JSValue get_header(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    size_t len;
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    const char *name = text_of(ctx, argv[0], &len, "the name of a header");
    if (!name)
        return JS_EXCEPTION;
    Part h = header_part(name, len);
    JSValue v = h.p ? text_new(ctx, h.p, h.len, "a header") : JS_UNDEFINED;
    JS_FreeCString(ctx, name);
    return v;
}

/* headers: an object of all; of several values of a name the first. */
static JSValue get_headers(JSContext *ctx, JSValueConst this)
{
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    JSValue all = JS_NewObject(ctx);
    Part h = headers_part();
    for (const uint8_t *p = h.p, *end = h.p + h.len; p < end;) {
        uint16_t lengths[2];
        memcpy(lengths, p, 4);
        p += 4;
        JSAtom name = JS_NewAtomLen(ctx, (const char *)p, lengths[0]);
        int has = JS_HasProperty(ctx, all, name) > 0;
        JSValue v = has ? JS_UNDEFINED : text_new(ctx, p + lengths[0], lengths[1], "a header");
        if (!has && (JS_IsException(v) || JS_DefinePropertyValue(ctx, all, name, v, JS_PROP_C_W_E) < 0)) {
            JS_FreeAtom(ctx, name);
            JS_FreeValue(ctx, all);
            return JS_EXCEPTION;
        }
        JS_FreeAtom(ctx, name);
        p += lengths[0] + lengths[1];
    }
    return all;
}

/* token(n): the n-th of the subject's tokens, from 1; "" beyond the last. */
static JSValue get_token(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv)
{
    int32_t n;
    if (!event_of(ctx, this) || JS_ToInt32(ctx, &n, argv[0]))
        return JS_EXCEPTION;
    Part s = subject_part();
    const uint8_t *p = s.p, *end = s.p + s.len, *dot;
    for (;; p = dot + 1) {
        dot = memchr(p, '.', end - p);
        if (n-- == 1)
            return text_new(ctx, p, (dot ? dot : end) - p, "the event's subject");
        if (!dot || n < 0)
            return JS_NewStringLen(ctx, "", 0);
    }
}

/* Fields of the data that the host finds, for all of a batch in one call: a name that is
   asked for the first time is declared then. See docs/ABI.md, projection_v1_json. */
enum { MAX_FIELDS = 64, MAX_FIELD = 1024, CELL = 32, IS_INTEGER = 1 };
enum { ABSENT, NUL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT, NO_OBJECT = 255 };

static struct {
    DynBytes names; /* {u16 length, name}* */
    uint32_t count;
    Buffer table;
} fields;

static int declare_field(JSContext *ctx, const char *name, size_t len)
{
    if (len > MAX_FIELD || fields.count == MAX_FIELDS) {
        JS_ThrowRangeError(ctx, "field \"%.60s\": a script may ask for %d fields with names of %d bytes each; event.data has them all", name, MAX_FIELDS, MAX_FIELD);
        return -1;
    }
    uint16_t n = len;
    if (bytes_append(ctx, &fields.names, &n, 2) || bytes_append(ctx, &fields.names, name, len))
        return -1;
    int32_t code = host_fields_declare(fields.names.p, fields.names.len);
    if (code < 0) {
        JS_ThrowRangeError(ctx, "field \"%.60s\": %s", name, code_text(code));
        return -1;
    }
    fields.count++;
    fields_fresh = 0;
    return 0;
}

static int find_field(const char *name, size_t len)
{
    const uint8_t *p = fields.names.p;
    for (uint32_t i = 0; i < fields.count; i++) {
        uint16_t n;
        memcpy(&n, p, 2);
        if (n == len && memcmp(p + 2, name, n) == 0)
            return i;
        p += 2 + n;
    }
    return -1;
}

static int read_table(JSContext *ctx)
{
    for (;;) {
        int32_t n = host_fields_read(fields.table.p, fields.table.size);
        if (n < 0) {
            JS_ThrowTypeError(ctx, "read fields: %s", code_text(n));
            return -1;
        }
        if ((uint32_t)n <= fields.table.size)
            break;
        if (buffer_grow(ctx, &fields.table, n))
            return -1;
    }
    fields_fresh = 1;
    return 0;
}

/* cell_of is the cell of a field of the current event; NULL with an exception. */
static const uint8_t *cell_of(JSContext *ctx, const char *name, size_t len)
{
    int i = find_field(name, len);
    if (i < 0) {
        if (declare_field(ctx, name, len))
            return NULL;
        i = fields.count - 1;
    }
    if (!fields_fresh && read_table(ctx))
        return NULL;
    return fields.table.p + CELL * ((size_t)current.index * fields.count + i);
}

enum { AS_STRING, AS_INT };

/* string(name) and int(name): a field of the data, undefined when it is absent or of
   another kind. */
static JSValue get_field(JSContext *ctx, JSValueConst this, int argc, JSValueConst *argv, int want)
{
    size_t len;
    if (!event_of(ctx, this))
        return JS_EXCEPTION;
    const char *name = text_of(ctx, argv[0], &len, "the name of a field");
    if (!name)
        return JS_EXCEPTION;
    const uint8_t *cell = cell_of(ctx, name, len);
    JS_FreeCString(ctx, name);
    if (!cell)
        return JS_EXCEPTION;
    uint32_t kind = load32(cell), text = load32(cell + 16);
    if (kind == NO_OBJECT)
        return JS_ThrowSyntaxError(ctx, "the event's data is no JSON object: %.*s", (int)load32(cell + 20), fields.table.p + text);
    if (want == AS_STRING && kind == STRING) {
        const uint8_t *p = text ? fields.table.p + text : batch.p + load32(cell + 8) + 1;
        return text_new(ctx, p, text ? load32(cell + 20) : load32(cell + 12) - 2, "a field");
    }
    if (want == AS_INT && kind == NUMBER && load32(cell + 4) & IS_INTEGER) {
        int64_t n;
        memcpy(&n, cell + 24, 8);
        if (n <= (1LL << 53) && n >= -(1LL << 53))
            return JS_NewInt64(ctx, n);
    }
    return JS_UNDEFINED;
}

void fields_reset(void) { fields_fresh = 0; }

static void event_free(JSRuntime *rt, JSValue v)
{
    Event *e = JS_GetOpaque(v, event_id);
    if (e) {
        JS_FreeValueRT(rt, e->data);
        js_free_rt(rt, e);
    }
}

static void event_mark(JSRuntime *rt, JSValueConst v, JS_MarkFunc *mark)
{
    Event *e = JS_GetOpaque(v, event_id);
    if (e)
        JS_MarkValue(rt, e->data, mark);
}

static const JSCFunctionListEntry members[] = {
    JS_CGETSET_DEF("data", get_data, NULL),
    JS_CGETSET_MAGIC_DEF("type", get_header_text, NULL, TYPE),
    JS_CGETSET_MAGIC_DEF("id", get_header_text, NULL, ID),
    JS_CGETSET_MAGIC_DEF("timeText", get_header_text, NULL, TIME_TEXT),
    JS_CGETSET_MAGIC_DEF("subject", get_text, NULL, SUBJECT),
    JS_CGETSET_MAGIC_DEF("text", get_text, NULL, TEXT),
    JS_CGETSET_MAGIC_DEF("key", get_text, NULL, KEY),
    JS_CGETSET_DEF("bytes", get_bytes, NULL),
    JS_CGETSET_DEF("sequence", get_sequence, NULL),
    JS_CGETSET_MAGIC_DEF("time", get_time, NULL, OWN_TIME),
    JS_CGETSET_MAGIC_DEF("stored", get_time, NULL, STORED),
    JS_CGETSET_DEF("headers", get_headers, NULL),
    JS_CFUNC_DEF("header", 1, get_header),
    JS_CFUNC_DEF("token", 1, get_token),
    JS_CFUNC_MAGIC_DEF("string", 1, get_field, AS_STRING),
    JS_CFUNC_MAGIC_DEF("int", 1, get_field, AS_INT),
};

int event_class(JSContext *ctx)
{
    static const JSClassDef def = {"Event", .finalizer = event_free, .gc_mark = event_mark};
    JS_NewClassID(&event_id);
    if (JS_NewClass(JS_GetRuntime(ctx), event_id, &def))
        return -1;
    JSValue proto = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, proto, members, sizeof members / sizeof *members);
    JS_SetClassProto(ctx, event_id, proto);
    return 0;
}

JSValue event_new(JSContext *ctx)
{
    JSValue v = JS_NewObjectClass(ctx, event_id);
    if (JS_IsException(v))
        return v;
    Event *e = js_malloc(ctx, sizeof *e);
    if (!e) {
        JS_FreeValue(ctx, v);
        return JS_EXCEPTION;
    }
    *e = (Event){current.serial, JS_UNINITIALIZED};
    JS_SetOpaque(v, e);
    return v;
}
