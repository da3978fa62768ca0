package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/archive/objects"
	"gnomon/engine/broker"
	"gnomon/engine/config"
)

// archiveSink is where an archive goes: a file, or an object.
type archiveSink interface {
	// put makes it of what write writes: all of it, or nothing.
	put(ctx context.Context, write func(io.Writer) error) error
	name() string
	close() error
}

// openArchiveSink opens a file, or the object of a bucket, that does not exist yet.
func openArchiveSink(ctx context.Context, bucket, configPath, name string, stderr io.Writer) (archiveSink, error) {
	if bucket == "" {
		return newArchiveFile(name)
	}
	b, err := openArchiveBucket(ctx, bucket, configPath, true, stderr)
	if err != nil {
		return nil, err
	}
	there, err := b.objects.Get(b.ctx, name)
	switch {
	case err == nil:
		err = cli.WithHint(fmt.Errorf("object %s exists already in %s", name, bucket), "name another one with -o")
		return nil, errors.Join(err, there.Close(), b.close())
	case !errors.Is(err, objects.ErrAbsent):
		return nil, errors.Join(b.broker.Explain(err), b.close())
	}
	return &archiveObject{b, name}, nil
}

// archiveFile is a file that is there when all of it is.
type archiveFile struct{ path string }

func newArchiveFile(path string) (*archiveFile, error) {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return nil, cli.WithHint(fmt.Errorf("%s exists already", path), "name another file with -o")
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return &archiveFile{path}, nil
}

func (f *archiveFile) name() string { return f.path }
func (f *archiveFile) close() error { return nil }

func (f *archiveFile) put(_ context.Context, write func(io.Writer) error) (err error) {
	tmp := f.path + ".tmp" // one that is left by a crash is written anew
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp) // there is one error to tell
		}
	}()
	if err = write(out); err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if _, err := newArchiveFile(f.path); err != nil { // by now
		return err
	}
	if err := os.Rename(tmp, f.path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// archiveObject is an object of a bucket.
type archiveObject struct {
	*archiveBucket
	object string
}

func (o *archiveObject) name() string { return o.bucket + "/" + o.object }

func (o *archiveObject) put(_ context.Context, write func(io.Writer) error) error {
	_, err := o.objects.Put(o.ctx, o.object, write)
	return o.broker.Explain(err)
}

// archiveBucket is an object store of the NATS server that a configuration names.
type archiveBucket struct {
	bucket  string
	objects *objects.Bucket
	broker  *broker.Broker
	ctx     context.Context // of the command, which the server's refusal ends
	done    context.CancelFunc
}

func openArchiveBucket(ctx context.Context, bucket, configPath string, create bool, stderr io.Writer) (*archiveBucket, error) {
	cfg, err := config.Load(configPath)
	if err != nil {
		return nil, err
	}
	if cli.Embedded(cfg) {
		return nil, cli.WithHint(errors.New("the NATS server of the configuration is the one inside the engine, which is not on the network"),
			"--bucket needs an external server (nats.url); use a file instead")
	}
	b, err := openBroker(ctx, cfg, cli.QuietLog(stderr))
	if err != nil {
		return nil, err
	}
	ctx, done := b.Permitted(ctx)
	store, err := objects.Open(ctx, b.JetStream(), bucket, create)
	if err != nil {
		err = b.Explain(err)
		done()
		b.Close()
		return nil, err
	}
	return &archiveBucket{bucket, store, b, ctx, done}, nil
}

func (b *archiveBucket) close() error {
	b.done()
	b.broker.Close()
	return nil
}

// openArchive opens a file, or an object of a bucket, to read it from front to back.
func openArchive(ctx context.Context, bucket, configPath, name string, stderr io.Writer) (io.Reader, func() error, error) {
	if bucket == "" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, nil
	}
	b, err := openArchiveBucket(ctx, bucket, configPath, false, stderr)
	if err != nil {
		return nil, nil, err
	}
	r, err := b.objects.Get(b.ctx, name)
	if err != nil {
		return nil, nil, errors.Join(b.broker.Explain(err), b.close())
	}
	return r, func() error { return errors.Join(r.Close(), b.close()) }, nil
}
