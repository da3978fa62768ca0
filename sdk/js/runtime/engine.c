/* QuickJS, as one unit with what has to see inside of its values. */
#include "quickjs.c"

/* How deep a value may be for values_plain: it uses the stack of the guest. */
enum { PLAIN_DEPTH = 200 };

static int plain_value(JSContext *ctx, JSValueConst v, int references, int depth);

static int plain_properties(JSContext *ctx, JSObject *p, int depth)
{
    JSShape *shape = p->shape;
    JSShapeProperty *property = get_shape_prop(shape);
    for (int i = 0; i < shape->prop_count; i++, property++) {
        if (property->atom == JS_ATOM_NULL)
            continue; /* deleted */
        if (property->flags != JS_PROP_C_W_E || JS_AtomGetKind(ctx, property->atom) != JS_ATOM_KIND_STRING)
            return 0;
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
    case JS_TAG_STRING:
    case JS_TAG_STRING_ROPE:
        return 1;
    case JS_TAG_FLOAT64: {
        double d = JS_VALUE_GET_FLOAT64(v);
        return isfinite(d) && !(d == 0 && signbit(d));
    }
    case JS_TAG_OBJECT: {
        JSObject *p = JS_VALUE_GET_OBJ(v);
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

/* value_is_plain reports whether a value is what its JSON says, and is held from one
   place only, besides by the caller: then it may be kept in place of the JSON. */
int value_is_plain(JSContext *ctx, JSValueConst v) { return plain_value(ctx, v, 2, PLAIN_DEPTH); }
