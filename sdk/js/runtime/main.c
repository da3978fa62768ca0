/* QuickJS as a guest of projection_v1: the calls of the host, handed on to a script that
   is attached behind the module's memory. sdk/js/attach.go puts it there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <malloc.h>
#include "runtime.h"

Current current = {NULL, NO_EVENT, 0};
Buffer batch;
uint32_t batch_length;
int fields_fresh, out_of_memory;

static JSContext *ctx;
static JSValue entry = JS_UNDEFINED;     /* what the prelude's start returned */
static JSValue on_event = JS_UNDEFINED;  /* entry.onEvent */
static JSValue end_event = JS_UNDEFINED; /* entry.endEvent, or undefined */
static JSValue state = JS_UNDEFINED;     /* entry.state */

/* What is attached: see sdk/js/attach.go. It begins where the memory of the module that
   the linker made ends; all numbers are little-endian and need not be aligned. */
extern uint8_t __heap_base[], __heap_end[];

enum { PRELUDE, MODULE, SCRIPT };

typedef struct {
    char magic[8];
    uint32_t flags, count;
} Attached;

typedef struct {
    uint32_t kind, name_len, source_len;
} Source;

static const char magic[8] = "gnomonjs";

/* say tells the host why the call fails, and of which event. */
static int32_t say(const char *text, size_t len)
{
    host_fail(current.index, text, len);
    return 1;
}

/* fail tells the exception. An Error that the script threw says what it says; any other
   also which one it is, and where. */
static int32_t fail(void)
{
    if (out_of_memory) {
        static const char text[] = "the script is out of memory: raise limits.memory, or keep less in variables";
        return say(text, sizeof text - 1);
    }
    JSValue exception = JS_GetException(ctx);
    JSValue explain = JS_GetPropertyStr(ctx, entry, "explain");
    JSValueConst args[1] = {exception};
    JSValue text = JS_IsFunction(ctx, explain) ? JS_Call(ctx, explain, JS_UNDEFINED, 1, args) : JS_ToString(ctx, exception);
    size_t len = 0;
    const char *s = JS_IsException(text) ? NULL : JS_ToCStringLen(ctx, &len, text);
    if (out_of_memory)
        return fail();
    if (!s)
        return say("an exception that cannot be shown", 33);
    return say(s, len);
}

/* run_jobs runs what promises wait for, to the end: none outlives a call. */
static int run_jobs(void)
{
    JSContext *at;
    int r;
    do
        r = JS_ExecutePendingJob(JS_GetRuntime(ctx), &at);
    while (r > 0);
    return r;
}

/* Rejections that nothing handles: how many, and why the last one. */
static int unhandled;
static JSValue reason_of_unhandled = JS_UNDEFINED;

static void track_rejection(JSContext *c, JSValueConst promise, JSValueConst reason, JS_BOOL is_handled, void *opaque)
{
    if (is_handled) {
        unhandled--;
        return;
    }
    unhandled++;
    JS_FreeValue(c, reason_of_unhandled);
    reason_of_unhandled = JS_DupValue(c, reason);
}

/* settle replaces a promise by what comes of it. */
static JSValue settle(JSValue v)
{
    if (JS_IsJobPending(JS_GetRuntime(ctx)) && run_jobs() < 0) {
        JS_FreeValue(ctx, v);
        return JS_EXCEPTION;
    }
    if (unhandled > 0 && !JS_IsException(v)) {
        unhandled = 0;
        JS_FreeValue(ctx, v);
        return JS_Throw(ctx, JS_DupValue(ctx, reason_of_unhandled));
    }
    if (!JS_IsObject(v) || (int)JS_PromiseState(ctx, v) < 0)
        return v;
    JSValue result;
    switch (JS_PromiseState(ctx, v)) {
    case JS_PROMISE_FULFILLED:
        result = JS_PromiseResult(ctx, v);
        break;
    case JS_PROMISE_REJECTED: /* and handled */
        result = JS_Throw(ctx, JS_PromiseResult(ctx, v));
        break;
    default:
        result = JS_ThrowTypeError(ctx, "it awaits what never comes: there are no timers and no input");
    }
    JS_FreeValue(ctx, v);
    return result;
}

/* An allocator that remembers that it failed: a script could catch that and go on, with
   results that depend on what the memory held. */
static size_t allocated; /* bytes */

static void *counted_malloc(JSMallocState *s, size_t size)
{
    void *p = malloc(size);
    if (!p) {
        out_of_memory = 1;
        return NULL;
    }
    s->malloc_count++;
    s->malloc_size += malloc_usable_size(p);
    allocated = s->malloc_size;
    return p;
}

