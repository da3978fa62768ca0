package conformance

// GuestRule is a rule of docs/ABI.md that binds guests.
type GuestRule struct {
	ID   string
	Says string // in short
}

// GuestRules are all of them, in the order of the page.
var GuestRules = []GuestRule{
	{"X8", "the outcome is the same for any batch boundaries"},
	{"X9", "the outcome is the same when the instance is dropped between any two calls"},
	{"X10", "a negative code that it does nothing about fails the event"},
	{"X11", "what it cannot use it refuses with words (fail), not with a trap alone"},
	{"R6", "pointers and lengths are within its memory"},
	{"R7", "a length above its buffer's is not taken for an answer"},
	{"S8", "the state is used in apply, migrate and query only"},
	{"C7", "a scan goes on until a page is empty"},
	{"E9", "emits are well formed, for events of the batch, in their order"},
	{"B10", "padding and flags are not looked at"},
	{"B11", "events of every shape are read"},
	{"B12", "events larger than its buffer are read"},
	{"P7", "a restored instance goes on as the one that was saved"},
	{"P8", "snapshot changes nothing"},
	{"U11", "what becomes of an event depends on that event only"},
	{"U12", "records that an upcaster writes are well formed"},
	{"Q8", "an answer depends on request and state only"},
	{"W6", "clocks and random bytes are not in the outcome"},
	{"N1", "bits of NaNs are not in the outcome"},
}
