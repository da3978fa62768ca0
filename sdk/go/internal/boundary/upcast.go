package boundary

import "gnomon/sdk/abi"

// What package gnomon gives to package upcast, which is apart from it so that only the
// modules that import it are upcasters.
var (
	// Upcasts says that an upcaster is registered: the program need not be a projection.
	Upcasts bool
	// Record is the event being handled.
	Record *abi.Record
	// EachEvent runs a step of the guest: it hands the events that read gives to handle,
	// a func(gnomon.Event) error, one by one, and then calls finish.
	EachEvent func(read func(buf []byte) int32, handle any, finish func() error) (code int32)
)