static void counted_free(JSMallocState *s, void *p)
{
    if (!p)
        return;
    s->malloc_count--;
    s->malloc_size -= malloc_usable_size(p);
    free(p);
}

static void *counted_realloc(JSMallocState *s, void *p, size_t size)
{
    if (!p)
        return size ? counted_malloc(s, size) : NULL;
    if (!size) {
        counted_free(s, p);
        return NULL;
    }
    size_t was = malloc_usable_size(p);
    void *q = realloc(p, size);
    if (!q) {
        out_of_memory = 1;
        return NULL;
    }
    s->malloc_size += malloc_usable_size(q) - was;
    return q;
}

static size_t usable(const void *p) { return malloc_usable_size((void *)p); }

/* Of the stack of 1 MiB that the linker lays out QuickJS leaves some for its own. */
enum { STACK = 896 << 10 };

/* The intrinsics of the language, but WeakRef and FinalizationRegistry, which show when
   memory is collected, and Atomics, of which there is nothing to synchronise. */
static int new_context(void)
{
    static const JSMallocFunctions allocator = {counted_malloc, counted_free, counted_realloc, usable};
    JSRuntime *rt = JS_NewRuntime2(&allocator, NULL);
    if (!rt)
        return -1;
    JS_SetGCThreshold(rt, SIZE_MAX); /* while it starts there is nothing to collect */
    if (!(ctx = JS_NewContextRaw(rt)))
        return -1;
    JS_SetMaxStackSize(rt, STACK);
    JS_SetHostPromiseRejectionTracker(rt, track_rejection, NULL);
    JS_AddIntrinsicBaseObjects(ctx);
    JS_AddIntrinsicDate(ctx);
    JS_AddIntrinsicEval(ctx);
    JS_AddIntrinsicStringNormalize(ctx);
    JS_AddIntrinsicRegExp(ctx);
    JS_AddIntrinsicJSON(ctx);
    JS_AddIntrinsicProxy(ctx);
    JS_AddIntrinsicMapSet(ctx);
    JS_AddIntrinsicTypedArrays(ctx);
    JS_AddIntrinsicPromise(ctx);
    return event_class(ctx);
}

/* evaluate_module returns its namespace. */
static JSValue evaluate_module(const char *source, size_t len, const char *name)
{
    JSValue module = JS_Eval(ctx, source, len, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(module))
        return module;
    JSModuleDef *def = JS_VALUE_GET_PTR(module);
    JSValue result = settle(JS_EvalFunction(ctx, module));
    if (JS_IsException(result))
        return result;
    JS_FreeValue(ctx, result);
    return JS_GetModuleNamespace(ctx, def);
}

/* evaluate_prelude calls the function that a prelude's source is, with what the one
   before it returned. */
static JSValue evaluate_prelude(const char *source, size_t len, const char *name, JSValue before)
{
    JSValue function = JS_Eval(ctx, source, len, name, JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(function))
        return function;
    JSValueConst args[1] = {before};
    JSValue result = JS_Call(ctx, function, JS_UNDEFINED, 1, args);
    JS_FreeValue(ctx, function);
    JS_FreeValue(ctx, before);
    return result;
}

/* evaluate runs all that is attached: preludes, then the script, then start. */
static JSValue evaluate(const uint8_t *p, const Attached *attached)
{
    JSValue api = host_object(ctx), exports = JS_UNDEFINED;
    JS_SetPropertyStr(ctx, api, "flags", JS_NewUint32(ctx, attached->flags));
    p += sizeof *attached;
    for (uint32_t i = 0; i < attached->count; i++) {
        Source s;
        memcpy(&s, p, sizeof s);
        const char *name = (const char *)p + sizeof s, *source = name + s.name_len + 1;
        JSValue v;
        switch (s.kind) {
        case PRELUDE:
            v = api = evaluate_prelude(source, s.source_len, name, api);
            entry = JS_DupValue(ctx, api); /* for explain */
            break;
        case MODULE:
            v = exports = evaluate_module(source, s.source_len, name);
            break;
        default:
            v = settle(JS_Eval(ctx, source, s.source_len, name, JS_EVAL_TYPE_GLOBAL));
        }
        if (JS_IsException(v))
            return v;
        p = (const uint8_t *)source + s.source_len + 1;
    }
    JSValueConst args[1] = {exports};
    return settle(JS_Invoke(ctx, api, JS_NewAtom(ctx, "start"), 1, args));
}

