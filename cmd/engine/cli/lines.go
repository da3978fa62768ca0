package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// OpenLines opens a file of lines, or standard input by the name "-", and says how many it
// has; -1: that is not known before they are read. Who asked closes it.
func OpenLines(name string, stdin io.Reader) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	total, err := countLines(f)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, total, nil
}

// countLines reads a file once, for a progress that knows its end. What comes out of a
// pipe can be read only once: the number is then -1.
func countLines(f *os.File) (int64, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return 0, err
	case info.IsDir():
		return 0, fmt.Errorf("%s: is a directory", f.Name())
	case !info.Mode().IsRegular():
		return -1, nil
	}
	n, err := linesOf(f)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	_, err = f.Seek(0, io.SeekStart)
	return n, err
}

func linesOf(in io.Reader) (n int64, err error) {
	var r io.Reader = bufio.NewReader(in)
	if magic, _ := r.(*bufio.Reader).Peek(2); string(magic) == "\x1f\x8b" {
		if r, err = gzip.NewReader(r); err != nil {
			return 0, err
		}
	}
	buf := make([]byte, 64<<10)
	for {
		k, err := r.Read(buf)
		n += int64(bytes.Count(buf[:k], []byte("\n")))
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
