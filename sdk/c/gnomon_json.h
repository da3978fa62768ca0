// gnomon_json.h: JSON for gnomon.h, which includes it. Fields of events are found by the
// host (projection_v1_json); texts of one's own, such as values of the state, requests and
// settings, are read here.
#ifndef GNOMON_JSON_H
#define GNOMON_JSON_H

#ifdef __cplusplus
extern "C" {
#endif

GN_IMPORT_OF("projection_v1_json", fields_declare) int32_t gn_host_fields_declare(const void *names, uint32_t len);
GN_IMPORT_OF("projection_v1_json", fields_read) int32_t gn_host_fields_read(void *buf, uint32_t cap);

// ---- Values -------------------------------------------------------------------------

enum gn_kind { GN_ABSENT, GN_NULL, GN_BOOL, GN_NUMBER, GN_STRING, GN_ARRAY, GN_OBJECT, GN_NO_OBJECT = 255 };

typedef struct {
  uint32_t kind;
  bool whole;      // a number without fraction and exponent, of at most 18 digits:
  int64_t integer; // this one
  gn_text raw;     // the value's JSON
  gn_text text;    // what a string says, UTF-8
} gn_value;

// ---- Fields of events ---------------------------------------------------------------

enum { GN_MOST_FIELDS = 64 };

GN_SHARED char gn_first_table[16 << 10];
GN_SHARED struct gn_fields {
  const char *names[GN_MOST_FIELDS];
  uint32_t count;
  gn_buffer table;
} gn_fields = {{NULL}, 0, {gn_first_table, sizeof gn_first_table, 0}};

// gn_declare tells the host the names of all fields that were asked for.
GN_LARGE void gn_declare(void) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < gn_fields.count; i++) most += 2 + gn_length(gn_fields.names[i]);
  char *at = (char *)gn_take(most), *to = at;
  for (uint32_t i = 0; i < gn_fields.count; i++) {
    uint32_t size = gn_length(gn_fields.names[i]);
    *to++ = (char)size, *to++ = (char)(size >> 8);
    __builtin_memcpy(to, gn_fields.names[i], size), to += size;
  }
  gn_checked("fields_declare", gn_bytes(NULL, 0), gn_host_fields_declare(at, (uint32_t)(to - at)));
  gn_table_read = false;
}

// gn_field_index is the place of a field in the table, -1 when it cannot have one. A literal
// has the same address each time, so names are rarely compared.
static inline int32_t gn_field_index(const char *name) {
  for (uint32_t i = 0; i < gn_fields.count; i++)
    if (gn_fields.names[i] == name) return (int32_t)i;
  for (uint32_t i = 0; i < gn_fields.count; i++)
    if (gn_is(gn_text_of(name), gn_fields.names[i])) return (int32_t)i;
  if (gn_fields.count == GN_MOST_FIELDS || gn_length(name) > 1024)
    return gn_checked("fields_declare", gn_text_of(name), GN_TOO_LARGE), -1;
  gn_fields.names[gn_fields.count++] = name;
  gn_declare();
  return (int32_t)gn_fields.count - 1;
}

// gn_field is a field of the event's data, which must be a JSON object: of any other the
// event fails. The last one of that name counts; without one the kind is GN_ABSENT. A
// program may ask for 64 different names, which must stay as they are: literals.
GN_LARGE gn_value gn_field(const gn_event *e, const char *name) {
  gn_value v;
  __builtin_memset(&v, 0, sizeof v);
  int32_t i = gn_field_index(name);
  if (i < 0) return v;
  if (!gn_table_read) gn_read_all(&gn_fields.table, "fields_read", gn_host_fields_read), gn_table_read = true;
  if (gn_now.failed) return v;
  struct { uint32_t kind, whole, raw, raw_size, text, text_size; int64_t integer; } cell;
  const char *table = gn_fields.table.at;
  __builtin_memcpy(&cell, table + 32 * (e->index * gn_fields.count + (uint32_t)i), sizeof cell);
  v.kind = cell.kind, v.whole = cell.whole & 1, v.integer = cell.integer;
  v.raw = gn_bytes(gn_batch.at + cell.raw, cell.raw_size);
  if (cell.text) v.text = gn_copy(gn_bytes(table + cell.text, cell.text_size)); // the table may be read again
  else if (v.kind == GN_STRING) v.text = gn_bytes(v.raw.at + 1, v.raw.size - 2);
  if (v.kind == GN_NO_OBJECT) gn_fail_text(v.text);
  return v;
}

