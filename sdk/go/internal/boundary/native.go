package boundary

import "gnomon/sdk/abi"

// Host is what a module imports, for a program that is none.
type Host = abi.Host

// Exports is what a module exports. An export that is nil is not there.
type Exports struct {
	Init, Apply, Snapshot, Restore, Upcast, Query func() int32

	Migrate func(from int32) int32
}

var (
	// Guest is the projection that is linked into this program. Packages of the
	// SDK set it when they are initialised, but not in a module.
	Guest Exports
	// Current is the host under which Guest runs, set by the one who calls Guest.
	Current Host
)
