// Makes of "split" two events, of "drop" none, and keeps others; "wrong" fails.
#include "gnomon.h"

static int on_event(const gn_event *e) {
  if (gn_is(e->subject, "drop")) return 0;
  if (gn_is(e->subject, "wrong")) return gn_fail("this one is wrong");
  if (!gn_is(e->subject, "split")) return gn_pass(e), 0;
  gn_text first;
  if (!gn_field_text(e, "first", &first)) return gn_fail("first must be a text");
  gn_output(e, gn_join("first.", first), gn_join("{\"is\":", gn_quoted(first), "}"), gn_headers("ce-type", "first"));
  gn_output(e, gn_text_of("rest"), gn_bytes(NULL, 0), gn_bytes(NULL, 0));
  return 0;
}

GNOMON_UPCASTER(on_event)
