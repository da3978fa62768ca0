package main

import (
	"errors"
	"fmt"
	"strconv"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/state"
)

// past finds the commit as of which files are read. What lies between two commits takes the
// events and the module, which a running engine has.
func (f *files) past(ks state.Keyspace, newest state.Checkpoint) (state.Checkpoint, error) {
	const ask = "a running engine answers that: start it with engine run, and leave --data-dir out"
	if f.moment.replay {
		return newest, cli.WithHint(errors.New("--replay needs the events of the stream, which are not read from files"), ask)
	}
	sequence, err := strconv.ParseUint(f.moment.at, 10, 47)
	if err != nil {
		return newest, cli.WithHint(fmt.Errorf("--at %q: files are read as of a sequence; which one was the last at a time only the stream tells", f.moment.at), ask)
	}
	if last := newest.Position.Sequence; sequence > last {
		return newest, fmt.Errorf("the files reflect %d, %d is %w", last, sequence, engine.ErrNotReached)
	}
	ck, err := ks.Checkpoint(state.LastAt(sequence))
	switch {
	case errors.Is(err, state.ErrNoCheckpoint), err == nil && ck.Version < ks.Oldest():
		return ck, fmt.Errorf("as of %d: %w (projection.history)", sequence, engine.ErrNotKept)
	case err != nil:
		return ck, err
	case ck.Position.Sequence != sequence:
		return ck, cli.WithHint(fmt.Errorf("there was no commit at %d, and the one before it is of %d: what came between has to be applied again", sequence, ck.Position.Sequence), "%s; or read as of %d", ask, ck.Position.Sequence)
	}
	return ck, nil
}
