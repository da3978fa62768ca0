package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strconv"

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
	// Lines of the file that were read before the present one, and lines that were
	// sent: both, so that the engine counts them as the file does.
	read, sent int
}

// EndLine notes that a line of the file was dealt with, whether it held an event or
// none.
func (s *httpSink) EndLine() { s.read++ }

// Append implements importer.Sink.
func (s *httpSink) Append(ctx context.Context, e importer.Event) error {
	if s.lines == nil {
		s.begin(ctx)
	}
	// Lines that were left out go as empty ones.
	text := append(bytes.Repeat([]byte("\n"), max(0, s.read-s.sent)), line(e)...)
	s.sent = s.read + 1
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
	s.read, s.sent = 0, 0
	if s.lines == nil {
		return nil
	}
	err := s.lines.Close()
	s.lines = nil
	return errors.Join(err, s.refused(<-s.done))
}

// refusal is what an engine says of a line that it does not take.
var refusal = regexp.MustCompile(`^bad event: line:([0-9]+): (.*) \(([0-9]+) imported, ([0-9]+) there already\)$`)

// refused makes a refusal what it would be without an engine in between: an error of
// a line, after some that were imported.
func (s *httpSink) refused(err error) error {
	var p *wire.Problem
	if !errors.As(err, &p) {
		return err
	}
	m := refusal.FindStringSubmatch(p.Detail)
	if m == nil {
		return err
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(m[i]) // digits
		return n
	}
	s.counts.Imported += number(3)
	s.counts.Duplicates += number(4)
	return &refusedLine{importer.LineError{Line: number(1), Err: errors.New(m[2])}}
}

// refusedLine is a line that was refused elsewhere, maybe long after it was sent.
type refusedLine struct{ importer.LineError }

// inFile finds the refused line in an error of importing a file.
func inFile(file string, err error) error {
	var r *refusedLine
	if !errors.As(err, &r) {
		return err
	}
	return &importer.LineError{File: file, Line: r.Line, Err: r.Err}
}

// Flush implements importer.Sink.
func (s *httpSink) Flush(context.Context) error { return s.end() }

// Counts implements importer.Sink.
func (s *httpSink) Counts() importer.Counts { return s.counts }

// line writes an event as importer.Parse reads it. Data goes as base64, so that not
// even its white space changes.
func line(e importer.Event) []byte {
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