// gn_field_text and gn_field_int say whether a field is a string, or a whole number, and
// set value to it then.
GN_LARGE bool gn_field_text(const gn_event *e, const char *name, gn_text *value) {
  gn_value v = gn_field(e, name);
  return v.kind == GN_STRING ? *value = v.text, true : false;
}
GN_LARGE bool gn_field_int(const gn_event *e, const char *name, int64_t *value) {
  gn_value v = gn_field(e, name);
  return v.whole ? *value = v.integer, true : false;
}

// ---- UTF-8 and strings --------------------------------------------------------------

// gn_utf8_size is the length of the character at p, 0 when it is not UTF-8 (RFC 3629: no
// surrogates, nothing longer than need be).
static inline uint32_t gn_utf8_size(const unsigned char *p, const unsigned char *end) {
  if (*p < 0x80) return 1;
  uint32_t n = *p >= 0xc2 && *p <= 0xdf ? 2 : (*p & 0xf0) == 0xe0 ? 3 : *p >= 0xf0 && *p <= 0xf4 ? 4 : 0;
  if (n == 0 || (uint32_t)(end - p) < n) return 0;
  for (uint32_t i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  bool wrong = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f);
  return wrong ? 0 : n;
}

static inline char *gn_write_rune(char *to, uint32_t r) {
  if (r < 0x80) return *to++ = (char)r, to;
  if (r < 0x800) *to++ = (char)(0xc0 | r >> 6);
  else {
    if (r < 0x10000) *to++ = (char)(0xe0 | r >> 12);
    else *to++ = (char)(0xf0 | r >> 18), *to++ = (char)(0x80 | (r >> 12 & 63));
    *to++ = (char)(0x80 | (r >> 6 & 63));
  }
  return *to++ = (char)(0x80 | (r & 63)), to;
}

