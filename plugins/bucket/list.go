package bucket

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The names in an object store's stream, by ADR-20 of NATS.
func streamOf(bucket string) string { return "OBJ_" + bucket }
func metaOf(bucket string) string   { return "$O." + bucket + ".M." }

// listing is what a bucket held at one moment.
type listing struct {
	mark    mark
	objects map[string]*jetstream.ObjectInfo // by name
	bad     map[string]error                 // why others are none, by name
}

// mark changes whenever a bucket does.
type mark struct {
	created           time.Time
	first, last, msgs uint64
}

func markOf(info *jetstream.StreamInfo) mark {
	return mark{info.Created, info.State.FirstSeq, info.State.LastSeq, info.State.Msgs}
}

// list lists the objects of a bucket, by the subjects that its stream holds: the watch of
// an object store, which is the other way, takes a lost connection for its end.
func list(ctx context.Context, js jetstream.JetStream, bucket string) (listing, error) {
	l := listing{objects: map[string]*jetstream.ObjectInfo{}, bad: map[string]error{}}
	stream, err := js.Stream(ctx, streamOf(bucket))
	if err != nil {
		return l, fmt.Errorf("bucket %s: %w", bucket, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(metaOf(bucket)+">"))
	if err != nil {
		return l, fmt.Errorf("list bucket %s: %w", bucket, err)
	}
	if n := len(info.State.Subjects); n > maxModules {
		return l, fmt.Errorf("bucket %s holds %d objects: the limit is %d; remove what is no module", bucket, n, maxModules)
	}
	l.mark = markOf(info)
	objects, err := js.ObjectStore(ctx, bucket)
	if err != nil {
		return l, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	for subject := range info.State.Subjects {
		token := strings.TrimPrefix(subject, metaOf(bucket))
		b, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			l.bad[token] = fmt.Errorf("%w: its subject is %.120q", ErrBad, subject)
			continue
		}
		name := string(b)
		o, err := objects.GetInfo(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrObjectNotFound): // it was deleted
		case ctx.Err() != nil, !js.Conn().IsConnected():
			return l, fmt.Errorf("list bucket %s: %w", bucket, errors.Join(err, ctx.Err()))
		case err != nil:
			l.bad[name] = err
		default:
			if err := checkInfo(name, o); err != nil {
				l.bad[name] = err
				continue
			}
			l.objects[name] = o
		}
	}
	return l, nil
}

// checkInfo refuses what needs not be fetched to tell that it is no deployment.
func checkInfo(name string, o *jetstream.ObjectInfo) error {
	switch {
	case o.Opts != nil && o.Opts.Link != nil:
		return fmt.Errorf("%w: it is a link", ErrBad)
	case o.Size > maxPacked:
		return fmt.Errorf("%w: it has %d bytes: the limit is %d", ErrBad, o.Size, maxPacked)
	}
	return CheckName(name)
}

// chunkTime is for how long a part of an object is waited for that does not come.
var chunkTime = 10 * time.Second

// fetchTime bounds how long an object of so many bytes is fetched: at 1 MB/s.
func fetchTime(size int) time.Duration {
	return chunkTime + time.Duration(size/1000)*time.Millisecond
}

// fetch reads an object. Its digest is checked.
func fetch(ctx context.Context, objects jetstream.ObjectStore, o *jetstream.ObjectInfo, name string) (Deployment, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime(int(o.Size)))
	defer cancel()
	r, err := objects.Get(ctx, name)
	if err != nil {
		return Deployment{}, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxPacked+1))
	if err != nil {
		return Deployment{}, err
	}
	return Unpack(name, b)
}
