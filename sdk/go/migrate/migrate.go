package migrate

import (
	"errors"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/internal/boundary"
)

// Handler rewrites a state of an older schema, which it is told, 0 when none was declared,
// into the form of this module: a state of the schema that the projection declares now. What
// it writes is seen by its reads, and committed as a whole when it returns nil: at most 8 MiB
// and 65,536 keys. After an error, or a panic, nothing was written, and the module that ran
// before goes on. There is no event, and nothing can be emitted. State of package memory has
// been restored before.
type Handler func(from int, st gnomon.State) error

// OnSchema registers the handler. Call it once, from an init function.
func OnSchema(h Handler) {
	if handle != nil {
		panic("migrate: OnSchema is called twice: a module has one handler of older schemas")
	}
	handle = h
}

// handle is what the program registered.
var handle Handler

var errNotRegistered = errors.New("package migrate is imported, but migrate.OnSchema was not called from an init function")

func migrate(from int32) int32 {
	event := boundary.NoEvent
	return boundary.Step(&event, func() error {
		if handle == nil {
			return errNotRegistered
		}
		return handle(int(from), gnomon.State{})
	})
}
