package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line: the largest message that a server can be configured to
// take, as base64, and its attributes.
const maxLine = 96 << 20 // bytes

// Sink is where events go, in order.
type Sink interface {
	// Append stores an event, or leaves it out when it is there already. It may
	// return before the event is stored. A sink that finds out about a bad event
	// later returns a *LineError without a file, then or from Flush.
	Append(ctx context.Context, e Event) error
	// Flush waits until everything appended is stored.
	Flush(ctx context.Context) error
	// Counts tells what became of the events that are settled.
	Counts() Counts
}

// Counts of an import.
type Counts struct {
	Imported   int    `json:"imported"`
	Duplicates int    `json:"duplicates"` // were there already
	Last       uint64 `json:"last_seq"`   // sequence of the last one stored; 0 when none was
}

// LineError is a line that is no event.
type LineError struct {
	File string
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// Options of an import.
type Options struct {
	// Bad is called for a line that is no event. The import goes on when it returns
	// nil; a nil Bad ends it.
	Bad func(*LineError) error
	// Progress is called after each line with the number of bytes of the file that
	// were read, as they are on disk.
	Progress func(bytes int64)
}

// Import appends the events of one file, plain or compressed with gzip, which its
// first bytes tell. Everything before an error is stored.
func Import(ctx context.Context, file string, r io.Reader, sink Sink, o Options) error {
	counted := &countingReader{r: r}
	lines, err := openLines(counted)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	err = appendLines(ctx, file, lines, sink, o, counted)
	return inFile(file, errors.Join(err, sink.Flush(ctx)))
}

// inFile names the file in an error of a line that the sink found out about.
func inFile(file string, err error) error {
	var line *LineError
	if errors.As(err, &line) && line.File == "" {
		return &LineError{File: file, Line: line.Line, Err: line.Err}
	}
	return err
}

func appendLines(ctx context.Context, file string, lines io.Reader, sink Sink, o Options, counted *countingReader) error {
	s := bufio.NewScanner(lines)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 0
	for s.Scan() {
		n++
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: interrupted at line %d: %w", file, n, err)
		}
		if err := appendLine(ctx, n, s.Bytes(), sink); err != nil {
			if err = asBad(file, n, err, o); err != nil {
				return err
			}
		}
		if o.Progress != nil {
			o.Progress(counted.n)
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return &LineError{File: file, Line: n + 1, Err: fmt.Errorf("line of more than %d bytes", maxLine)}
	case err != nil:
		return fmt.Errorf("read %s after line %d: %w", file, n, err)
	}
	return nil
}

// badEvent marks an error as one of the event, not of the sink.
type badEvent struct{ error }

func (b badEvent) Unwrap() error { return b.error }

func appendLine(ctx context.Context, n int, text []byte, sink Sink) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	e, err := Parse(text)
	if err != nil {
		return badEvent{err}
	}
	e.Line = n
	return sink.Append(ctx, e)
}

// asBad hands a bad line to Options.Bad; other errors end the import.
func asBad(file string, n int, err error, o Options) error {
	var bad badEvent
	var later *LineError
	switch {
	case errors.As(err, &later):
		return later
	case !errors.As(err, &bad):
		return fmt.Errorf("%s:%d: %w", file, n, err)
	}
	line := &LineError{File: file, Line: n, Err: bad.error}
	if o.Bad == nil {
		return line
	}
	return o.Bad(line)
}

// openLines undoes gzip when the first bytes say so.
func openLines(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := b.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		return gzip.NewReader(b)
	}
	return b, nil
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