// gn_plain_end is where the ASCII ends that stands for itself in a JSON string: at a quote, a
// backslash, a control character, or any byte above. Eight bytes are looked at at once: of
// those that end it the top bit is set (Bit Twiddling Hacks, "Determine if a word has a byte
// less than n"; exact up to the first one).
static inline const char *gn_plain_end(const char *p, const char *end) {
  const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
  for (; end - p >= 8; p += 8) {
    uint64_t x = gn_load64(p), quote = x ^ ones * '"', slash = x ^ ones * '\\';
    uint64_t stop = (x | ((x - ones * ' ') & ~x) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & tops;
    if (stop) return p + __builtin_ctzll(stop) / 8;
  }
  while (p < end && *p >= ' ' && *p != '"' && *p != '\\') p++; // a char has a sign here
  return p;
}

// gn_write_quoted writes a JSON string as RFC 8785, section 3.2.2.2, says.
GN_LARGE char *gn_write_quoted(char *to, gn_text t) {
  const char *hex = "0123456789abcdef", *two = "btn\0fr"; // of control characters from 8 on
  const char *p = t.at, *end = p + t.size;
  *to++ = '"';
  for (;;) {
    uint32_t run = (uint32_t)(gn_plain_end(p, end) - p);
    __builtin_memcpy(to, p, run), to += run, p += run;
    if (p == end) break;
    unsigned char c = (unsigned char)*p;
    if (c >= 0x80) {
      uint32_t n = gn_utf8_size((const unsigned char *)p, (const unsigned char *)end);
      if (n == 0) to = gn_write_rune(to, 0xfffd), p++;
      while (n-- > 0) *to++ = *p++;
      continue;
    }
    p++, *to++ = '\\';
    if (c >= ' ') *to++ = (char)c;
    else if (c >= 8 && c <= 13 && two[c - 8]) *to++ = two[c - 8];
    else *to++ = 'u', *to++ = '0', *to++ = '0', *to++ = hex[c >> 4], *to++ = hex[c & 15];
  }
  *to++ = '"';
  return to;
}

// ---- Reading ------------------------------------------------------------------------

typedef struct {
  const char *at, *end;
  bool bad; // what was read is not JSON
} gn_reader;

// gn_peek skips blanks and returns what follows; 0 at the end, and after an error.
static inline char gn_peek(gn_reader *r) {
  while (!r->bad && r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
  return !r->bad && r->at < r->end ? *r->at : 0;
}

static inline bool gn_accept(gn_reader *r, char c) { return gn_peek(r) == c ? r->at++, true : false; }

static inline void gn_expect(gn_reader *r, char c) {
  if (!gn_accept(r, c)) r->bad = true;
}

static inline int32_t gn_hex4(const char *p, const char *end) {
  int32_t n = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int c = p[i] >= 'a' ? p[i] - 'a' + 10 : p[i] >= 'A' ? p[i] - 'A' + 10 : p[i] - '0';
    if (p[i] < '0' || (p[i] > '9' && p[i] < 'A') || c > 15) return -1;
    n = n << 4 | c;
  }
  return n;
}

// gn_read_escape writes what an escape says, of which the backslash is taken. Halves of
// surrogate pairs become U+FFFD.
GN_LARGE char *gn_read_escape(gn_reader *r, char *to) {
  const char *names = "\"\\/bfnrt", *means = "\"\\/\b\f\n\r\t";
  char c = r->at < r->end ? *r->at++ : 0;
  for (int i = 0; c != 'u' && i < 8; i++)
    if (names[i] == c) return *to++ = means[i], to;
  int32_t rune = c == 'u' ? gn_hex4(r->at, r->end) : -1;
  if (rune < 0) return r->bad = true, to;
  r->at += 4;
  if (rune < 0xd800 || rune > 0xdfff) return gn_write_rune(to, (uint32_t)rune);
  int32_t low = rune < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u' ? gn_hex4(r->at + 2, r->end) : -1;
  if (low < 0xdc00 || low > 0xdfff) return gn_write_rune(to, 0xfffd);
  r->at += 6;
  return gn_write_rune(to, 0x10000 + (((uint32_t)rune - 0xd800) << 10) + ((uint32_t)low - 0xdc00));
}

// gn_string_size is how far it is to the quote that ends a string, or to the end.
static inline uint32_t gn_string_size(const char *from, const char *end) {
  const char *p = from;
  while (p < end && *p != '"') p += *p == '\\' ? 2 : 1;
  return (uint32_t)((p < end ? p : end) - from);
}

// gn_read_string takes a string. What it says stands in the JSON itself unless it has
// escapes or bytes that are not UTF-8.
GN_LARGE gn_text gn_read_string(gn_reader *r) {
  gn_expect(r, '"');
  const char *from = r->at;
  r->at = gn_plain_end(from, r->end);
  if (!r->bad && r->at < r->end && *r->at == '"') return gn_bytes(from, (uint32_t)(r->at++ - from));
  char *text = (char *)gn_take(3 * gn_string_size(from, r->end)), *to = text;
  for (r->at = from; !r->bad && r->at < r->end && *r->at != '"';) {
    unsigned char c = (unsigned char)*r->at;
    uint32_t n = gn_utf8_size((const unsigned char *)r->at, (const unsigned char *)r->end);
    if (c == '\\') r->at++, to = gn_read_escape(r, to);
    else if (c < ' ') r->bad = true;
    else if (n == 0) to = gn_write_rune(to, 0xfffd), r->at++;
    else while (n-- > 0) *to++ = *r->at++;
  }
  gn_expect(r, '"');
  return gn_bytes(text, (uint32_t)(to - text));
}

static inline uint32_t gn_digits(gn_reader *r) {
  const char *from = r->at;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
  return (uint32_t)(r->at - from);
}

GN_LARGE void gn_read_number(gn_reader *r, gn_value *v) {
  bool negative = r->at < r->end && *r->at == '-';
  r->at += negative;
  const char *from = r->at;
  uint32_t digits = gn_digits(r);
  r->bad |= digits == 0 || (digits > 1 && *from == '0');
  v->kind = GN_NUMBER, v->whole = digits <= 18;
  for (uint32_t i = 0; v->whole && i < digits; i++) v->integer = 10 * v->integer + (from[i] - '0');
  if (negative) v->integer = -v->integer;
  if (r->at < r->end && *r->at == '.') v->whole = false, r->at++, r->bad |= gn_digits(r) == 0;
  if (r->at < r->end && (*r->at | 32) == 'e') {
    v->whole = false, r->at++;
    if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
    r->bad |= gn_digits(r) == 0;
  }
}

static inline void gn_read_word(gn_reader *r, const char *word) {
  for (; *word; word++)
    if (r->at < r->end && *r->at == *word) r->at++;
    else r->bad = true;
}

static inline void gn_read_simple(gn_reader *r, gn_value *v) {
  char c = gn_peek(r);
  if (c == '"') v->kind = GN_STRING, v->text = gn_read_string(r);
  else if (c == 't') v->kind = GN_BOOL, gn_read_word(r, "true");
  else if (c == 'f') v->kind = GN_BOOL, gn_read_word(r, "false");
  else if (c == 'n') v->kind = GN_NULL, gn_read_word(r, "null");
  else gn_read_number(r, v);
}

enum { GN_DEPTH = 10000 }; // arrays and objects in one another, as the host reads them

// gn_read_nested takes an array or object that is in so many others. It does not call itself:
// the stack is small. Of each that is open it notes whether it is an object.
GN_LARGE void gn_read_nested(gn_reader *r, uint32_t outside) {
  static uint32_t objects[GN_DEPTH / 32 + 1];
  uint32_t depth = outside;
  do {
    char c = gn_peek(r);
    if (c == '{' || c == '[') {
      r->at++, depth++;
      if (depth > GN_DEPTH) {
        r->bad = true;
        return;
      }
      uint32_t bit = 1u << depth % 32;
      objects[depth / 32] = c == '{' ? objects[depth / 32] | bit : objects[depth / 32] & ~bit;
    } else {
      gn_value v;
      __builtin_memset(&v, 0, sizeof v);
      gn_read_simple(r, &v);
    }
    bool begun = c == '{' || c == '[';
    for (; depth > outside; depth--, begun = false) {
      bool object = objects[depth / 32] >> depth % 32 & 1;
      if (gn_accept(r, object ? '}' : ']')) continue;
      if (!begun) gn_expect(r, ',');
      if (object) gn_read_string(r), gn_expect(r, ':');
      break;
    }
  } while (depth > outside && !r->bad);
}

// gn_read_value takes any value, which is in so many arrays and objects.
GN_LARGE gn_value gn_read_value(gn_reader *r, uint32_t outside) {
  gn_value v;
  __builtin_memset(&v, 0, sizeof v);
  char c = gn_peek(r);
  const char *from = r->at;
  if (c == '{' || c == '[') v.kind = c == '{' ? GN_OBJECT : GN_ARRAY, gn_read_nested(r, outside);
  else gn_read_simple(r, &v);
  v.raw = gn_bytes(from, (uint32_t)(r->at - from));
  return v;
}

// gn_int is what a text says that is a whole number of at most 18 digits; otherwise when it is
// none.
GN_LARGE int64_t gn_int(gn_text t, int64_t otherwise) {
  gn_reader r = {t.at, t.at + t.size, false};
  gn_value v = gn_read_value(&r, 0);
  return !r.bad && r.at == r.end && v.whole ? v.integer : otherwise;
}

// The members of an object, one by one:
//
//   gn_members m = gn_members_of(json);
//   while (gn_next_member(&m)) … m.name, m.value …
//   if (m.reader.bad) … it was no JSON object …
typedef struct {
  gn_reader reader;
  bool begun;
  gn_text name;
  gn_value value;
} gn_members;

static inline gn_members gn_members_of(gn_text json) {
  gn_members m;
  __builtin_memset(&m, 0, sizeof m);
  m.reader.at = json.at, m.reader.end = json.at + json.size;
  return m;
}

GN_LARGE bool gn_next_member(gn_members *m) {
  gn_reader *r = &m->reader;
  bool first = !m->begun;
  if (first) m->begun = true, gn_expect(r, '{');
  if ((first && gn_peek(r) == '}') || (!first && !gn_accept(r, ','))) {
    gn_expect(r, '}');
    gn_peek(r);
    r->bad |= r->at < r->end;
    return false;
  }
  m->name = gn_read_string(r);
  gn_expect(r, ':');
  m->value = gn_read_value(r, 1);
  return !r->bad;
}

// gn_read_members sets values to the members with those names, the last of each, and says
// whether the text is one JSON object.
GN_LARGE bool gn_read_members(gn_text json, gn_value *values, const char *const *names, uint32_t count) {
  __builtin_memset(values, 0, count * sizeof *values);
  gn_members m = gn_members_of(json);
  while (gn_next_member(&m))
    for (uint32_t i = 0; i < count; i++)
      if (gn_is(m.name, names[i])) values[i] = m.value;
  return !m.reader.bad;
}

// gn_object is gn_read_members with the names as arguments:
//
//   gn_value v[2];
//   if (!gn_object(json, v, "owner", "balance")) …
#ifndef __cplusplus
#define gn_object(json, values, ...) \
  gn_read_members(json, values, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#endif

// ---- Settings -----------------------------------------------------------------------

typedef struct {
  const char *name;
  int64_t *integer; // where it goes, when it is a whole number of at least
  int64_t least;    // that, and at most
  int64_t most;     // that; 0: 18 digits
  gn_text *text;    // where it goes, when it is a text
  bool *flag;       // where it goes, when it is true or false
} gn_setting;

GN_LARGE int gn_set(const gn_setting *s, const gn_value *v) {
  bool fits = false;
  if (s->integer && v->whole && v->integer >= s->least && (s->most == 0 || v->integer <= s->most)) *s->integer = v->integer, fits = true;
  if (s->text && v->kind == GN_STRING) *s->text = gn_keep(v->text), fits = true;
  if (s->flag && v->kind == GN_BOOL) *s->flag = v->raw.at[0] == 't', fits = true;
  if (fits) return 0;
  gn_part why[] = {gn_part_string("settings: "), gn_part_string(s->name), gn_part_string(" is "), gn_part_text(v->raw), gn_part_string(": expected is "),
                   gn_part_string(s->text ? "a text" : s->flag ? "true or false" : "a whole number of at least "), gn_part_signed(s->least)};
  return gn_fail_parts(why, s->integer ? 7 : 6);
}

// gn_settings reads the projection's settings. What they do not say stays as it is: the
// defaults. One that is not in the list, or is of another type, is an error, so that a
// misspelt name is noticed before the first event. For on_init.
GN_LARGE int gn_read_settings(const gn_setting *list, uint32_t count) {
  gn_members m = gn_members_of(gn_read_all(&gn_batch, "config_read", gn_host_config_read));
  while (gn_next_member(&m)) {
    uint32_t i = 0;
    while (i < count && !gn_is(m.name, list[i].name)) i++;
    gn_part why[] = {gn_part_string("settings: there is none with the name "), gn_quoted(m.name)};
    if (i < count ? gn_set(&list[i], &m.value) : gn_fail_parts(why, 2)) return 1;
  }
  return m.reader.bad ? gn_fail_text(gn_text_of("settings: they are no JSON object")) : 0;
}
#define gn_settings(list) gn_read_settings(list, sizeof(list) / sizeof((list)[0]))

#ifdef __cplusplus
} // extern "C"
#endif
#endif
