package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// silence is how long an engine may send nothing to a watch before it is taken for gone: it
// sends something every 15 s.
const silence = time.Minute

// ErrWatchBroken says that a watch broke off, and can be resumed.
var ErrWatchBroken = errors.New("the watch broke off")

// stream is an answer that goes on until one of both ends it. Close it.
type stream struct {
	*bufio.Reader
	ctx    context.Context // ended by the caller, by silence, and by Close
	silent *time.Timer
	body   io.Closer
	cancel context.CancelCauseFunc
}

// stream asks for an answer of a kind that goes on.
func (c *Client) stream(ctx context.Context, path, kind string) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	silent := time.AfterFunc(silence, func() { cancel(fmt.Errorf("%w: nothing came for %s", ErrWatchBroken, silence)) })
	s := &stream{ctx: ctx, silent: silent, cancel: cancel}
	req, err := c.request(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		s.Close()
		return nil, err
	}
	req.Header.Set("Accept", kind)
	res, err := c.send(req)
	if err != nil {
		s.Close()
		return nil, err
	}
	s.Reader, s.body = bufio.NewReaderSize(res.Body, 64<<10), res.Body
	return s, nil
}

// heard says what became of a read: nil when something came, and otherwise why nothing more
// does.
func (s *stream) heard(err error) error {
	switch {
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	case errors.Is(err, io.EOF):
		return ErrWatchBroken
	case err != nil:
		return fmt.Errorf("%w: %w", ErrWatchBroken, err)
	}
	s.silent.Reset(silence)
	return nil
}

// Close ends the stream.
func (s *stream) Close() {
	s.silent.Stop()
	if s.body != nil {
		_ = s.body.Close() // nothing more is asked of it
	}
	s.cancel(nil)
}
