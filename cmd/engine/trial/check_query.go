package trial

import (
	"context"
	"errors"
	"fmt"

	"gnomon/cmd/engine/cli"
	"gnomon/sdk/abi"
)

// ask has a fresh instance answer the request over the state that events left, and from the
// memory that the one that applied them has.
func (k *checker) ask(ctx context.Context, a *applier, d *description) error {
	has := d.module.Traits()
	switch {
	case !has.Queries:
		return cli.WithHint(errors.New("answers no requests: it does not export query"), "leave --query out")
	case len(k.query) > abi.MaxRequest:
		return fmt.Errorf("--query: the request has %d bytes, the limit is %d", len(k.query), abi.MaxRequest)
	}
	answer, cost, err := a.Answer(ctx, k.query)
	if err != nil {
		return err
	}
	d.answer = append([]byte{}, answer...)
	d.use = append(d.use, checkRow{"query", fmt.Sprintf("an answer of %s bytes, which took %s of %s (limits.fuel)", cli.Comma(len(answer)), cli.Comma(cost.Fuel), cli.Comma(k.limits.Fuel))})
	return nil
}
