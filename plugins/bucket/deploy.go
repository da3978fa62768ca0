package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNotDeployed says that a bucket does not hold a module.
var ErrNotDeployed = errors.New("not deployed")

// putTime bounds how long a deployment takes.
const putTime = 5 * time.Minute

// Stored says what became of a deployment.
type Stored struct {
	Bucket  string   `json:"bucket"`
	Created bool     `json:"created"` // the bucket, which was not there
	Same    bool     `json:"same"`    // nothing was done: the same deployment was there
	SHA256  string   `json:"sha256"`  // of the module, in hex
	Files   []string `json:"files"`   // that it consists of
}

// Deploy puts a module into a bucket, in place of the one with its name, if there is one.
// The bucket is created when it is not there: in files, with one replica; who wants it
// otherwise creates it before. When Deploy fails, what was there before is there still,
// unless the server failed in between: repeat it then.
func Deploy(ctx context.Context, js jetstream.JetStream, bucket string, d Deployment) (Stored, error) {
	object, err := d.Pack()
	if err != nil {
		return Stored{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, putTime)
	defer cancel()
	done := Stored{Bucket: bucket, SHA256: d.SHA256(), Files: d.names()}
	objects, err := js.ObjectStore(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		done.Created = true
		objects, err = create(ctx, js, bucket)
	}
	if err != nil {
		return Stored{}, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	was, err := objects.GetInfo(ctx, d.Name)
	if err == nil && was.Digest == objectDigest(object) && readable(ctx, objects, d.Name, object) {
		done.Same = true
		return done, nil
	}
	_, err = objects.Put(ctx, jetstream.ObjectMeta{
		Name: d.Name, Description: "module of Gnomon: a tar file of " + strings.Join(done.Files, ", "),
		Metadata: map[string]string{"sha256": done.SHA256},
	}, bytes.NewReader(object))
	if err != nil {
		return Stored{}, fmt.Errorf("put %s into bucket %s: %w", d.Name, bucket, err)
	}
	return done, nil
}

// create makes a bucket, unless somebody else does that just now.
func create(ctx context.Context, js jetstream.JetStream, bucket string) (jetstream.ObjectStore, error) {
	objects, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, Description: "modules of Gnomon", Storage: jetstream.FileStorage})
	if errors.Is(err, jetstream.ErrBucketExists) {
		return js.ObjectStore(ctx, bucket)
	}
	return objects, err
}

// readable reports whether an object can be read whole: a put that broke off may leave
// one that cannot.
func readable(ctx context.Context, objects jetstream.ObjectStore, name string, object []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, fetchTime(len(object)))
	defer cancel()
	b, err := objects.GetBytes(ctx, name)
	return err == nil && bytes.Equal(b, object)
}

// objectDigest is a digest as object stores write it.
func objectDigest(object []byte) string {
	sum := sha256.Sum256(object)
	return "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:])
}

// Remove removes a module from a bucket. It fails with ErrNotDeployed when it is not there.
func Remove(ctx context.Context, js jetstream.JetStream, bucket, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, putTime)
	defer cancel()
	objects, err := js.ObjectStore(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("module %s is %w: there is no bucket %s", name, ErrNotDeployed, bucket)
	}
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	// Deleting what was deleted is no error to the object store.
	if _, err = objects.GetInfo(ctx, name); err == nil {
		err = objects.Delete(ctx, name)
	}
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("module %s is %w: bucket %s holds %s", name, ErrNotDeployed, bucket, held(ctx, js, bucket))
	}
	if err != nil {
		return fmt.Errorf("remove %s from bucket %s: %w", name, bucket, err)
	}
	return nil
}

// held says what a bucket holds.
func held(ctx context.Context, js jetstream.JetStream, bucket string) string {
	l, err := list(ctx, js, bucket)
	var names []string
	for name := range l.objects {
		names = append(names, name)
	}
	if err != nil || len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
