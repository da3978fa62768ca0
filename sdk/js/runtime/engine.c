/* QuickJS, as one unit with what has to see inside of its values. */
#include "quickjs.c"

/* A value is plain when it is what its JSON says, and is held from one place only, besides
   by the caller: then it may be kept in place of the JSON. Walk looks at one. */
typedef struct {
    JSContext *ctx;
    uint64_t size;  /* how many bytes the JSON has, at most */
    int exact;      /* whether strings count by their characters, and not as if each took an escape of six bytes */
    uint32_t hash;  /* of what it says */
    uint32_t steps; /* that are left, for values that hold one another in many places */
    int held;       /* it, or a part, is held from elsewhere or cannot be changed */
} Walk;

/* How deep a value may be: it uses the stack of the guest. */
enum { PLAIN_DEPTH = 200, HELD_STEPS = 100000 };

static int walk_value(Walk *w, JSValueConst v, int references, int depth);

static void mix(Walk *w, uint32_t n) { w->hash = (w->hash ^ n) * 0x01000193; } /* FNV-1a, of words */

static uint32_t json_character(uint32_t c)
{
    if (c < 0x80)
        return c < ' ' ? 6 : c == '"' || c == '\\' ? 2 : 1;
    return c < 0x800 ? 2 : (c & 0xf800) == 0xd800 ? 6 : 3; /* a pair takes 4 */
}

/* count_string adds the size of a string, or of the name of a property. */
static void count_string(Walk *w, JSValueConst v)
{
    if (JS_VALUE_GET_TAG(v) == JS_TAG_STRING_ROPE || !w->exact) {
        w->size += 3 + 6 * (uint64_t)string_rope_get_len(v);
        return;
    }
    const JSString *s = JS_VALUE_GET_STRING(v);
    w->size += 3;
    for (uint32_t i = 0; i < s->len; i++)
        w->size += json_character(string_get(s, i));
}

static void mix_string(Walk *w, const JSString *s)
{
    for (uint32_t i = 0; i < s->len; i++)
        mix(w, s->is_wide_char ? s->u.str16[i] : s->u.str8[i]);
}

static void mix_text(Walk *w, JSValueConst v)
{
    if (JS_VALUE_GET_TAG(v) == JS_TAG_STRING) {
        mix_string(w, JS_VALUE_GET_STRING(v));
        return;
    }
    const JSStringRope *rope = JS_VALUE_GET_PTR(v);
    mix_text(w, rope->left);
    mix_text(w, rope->right);
}

/* mix_double: the same number has the same hash, however it is kept. */
static void mix_double(Walk *w, double d)
{
    if (d >= INT32_MIN && d <= INT32_MAX && d == (int32_t)d) {
        mix(w, (uint32_t)(int32_t)d);
        return;
    }
    uint32_t words[2];
    memcpy(words, &d, sizeof words);
    mix(w, words[0]);
    mix(w, words[1]);
}

static int walk_properties(Walk *w, JSObject *p, int depth)
{
    JSShape *shape = p->shape;
    JSShapeProperty *property = get_shape_prop(shape);
    for (int i = 0; i < shape->prop_count; i++, property++) {
        if (property->atom == JS_ATOM_NULL)
            continue; /* deleted */
        if (property->flags != JS_PROP_C_W_E) {
            if (property->flags != JS_PROP_ENUMERABLE)
                return 0;
            w->held = 1; /* frozen */
        }
        if (JS_AtomGetKind(w->ctx, property->atom) != JS_ATOM_KIND_STRING)
            return 0;
        mix(w, property->atom);
        JSValue name = JS_AtomToString(w->ctx, property->atom);
        count_string(w, name);
        JS_FreeValue(w->ctx, name);
        if (!walk_value(w, p->prop[i].u.value, 1, depth))
            return 0;
    }
    return 1;
}

/* walk_array: an array without holes, and with no properties but its length. */
static int walk_array(Walk *w, JSObject *p, int depth)
{
    JSValue *length = &p->prop[0].u.value;
    if (!p->fast_array || p->shape->prop_count != 1 || get_shape_prop(p->shape)->flags != (JS_PROP_WRITABLE | JS_PROP_LENGTH))
        return 0;
    if (JS_VALUE_GET_TAG(*length) != JS_TAG_INT || (uint32_t)JS_VALUE_GET_INT(*length) != p->u.array.count)
        return 0;
    for (uint32_t i = 0; i < p->u.array.count; i++)
        if (!walk_value(w, p->u.array.u.values[i], 1, depth))
            return 0;
    return 1;
}

