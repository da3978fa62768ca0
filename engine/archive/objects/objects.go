// Package objects keeps files, such as archives, in a bucket of a JetStream object store,
// where every node finds them by name. They are streamed, in and out.
package objects

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrAbsent says that there is no object of that name. It is wrapped with both names.
var ErrAbsent = errors.New("no such object")

// chunkSize is that of the messages which make an object.
const chunkSize = 128 << 10 // bytes

// Bucket is a bucket of an object store.
type Bucket struct {
	name  string
	store jetstream.ObjectStore
}

// Info is what a bucket knows of an object.
type Info struct {
	Name     string    `json:"name"`
	Size     uint64    `json:"size"` // bytes
	Modified time.Time `json:"modified"`
}

// Open opens a bucket, and creates it when it is absent and create is set; it fails with
// ErrAbsent otherwise.
func Open(ctx context.Context, js jetstream.JetStream, bucket string, create bool) (*Bucket, error) {
	store, err := js.ObjectStore(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		if !create {
			return nil, fmt.Errorf("%w: bucket %s", ErrAbsent, bucket)
		}
		store, err = js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, Description: "state of projections, see engine snapshot export"})
	}
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", bucket, err)
	}
	return &Bucket{bucket, store}, nil
}

// Put makes an object of what write writes. It is there when all of it is; when write
// fails, with its error, what had the name before stays.
func (b *Bucket) Put(ctx context.Context, name string, write func(w io.Writer) error) (Info, error) {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		buf := bufio.NewWriterSize(w, chunkSize) // every read becomes a message
		err := write(buf)
		if err == nil {
			err = buf.Flush()
		}
		written <- err
		w.CloseWithError(err)
	}()
	info, err := b.store.Put(ctx, jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize}}, r)
	r.CloseWithError(cmp.Or(err, io.ErrClosedPipe)) // nobody reads on
	if failed := <-written; failed != nil && !errors.Is(failed, err) {
		err = errors.Join(failed, err)
	}
	if err != nil {
		return Info{}, fmt.Errorf("put %s into object store %s: %w", name, b.name, err)
	}
	return infoOf(info), nil
}

// Get reads an object, as slowly as its reader likes. Its end is io.EOF only when all of it
// is as it was put. It fails with ErrAbsent.
func (b *Bucket) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if _, err := b.store.GetInfo(ctx, name); err != nil { // within the client's own limit of time
		return nil, b.explain(name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := b.store.Get(patient{ctx}, name)
	if err != nil {
		cancel()
		return nil, b.explain(name, err)
	}
	return &reader{object: r, cancel: cancel, name: name}, nil
}

// patient is a context whose deadline is always a little ahead. To one without a deadline
// the client gives one of a few seconds, for all of an object.
type patient struct{ context.Context }

const (
	pause    = time.Second // after which a read that waits looks whether it is still wanted
	patience = time.Minute // without a byte
)

// Deadline implements context.Context.
func (patient) Deadline() (time.Time, bool) { return time.Now().Add(pause), true }

// reader reads an object.
type reader struct {
	object jetstream.ObjectResult
	cancel context.CancelFunc
	name   string
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	for began := time.Now(); time.Since(began) < patience; {
		// A deadline that passes is a read of nothing.
		if n, err := r.object.Read(b); n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
	}
	return 0, fmt.Errorf("object %s: nothing more of it came for %v", r.name, patience)
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.cancel()
	return r.object.Close()
}

// Remove removes an object. It fails with ErrAbsent.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	return b.explain(name, b.store.Delete(ctx, name))
}

// List lists the objects, by name.
func (b *Bucket) List(ctx context.Context) ([]Info, error) {
	all, err := b.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list object store %s: %w", b.name, err)
	}
	var list []Info
	for _, o := range all {
		list = append(list, infoOf(o))
	}
	slices.SortFunc(list, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func infoOf(o *jetstream.ObjectInfo) Info { return Info{o.Name, o.Size, o.ModTime} }

func (b *Bucket) explain(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return fmt.Errorf("%w: %s in object store %s", ErrAbsent, name, b.name)
	}
	return fmt.Errorf("object %s of object store %s: %w", name, b.name, err)
}
