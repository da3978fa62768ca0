// Keeps the subjects and how often they came in its own memory.
#include "gnomon.h"

enum { MOST = 100 };

static struct {
  gn_text subject;
  int64_t count;
} seen[MOST];
static int64_t all;

static int on_event(const gn_event *e) {
  int i = 0;
  while (i < all && !gn_equal(seen[i].subject, e->subject)) i++;
  if (i == MOST) return gn_fail("there are more than ", MOST, " subjects");
  if (i == all) seen[all++].subject = gn_keep(e->subject);
  seen[i].count++;
  gn_put(e->subject, gn_join(seen[i].count, " of ", i + 1));
  return 0;
}

static int on_snapshot(void) {
  for (int i = 0; i < all; i++) gn_write(seen[i].subject), gn_write(gn_bytes(&seen[i].count, 8));
  return 0;
}

static int on_restore(void) {
  gn_text subject, count;
  while (gn_read(&subject) && gn_read(&count)) {
    seen[all].subject = gn_keep(subject);
    __builtin_memcpy(&seen[all++].count, count.at, 8);
  }
  return 0;
}

GNOMON_PROJECTION(on_event)
GNOMON_MEMORY(on_snapshot, on_restore)