static int walk_object(Walk *w, JSObject *p, int references, int depth)
{
    if (p->header.ref_count != references || p->weakref_count || !p->extensible)
        w->held = 1;
    if (depth == 0 || (w->held && w->steps-- == 0))
        return 0;
    if (p->shape->proto != JS_VALUE_GET_OBJ(w->ctx->class_proto[p->class_id]))
        return 0;
    mix(w, 0x10000 + p->class_id);
    w->size += 3;
    int plain = 0;
    if (p->class_id == JS_CLASS_OBJECT && !p->is_exotic)
        plain = walk_properties(w, p, depth - 1);
    else if (p->class_id == JS_CLASS_ARRAY)
        plain = walk_array(w, p, depth - 1);
    mix(w, 0x20000); /* it ends here */
    return plain;
}

static int walk_value(Walk *w, JSValueConst v, int references, int depth)
{
    int tag = JS_VALUE_GET_NORM_TAG(v);
    switch (tag) {
    case JS_TAG_NULL:
        mix(w, 0x30000);
        w->size += 12;
        return 1;
    case JS_TAG_BOOL:
        mix(w, 0x40000 + JS_VALUE_GET_BOOL(v));
        w->size += 12;
        return 1;
    case JS_TAG_INT:
        mix(w, (uint32_t)JS_VALUE_GET_INT(v));
        w->size += 12;
        return 1;
    case JS_TAG_STRING:
    case JS_TAG_STRING_ROPE:
        count_string(w, v);
        mix_text(w, v);
        mix(w, 0x50000);
        return 1;
    case JS_TAG_FLOAT64: {
        double d = JS_VALUE_GET_FLOAT64(v);
        mix_double(w, d);
        w->size += 26;
        return isfinite(d) && !(d == 0 && signbit(d));
    }
    case JS_TAG_OBJECT:
        return walk_object(w, JS_VALUE_GET_OBJ(v), references, depth);
    }
    return 0;
}

/* value_plain gives the number of bytes that the JSON of a plain value has at most, which is
   exact to a few bytes a value when it is large; negated, when the value is plain but for that
   it is held from elsewhere or cannot be changed; 0 for others. The hash, of 30 bits, is that of
   what it says: a value that has another has been changed. */
double value_plain(JSContext *ctx, JSValueConst v, uint32_t *hash)
{
    Walk w = {.ctx = ctx};
    do {
        w.exact = w.size > 1 << 18;
        w.size = 0;
        w.hash = 0x811c9dc5;
        w.steps = HELD_STEPS;
        w.held = 0;
        if (!walk_value(&w, v, 2, PLAIN_DEPTH))
            return 0;
    } while (!w.exact && w.size > 1 << 18);
    *hash = w.hash & 0x3fffffff;
    return w.held ? -(double)w.size : (double)w.size;
}

/* value_copy copies a plain value, which is what to parse its JSON would give. */
JSValue value_copy(JSContext *ctx, JSValueConst v)
{
    if (JS_VALUE_GET_TAG(v) != JS_TAG_OBJECT)
        return JS_DupValue(ctx, v);
    JSObject *p = JS_VALUE_GET_OBJ(v);
    int is_array = p->class_id == JS_CLASS_ARRAY;
    JSValue copy = is_array ? JS_NewArray(ctx) : JS_NewObject(ctx);
    if (JS_IsException(copy))
        return copy;
    int n = is_array ? (int)p->u.array.count : p->shape->prop_count;
    for (int i = 0; i < n; i++) {
        JSAtom atom = is_array ? JS_ATOM_NULL : get_shape_prop(p->shape)[i].atom;
        if (!is_array && atom == JS_ATOM_NULL)
            continue; /* deleted */
        JSValue part = value_copy(ctx, is_array ? p->u.array.u.values[i] : p->prop[i].u.value);
        int done = JS_IsException(part)  ? -1
                   : is_array ? JS_DefinePropertyValueUint32(ctx, copy, i, part, JS_PROP_C_W_E)
                              : JS_DefinePropertyValue(ctx, copy, atom, part, JS_PROP_C_W_E);
        if (done < 0) {
            JS_FreeValue(ctx, copy);
            return JS_EXCEPTION;
        }
    }
    return copy;
}
