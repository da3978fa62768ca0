package engine

import "context"

// Leaser decides which node runs a projection. One node alone needs none of it:
// see SoleNode.
type Leaser interface {
	// Acquire waits until this node may run the projection. The lease's token grows
	// with every holder, so that a late write of a former one can be told.
	Acquire(ctx context.Context, projection string) (Lease, error)
}

// Lease is the right to run a projection.
type Lease interface {
	Token() uint64
	// Lost is closed when the right has ended.
	Lost() <-chan struct{}
	// Release gives the right back.
	Release()
}

// SoleNode is the Leaser of a node that runs alone: it may run everything, for
// ever.
type SoleNode struct{}

// Acquire implements Leaser.
func (SoleNode) Acquire(context.Context, string) (Lease, error) { return soleLease{}, nil }

type soleLease struct{}

func (soleLease) Token() uint64         { return 1 }
func (soleLease) Lost() <-chan struct{} { return nil }
func (soleLease) Release()              {}
