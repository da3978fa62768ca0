// Makes of each event one with its number doubled, without headers; "wrong" fails.
#include "gnomon.hpp"

static int on_event(gnomon::Event e, gnomon::Output out) {
  auto number = gnomon::integer(e.data());
  if (!number) return gnomon::fail("no number: ", gnomon::quoted(e.data()));
  out.put(e.subject(), gnomon::join(2 * *number));
  if (*number == 0) out.pass();
  return 0;
}

GNOMON_CPP_UPCASTER(on_event)