/* keep keeps what is attached out of the heap: wasi-libc's malloc takes all memory that
   there is at its first call, from __heap_base on, and cuts what it gives from the
   beginning. So the first block is made to reach to the end of what is attached, and is
   never written to. 0, or -1 when malloc works otherwise. */
static int keep(void)
{
    uint8_t *end = (uint8_t *)(__builtin_wasm_memory_size(0) * 65536) - 4096;
    uint8_t *block = malloc(end - __heap_base);
    return block >= __heap_base && block <= __heap_end && block + (end - __heap_base) >= end ? 0 : -1;
}

static int has_script(const Attached *attached) { return memcmp(attached->magic, magic, sizeof magic) == 0; }

static int32_t start(void)
{
    Attached attached;
    if (__builtin_wasm_memory_size(0) * 65536 == (uintptr_t)__heap_end)
        return say("no script is attached: engine attach SCRIPT.js makes a module of one", 69);
    memcpy(&attached, __heap_end, sizeof attached);
    if (!has_script(&attached))
        return say("what is attached is no script: attach it again, with the engine of this version", 80);
    if (keep() || new_context())
        return say("not enough memory to start: raise limits.memory", 47);
    JSValue started = evaluate(__heap_end, &attached);
    if (JS_IsException(started) || out_of_memory)
        return fail();
    /* Most memory is freed when its last reference goes; what is collected is cycles. */
    JS_SetGCThreshold(JS_GetRuntime(ctx), 2 * allocated + (1 << 20));
    entry = started;
    on_event = JS_GetPropertyStr(ctx, entry, "onEvent");
    end_event = JS_GetPropertyStr(ctx, entry, "endEvent");
    state = JS_GetPropertyStr(ctx, entry, "state");
    return 0;
}

EXPORT("init") int32_t export_init(void)
{
    current.index = NO_EVENT;
    return start();
}

/* call calls a function of the entry with a number, which it need not take. */
static int32_t call(const char *name, int32_t number)
{
    current.index = NO_EVENT;
    JSValue f = JS_GetPropertyStr(ctx, entry, name);
    JSValueConst args[1] = {JS_NewInt32(ctx, number)};
    JSValue result = settle(JS_Call(ctx, f, entry, 1, args));
    JS_FreeValue(ctx, f);
    if (JS_IsException(result) || out_of_memory)
        return fail();
    JS_FreeValue(ctx, result);
    return 0;
}

/* handle has the script handle the current event. */
static int handle(void)
{
    JSValue event = event_new(ctx);
    if (JS_IsException(event))
        return -1;
    JSValueConst args[2] = {event, state};
    JSValue result = settle(JS_Call(ctx, on_event, JS_UNDEFINED, 2, args));
    JS_FreeValue(ctx, event);
    JS_FreeValue(ctx, result);
    if (!JS_IsException(result) && !JS_IsUndefined(end_event))
        result = JS_Call(ctx, end_event, JS_UNDEFINED, 0, NULL);
    return JS_IsException(result) || out_of_memory ? -1 : 0;
}

typedef int32_t batch_reader(void *buf, uint32_t cap);

static int read_batch(batch_reader *read)
{
    for (;;) {
        int32_t n = read(batch.p, batch.size);
        if (n < 0) {
            JS_ThrowTypeError(ctx, "read batch: %s", code_text(n));
            return -1;
        }
        if ((uint32_t)n <= batch.size) {
            batch_length = n;
            fields_fresh = 0;
            return 0;
        }
        if (buffer_grow(ctx, &batch, n))
            return -1;
    }
}

/* each_event has the script handle the events of a batch, one by one. */
static int32_t each_event(batch_reader *read)
{
    current.index = NO_EVENT;
    if (read_batch(read))
        return fail();
    for (uint8_t *p = batch.p, *end = p + batch_length; p < end;) {
        uint32_t size;
        memcpy(&size, p, 4);
        current.record = p;
        current.index++;
        current.serial++;
        if (handle())
            return fail();
        p += size;
    }
    current.record = NULL;
    return call("endBatch", 0);
}

EXPORT("apply") int32_t export_apply(void) { return each_event(host_batch_read); }
EXPORT("upcast") int32_t export_upcast(void) { return each_event(host_input_read); }
EXPORT("migrate") int32_t export_migrate(int32_t from) { return call("migrate", from); }
EXPORT("query") int32_t export_query(void) { return call("query", 0); }
EXPORT("snapshot") int32_t export_snapshot(void) { return call("snapshot", 0); }
EXPORT("restore") int32_t export_restore(void) { return call("restore", 0); }
