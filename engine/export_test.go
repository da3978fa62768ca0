package engine

import (
	"context"
	"time"
)

// NewHub makes the Source that an Engine puts before its own.
func NewHub(s Source, limit ReadLimit) Source { return newHub(s, limit) }

// FeedBytes is how far the members of a feed may be apart.
const FeedBytes = feedBytes

// Precedence is precedence.
type Precedence struct{ precedence }

// Begin is begin.
func (p *Precedence) Begin(ctx context.Context, read bool, took time.Duration) (end func()) {
	return p.begin(ctx, read, took)
}
