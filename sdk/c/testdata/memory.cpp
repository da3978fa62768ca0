// Keeps the subjects and how often they came in a std::map, and its text in a std::string.
#include <map>
#include <string>
#include <vector>

#include "gnomon.hpp"

static std::map<std::string, int64_t> seen;
static std::string greeting = "hello"; // a static object with a constructor
static bool loud = false;

static int on_init() { return gnomon::settings({{"loud", loud}}); }

static int on_event(gnomon::Event e) {
  if (e.token(1) == "exhaust") {
    static std::vector<char *> all;
    for (;;) all.push_back(new char[1 << 20]);
  }
  if (e.token(1) == "throw") std::string("short").at(9);
  int64_t count = ++seen[std::string(e.subject())];
  gnomon::put(e.subject(), gnomon::join(loud ? "HELLO" : greeting, " ", count, " of ", seen.size(), " ", int8_t(-5), " ", true));
  if (e.subject() == "erase") gnomon::erase("a");
  return 0;
}

static int on_snapshot() {
  for (auto &[subject, count] : seen) gn_write(gnomon::text(subject)), gn_write(gn_bytes(&count, sizeof count));
  return 0;
}

static int on_restore() {
  gn_text subject, count;
  while (gn_read(&subject) && gn_read(&count)) __builtin_memcpy(&seen[std::string(gnomon::view(subject))], count.at, sizeof(int64_t));
  return 0;
}

GNOMON_CPP_INIT(on_init)
GNOMON_CPP_PROJECTION(on_event)
GNOMON_CPP_MEMORY(on_snapshot, on_restore)
