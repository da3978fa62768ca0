package engine

// NewHub makes the Source that an Engine puts before its own.
func NewHub(s Source, limit ReadLimit) Source { return newHub(s, limit) }

// FeedBytes is how far the members of a feed may be apart.
const FeedBytes = feedBytes
