/* QuickJS, as one unit with what has to see inside of its values. */
#include "quickjs.c"

/* How deep a value may be for values_plain: it uses the stack of the guest. */
enum { PLAIN_DEPTH = 200 };

static int plain_value(JSContext *ctx, JSValueConst v, int references, int depth);

/* How many bytes the JSON of what was looked at has, at most: json_exact has strings counted
   by their characters, and not as if each took an escape of six bytes. */
static uint64_t json_size;
static int json_exact;

static uint32_t json_character(uint32_t c)
{
    if (c < 0x80)
        return c < ' ' ? 6 : c == '"' || c == '\\' ? 2 : 1;
    return c < 0x800 ? 2 : (c & 0xf800) == 0xd800 ? 6 : 3; /* a pair takes 4 */
}

static void json_string(JSValueConst v)
{
    JSString *s;
    if (JS_VALUE_GET_TAG(v) == JS_TAG_STRING_ROPE || !json_exact) {
        json_size += 3 + 6 * (uint64_t)string_rope_get_len(v);
        return;
    }
    s = JS_VALUE_GET_STRING(v);
    json_size += 3;
    for (uint32_t i = 0; i < s->len; i++)
        json_size += json_character(string_get(s, i));
}

static int plain_properties(JSContext *ctx, JSObject *p, int depth)
{
    JSShape *shape = p->shape;
    JSShapeProperty *property = get_shape_prop(shape);
    for (int i = 0; i < shape->prop_count; i++, property++) {
        if (property->atom == JS_ATOM_NULL)
            continue; /* deleted */
        if (property->flags != JS_PROP_C_W_E || JS_AtomGetKind(ctx, property->atom) != JS_ATOM_KIND_STRING)
            return 0;
        JSValue name = JS_AtomToString(ctx, property->atom);
        json_string(name);
        JS_FreeValue(ctx, name);
        if (!plain_value(ctx, p->prop[i].u.value, 1, depth))
            return 0;
    }
    return 1;
}

/* plain_array: an array without holes, and with no properties but its length. */
static int plain_array(JSContext *ctx, JSObject *p, int depth)
{
    JSValue *length = &p->prop[0].u.value;
    if (!p->fast_array || p->shape->prop_count != 1 || get_shape_prop(p->shape)->flags != JS_PROP_WRITABLE)
        return 0;
    if (JS_VALUE_GET_TAG(*length) != JS_TAG_INT || (uint32_t)JS_VALUE_GET_INT(*length) != p->u.array.count)
        return 0;
    for (uint32_t i = 0; i < p->u.array.count; i++)
        if (!plain_value(ctx, p->u.array.u.values[i], 1, depth))
            return 0;
    return 1;
}

static int plain_value(JSContext *ctx, JSValueConst v, int references, int depth)
{
    switch (JS_VALUE_GET_NORM_TAG(v)) {
    case JS_TAG_NULL:
    case JS_TAG_BOOL:
    case JS_TAG_INT:
        json_size += 12;
        return 1;
    case JS_TAG_STRING:
    case JS_TAG_STRING_ROPE:
        json_string(v);
        return 1;
    case JS_TAG_FLOAT64: {
        json_size += 26;
        double d = JS_VALUE_GET_FLOAT64(v);
        return isfinite(d) && !(d == 0 && signbit(d));
    }
    case JS_TAG_OBJECT: {
        JSObject *p = JS_VALUE_GET_OBJ(v);
        json_size += 3;
        if (p->header.ref_count != references || p->weakref_count || !p->extensible || depth == 0)
            return 0;
        if (p->shape->proto != JS_VALUE_GET_OBJ(ctx->class_proto[p->class_id]))
            return 0;
        if (p->class_id == JS_CLASS_OBJECT && !p->is_exotic)
            return plain_properties(ctx, p, depth - 1);
        return p->class_id == JS_CLASS_ARRAY && plain_array(ctx, p, depth - 1);
    }
    }
    return 0;
}

/* value_is_plain reports whether a value is what its JSON says, and is held from one place
   only, besides by the caller: then it may be kept in place of the JSON. It is the number of
   bytes that this has at most, 0 when it is not so; the number is exact to a few bytes a value
   when it is large. */
double value_is_plain(JSContext *ctx, JSValueConst v)
{
    json_size = json_exact = 0;
    if (!plain_value(ctx, v, 2, PLAIN_DEPTH))
        return 0;
    if (json_size > 1 << 18) {
        json_size = 0;
        json_exact = 1;
        plain_value(ctx, v, 2, PLAIN_DEPTH);
    }
    return json_size;
}
