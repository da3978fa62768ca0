package main

import (
	"bytes"
	"context"
	"errors"
	"io"

	"gnomon/engine/importer"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// httpSink sends events to a running engine as the lines of one request, which
// ends with Flush. It implements importer.Sink.
type httpSink struct {
	client *client.Client
	stream string
	lines  *io.PipeWriter // of the request under way; nil: none is
	done   chan error     // its result
	counts importer.Counts
	sent   int // lines of the request under way
}

// Append implements importer.Sink.
func (s *httpSink) Append(ctx context.Context, e importer.Event) error {
	if s.lines == nil {
		s.begin(ctx)
	}
	// Lines that were left out go as empty ones, so that the engine counts lines as
	// the file does.
	text := append(bytes.Repeat([]byte("\n"), max(0, e.Line-1-s.sent)), line(e)...)
	s.sent = max(e.Line, s.sent+1)
	if _, err := s.lines.Write(text); err != nil {
		return s.end()
	}
	return nil
}

func (s *httpSink) begin(ctx context.Context) {
	r, w := io.Pipe()
	s.lines, s.done = w, make(chan error, 1)
	go func() {
		done, err := s.client.Import(ctx, s.stream, r)
		r.CloseWithError(errors.Join(io.ErrClosedPipe, err))
		s.counts.Imported += done.Imported
		s.counts.Duplicates += done.Duplicates
		s.counts.Last = max(s.counts.Last, done.Last)
		s.done <- err
	}()
}

// end closes the request and returns its result.
func (s *httpSink) end() error {
	s.sent = 0
	if s.lines == nil {
		return nil
	}
	err := s.lines.Close()
	s.lines = nil
	return errors.Join(err, s.refused(<-s.done))
}

// refused makes a refusal what it would be without an engine in between: an error of
// a line, after some that were imported.
func (s *httpSink) refused(err error) error {
	var p *wire.Problem
	if !errors.As(err, &p) {
		return err
	}
	if p.Done != nil {
		s.counts.Imported += p.Done.Imported
		s.counts.Duplicates += p.Done.Duplicates
		s.counts.Last = max(s.counts.Last, p.Done.Last)
	}
	if p.Line == 0 {
		return err
	}
	return &importer.LineError{Line: p.Line, Err: errors.New(p.Detail)}
}

// Flush implements importer.Sink.
func (s *httpSink) Flush(context.Context) error { return s.end() }

// Counts implements importer.Sink.
func (s *httpSink) Counts() importer.Counts { return s.counts }

// line writes an event as importer.Parse reads it. Data goes as base64, so that not
// even its white space changes.
func line(e importer.Event) []byte {
	if e.Recorded != nil {
		if b, err := e.JSONLine(); err == nil {
			return append(b, '\n')
		}
	}
	m := map[string]any{"subject": e.Subject, "id": e.ID, "type": e.Type, "time": e.Time, "source": e.Source}
	if e.Data != nil {
		m["data_base64"] = e.Data
	}
	b, err := wire.Marshal(m)
	if err != nil {
		panic(err) // strings and bytes
	}
	return append(b, '\n')
}
