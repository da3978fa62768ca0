// gnomon_text.h: texts, memory and texts of parts, for gnomon.h, which includes it.
#ifndef GNOMON_TEXT_H
#define GNOMON_TEXT_H

#define GN_IMPORT_OF(module, name) __attribute__((import_module(module), import_name(#name)))
#define GN_IMPORT(name) GN_IMPORT_OF("projection_v1", name)
#define GN_EXPORT(name) __attribute__((export_name(#name)))
#define GN_LARGE __attribute__((noinline, unused)) static // not to be copied to where it is called
#define GN_SHARED __attribute__((weak)) // one of it, in however many files the header is

GN_IMPORT(fail) void gn_host_fail(uint32_t event, const void *text, uint32_t len);

// ---- Texts --------------------------------------------------------------------------

typedef struct {
  const char *at; // NULL: there is none
  uint32_t size;  // bytes
} gn_text;

#define GN_TEXT(literal) {literal, sizeof(literal) - 1} // to initialise with

static inline gn_text gn_bytes(const void *at, uint32_t size) {
  gn_text t = {(const char *)at, size};
  return t;
}

// gn_length is strlen, which is known of a literal and of which there is none without libc.
static inline uint32_t gn_length(const char *zero_ended) {
  if (__builtin_constant_p(__builtin_strlen(zero_ended))) return (uint32_t)__builtin_strlen(zero_ended);
  uint32_t n = 0;
  while (zero_ended[n]) n++;
  return n;
}

static inline gn_text gn_text_of(const char *zero_ended) { return gn_bytes(zero_ended, gn_length(zero_ended)); }

// gn_compare orders by bytes: below, at or above 0.
static inline int gn_compare(gn_text a, gn_text b) {
  for (uint32_t i = 0; i < a.size && i < b.size; i++)
    if (a.at[i] != b.at[i]) return (unsigned char)a.at[i] < (unsigned char)b.at[i] ? -1 : 1;
  return a.size == b.size ? 0 : a.size < b.size ? -1 : 1;
}

static inline uint64_t gn_load64(const char *p) {
  uint64_t n;
  __builtin_memcpy(&n, p, 8);
  return n;
}

static inline bool gn_equal(gn_text a, gn_text b) {
  uint32_t i = 0;
  if (a.size != b.size) return false;
  for (; a.size - i >= 8; i += 8)
    if (gn_load64(a.at + i) != gn_load64(b.at + i)) return false;
  while (i < a.size && a.at[i] == b.at[i]) i++;
  return i == a.size;
}

static inline bool gn_is(gn_text a, const char *zero_ended) {
  if (__builtin_constant_p(__builtin_strlen(zero_ended))) return gn_equal(a, gn_text_of(zero_ended));
  uint32_t i = 0;
  while (i < a.size && a.at[i] == zero_ended[i]) i++;
  return i == a.size && zero_ended[i] == 0;
}

// ---- The event at hand --------------------------------------------------------------

GN_SHARED struct gn_now {
  uint32_t event; // its index in the batch
  bool failed;
  gn_text reason;
} gn_now;

// ---- Memory -------------------------------------------------------------------------
// It grows, in pages, to what the largest event took. What it begins with is enough for most
// events: growing is slow. A libc that is linked too has memory of its own.

typedef struct {
  char *at;
  uint32_t size, used;
} gn_buffer;

GN_SHARED __attribute__((aligned(8))) char gn_first_scratch[32 << 10], gn_first_batch[64 << 10];
GN_SHARED gn_buffer gn_scratch = {gn_first_scratch, sizeof gn_first_scratch, 0}; // until the handler returns
GN_SHARED gn_buffer gn_batch = {gn_first_batch, sizeof gn_first_batch, 0};
GN_SHARED gn_buffer gn_spare_page = {NULL, 0, 0}; // of scans; in the scratch
GN_SHARED gn_buffer gn_kept = {NULL, 0, 0}; // for good

__attribute__((noreturn)) static inline void gn_out_of_memory(void) {
  gn_text why = GN_TEXT("memory is at its limit: limits.memory of the configuration");
  gn_host_fail(gn_now.event, why.at, why.size);
  __builtin_trap();
}

#ifdef __wasi__
// malloc of wasi-libc takes all memory that there is when it is called first: before gn_grow
// adds some, which is not for it. (Constructors run in _initialize.)
__attribute__((constructor)) GN_SHARED void gn_begin_malloc(void) {
  void *volatile first = malloc(1);
  free(first);
}
#endif

// gn_grow gives a buffer at least so many bytes, in another place: what was in it is not.
GN_LARGE void gn_grow(gn_buffer *b, uint32_t size) {
  uint32_t pages = (uint32_t)(((uint64_t)size + 65535) / 65536), twice = b->size / 65536 * 2;
  size_t page = __builtin_wasm_memory_grow(0, pages > twice ? pages : twice);
  if (page == SIZE_MAX) page = __builtin_wasm_memory_grow(0, pages), twice = 0;
  if (page == SIZE_MAX) gn_out_of_memory();
  b->at = (char *)(page * 65536), b->size = (pages > twice ? pages : twice) * 65536, b->used = 0;
}

static inline char *gn_reserve(gn_buffer *b, uint32_t size) {
  if (b->size - b->used < size) gn_grow(b, size);
  return b->at + b->used;
}

// gn_take returns memory, aligned to 8 bytes, that is valid until the handler returns.
static inline void *gn_take(uint32_t size) {
  size = (size + 7) & ~7u;
  char *at = gn_reserve(&gn_scratch, size);
  gn_scratch.used += size;
  return at;
}

