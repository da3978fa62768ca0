// Answers what the fields a and b of a request are, as the SDK reads them: for each its kind,
// the JSON of it, its whole number, and its text, quoted again; or that it is no JSON object.
#include "gnomon.h"

static int on_event(const gn_event *e) { return (void)e, 0; }

static int on_query(gn_text request) {
  gn_value v[2];
  if (!gn_object(request, v, "a", "b")) return gn_answer("no object"), 0;
  for (int i = 0; i < 2; i++) {
    gn_answer(v[i].kind, " ", v[i].raw, " ");
    if (v[i].whole) gn_answer(v[i].integer);
    gn_answer(" ", gn_quoted(v[i].text), "\n");
  }
  return 0;
}

GNOMON_PROJECTION(on_event)
GNOMON_QUERY(on_query)
