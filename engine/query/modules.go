package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"gnomon/engine/query/wire"
)

// Deployer puts modules where engines take them from.
type Deployer interface {
	// Deploy puts a module with what belongs to it, as the command deploy packs them, into
	// a bucket. It fails with ErrBadDeployment, and with ErrOtherBucket.
	Deploy(ctx context.Context, bucket, name string, object []byte) (wire.Deployed, error)
	// Remove removes one. It fails with ErrNotDeployed, and with ErrOtherBucket.
	Remove(ctx context.Context, bucket, name string) error
}

// Errors of a Deployer.
var (
	ErrBadDeployment = errors.New("bad deployment")
	ErrNotDeployed   = errors.New("no such module is deployed")
	// ErrOtherBucket says that the engine does not take modules from a bucket.
	ErrOtherBucket = errors.New("another bucket")
)

// maxDeployment bounds a module with what belongs to it.
const maxDeployment = 257 << 20

// module deploys one, or removes it.
func (s *Server) module(w http.ResponseWriter, r *http.Request) {
	q, ok := parameters(w, r, "bucket")
	if !ok {
		return
	}
	bucket, name := q.Get("bucket"), r.PathValue("name")
	if r.Method == http.MethodDelete {
		if err := s.deployer.Remove(r.Context(), bucket, name); err != nil {
			failed(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	object, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDeployment))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem(w, http.StatusRequestEntityTooLarge, wire.CodeTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit), "")
		return
	case err != nil:
		failed(w, err)
		return
	}
	done, err := s.deployer.Deploy(r.Context(), bucket, name, object)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}