// gn_copy and gn_keep copy a text: until the handler returns, and for good.
static inline gn_text gn_copy(gn_text t) {
  return gn_bytes(__builtin_memcpy(gn_take(t.size), t.at, t.size), t.size);
}

static inline gn_text gn_keep(gn_text t) {
  char *at = gn_reserve(&gn_kept, t.size);
  gn_kept.used += t.size;
  return gn_bytes(__builtin_memcpy(at, t.at, t.size), t.size);
}

// ---- Texts of parts -----------------------------------------------------------------
// gn_join, gn_fail, gn_log, gn_answer and gn_headers take up to 12 parts: texts, string
// literals, integers, and gn_quoted(text), a JSON string.

enum gn_part_kind { GN_PART_TEXT, GN_PART_QUOTED, GN_PART_NUMBER };

typedef struct {
  enum gn_part_kind kind;
  bool negative;
  gn_text text;
  uint64_t number; // without its sign
} gn_part;

static inline gn_part gn_part_new(enum gn_part_kind kind, gn_text t, uint64_t number, bool negative) {
  gn_part p = {kind, negative, t, number};
  return p;
}

static inline gn_part gn_part_text(gn_text t) { return gn_part_new(GN_PART_TEXT, t, 0, false); }
static inline gn_part gn_part_string(const char *zero_ended) { return gn_part_text(gn_text_of(zero_ended)); }
static inline gn_part gn_part_same(gn_part p) { return p; }
static inline gn_part gn_part_unsigned(uint64_t n) { return gn_part_new(GN_PART_NUMBER, gn_bytes(0, 0), n, false); }
static inline gn_part gn_part_signed(int64_t n) {
  return gn_part_new(GN_PART_NUMBER, gn_bytes(0, 0), n < 0 ? 0 - (uint64_t)n : (uint64_t)n, n < 0);
}

// gn_quoted is the text as RFC 8785 writes it. Bytes that are not UTF-8 become U+FFFD.
static inline gn_part gn_quoted(gn_text t) { return gn_part_new(GN_PART_QUOTED, t, 0, false); }

GN_LARGE char *gn_write_quoted(char *to, gn_text t); // gnomon_json.h

static inline char *gn_write_part(char *to, const gn_part *p) {
  if (p->kind == GN_PART_QUOTED) return gn_write_quoted(to, p->text);
  if (p->kind == GN_PART_TEXT) {
    __builtin_memcpy(to, p->text.at, p->text.size);
    return to + p->text.size;
  }
  char digits[20];
  int i = 20;
  uint64_t n = p->number;
  do digits[--i] = (char)('0' + n % 10);
  while (n /= 10);
  if (p->negative) *to++ = '-';
  while (i < 20) *to++ = digits[i++];
  return to;
}

// gn_join_parts writes them one after the other, into memory that is valid until the
// handler returns.
GN_LARGE gn_text gn_join_parts(const gn_part *parts, uint32_t count) {
  uint32_t most = 0; // bytes; a quoted one may have an escape of six for each of its own
  for (uint32_t i = 0; i < count; i++) most += parts[i].kind == GN_PART_QUOTED ? 6 * parts[i].text.size + 2 : parts[i].text.size + 21;
  char *at = gn_reserve(&gn_scratch, most + 8), *to = at;
  for (uint32_t i = 0; i < count; i++) to = gn_write_part(to, &parts[i]);
  gn_take((uint32_t)(to - at));
  return gn_bytes(at, (uint32_t)(to - at));
}

#ifndef __cplusplus
// What may be a part, and the macros that make parts of their arguments.
#define GN_PART(x) _Generic((x), gn_part: gn_part_same, gn_text: gn_part_text, char *: gn_part_string, const char *: gn_part_string, \
  int: gn_part_signed, long: gn_part_signed, long long: gn_part_signed, unsigned: gn_part_unsigned, unsigned long: gn_part_unsigned, unsigned long long: gn_part_unsigned)(x)
#define GN_P1(x) GN_PART(x)
#define GN_P2(x, ...) GN_PART(x), GN_P1(__VA_ARGS__)
#define GN_P3(x, ...) GN_PART(x), GN_P2(__VA_ARGS__)
#define GN_P4(x, ...) GN_PART(x), GN_P3(__VA_ARGS__)
#define GN_P5(x, ...) GN_PART(x), GN_P4(__VA_ARGS__)
#define GN_P6(x, ...) GN_PART(x), GN_P5(__VA_ARGS__)
#define GN_P7(x, ...) GN_PART(x), GN_P6(__VA_ARGS__)
#define GN_P8(x, ...) GN_PART(x), GN_P7(__VA_ARGS__)
#define GN_P9(x, ...) GN_PART(x), GN_P8(__VA_ARGS__)
#define GN_P10(x, ...) GN_PART(x), GN_P9(__VA_ARGS__)
#define GN_P11(x, ...) GN_PART(x), GN_P10(__VA_ARGS__)
#define GN_P12(x, ...) GN_PART(x), GN_P11(__VA_ARGS__)
#define GN_PICK(a, b, c, d, e, f, g, h, i, j, k, l, picked, ...) picked
#define GN_PARTS(...) (const gn_part[]){GN_PICK(__VA_ARGS__, GN_P12, GN_P11, GN_P10, GN_P9, GN_P8, GN_P7, GN_P6, GN_P5, GN_P4, GN_P3, GN_P2, GN_P1, )(__VA_ARGS__)}, \
  GN_PICK(__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, )
#endif
#endif
