package memory

import (
	"bufio"
	"errors"
	"io"

	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

// blobSize is the size of the blobs that a snapshot is written in, in bytes.
const blobSize = 512 << 10

var registered struct {
	save    func(w io.Writer) error
	restore func(r io.Reader) error
}

// OnSnapshot registers the two halves of a snapshot. Call it once, from an init
// function.
//
// save writes all that the program's variables hold of the events so far. The same
// state must always be the same bytes: sort what comes out of a map. restore
// replaces what the variables hold by what save wrote; it reads up to io.EOF.
// Neither has the keyspace.
func OnSnapshot(save func(w io.Writer) error, restore func(r io.Reader) error) {
	if registered.save != nil {
		panic("memory: OnSnapshot is called twice")
	}
	registered.save, registered.restore = save, restore
}

var errNotRegistered = errors.New("package memory is imported, but memory.OnSnapshot was not called from an init function")

func snapshot() int32 {
	event := boundary.NoEvent
	return boundary.Step(&event, func() error {
		if registered.save == nil {
			return errNotRegistered
		}
		w := bufio.NewWriterSize(blobWriter{}, blobSize)
		if err := registered.save(w); err != nil {
			return boundary.Wrap("save memory", err)
		}
		return w.Flush()
	})
}

func restore() int32 {
	event := boundary.NoEvent
	return boundary.Step(&event, func() error {
		if registered.restore == nil {
			return errNotRegistered
		}
		if err := registered.restore(&blobReader{}); err != nil {
			return boundary.Wrap("restore memory", err)
		}
		return nil
	})
}

// blobWriter writes blobs of at most blobSize bytes.
type blobWriter struct{}

func (blobWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		blob := p[:min(len(p), blobSize)]
		if code := boundary.BlobWrite(blob); code < 0 {
			return n, boundary.Wrap("write blob", boundary.CodeError(code))
		}
		n += len(blob)
		p = p[len(blob):]
	}
	return n, nil
}

// blobReader reads the blobs of a snapshot one after the other.
type blobReader struct {
	buf  []byte
	left []byte // of the blob in buf
	err  error
}

func (r *blobReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 && r.err == nil {
		r.fetch()
	}
	if len(r.left) == 0 {
		return 0, r.err
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *blobReader) fetch() {
	var n int32
	r.buf, n = boundary.Fill(r.buf, boundary.BlobRead)
	switch {
	case n == abi.NotFound:
		r.err = io.EOF
	case n < 0:
		r.err = boundary.Wrap("read blob", boundary.CodeError(n))
	default:
		r.left = r.buf[:n]
	}
}
