package host

import (
	"context"
	"errors"
	"fmt"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Query implements guest.Instance.
func (in *instance) Query(ctx context.Context, request []byte, rows state.Rows) ([]byte, error) {
	switch {
	case in.query == nil:
		return nil, errors.New("module exports no query")
	case in.fuel == 0:
		return nil, fmt.Errorf("%w: nothing would stop one that does not end (%s is 0)", guest.ErrNoQuery, in.setting("fuel"))
	}
	err := in.run(in.query, call{Context: ctx, name: abi.ExportQuery, request: request, rows: rows}, true)
	answer := in.call.output
	in.call.request, in.call.rows, in.call.output = nil, nil, nil // the instance may be kept, they are not
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// takeAnswer appends to the answer of a query.
func (c *call) takeAnswer(b []byte) {
	if n := len(c.output) + len(b); n > abi.MaxAnswer {
		c.endGuest(guest.OverLimit, "answer of %d bytes or more: the limit is %d (%s)", n, abi.MaxAnswer, fixed)
	}
	c.output = append(c.output, b...)
}
