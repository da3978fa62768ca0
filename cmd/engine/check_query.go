package main

import (
	"context"
	"errors"
	"fmt"

	"gnomon/engine"
	"gnomon/sdk/abi"
)

// ask has a fresh instance answer the request over the state that events left, and from the
// memory that the one that applied them has.
func (k *checker) ask(ctx context.Context, a *applier, fresh func() (engine.Instance, error), d *description) error {
	has := d.module.Traits()
	switch {
	case !has.Queries:
		return withHint(errors.New("answers no requests: it does not export query"), "leave --query out")
	case len(k.query) > abi.MaxRequest:
		return fmt.Errorf("--query: the request has %d bytes, the limit is %d", len(k.query), abi.MaxRequest)
	}
	in, err := fresh()
	if err != nil {
		return err
	}
	defer in.Close(ctx)
	if has.Memory {
		memory, err := a.instance.Snapshot(ctx)
		if err != nil {
			return err
		}
		if err := in.Restore(ctx, memory); err != nil {
			return err
		}
	}
	answer, err := in.Query(ctx, k.query, a.state)
	if err != nil {
		return err
	}
	d.answer = append([]byte{}, answer...)
	d.use = append(d.use, checkRow{"query", fmt.Sprintf("an answer of %s bytes, which took %s of %s (limits.fuel)", comma(len(answer)), comma(in.Fuel()), comma(k.limits.Fuel))})
	return nil
}
