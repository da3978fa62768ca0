package gnomontest

import (
	"errors"
	"fmt"
	"maps"

	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

var errNoQuery = errors.New("this program answers no requests: call query.OnRequest from an init function of the package under test")

// Query has the program's projection answer a request over what a run made of its events,
// as a fresh instance would. When it fails the error is a *Failure. What it logs is added to
// the result.
func (r *Result) Query(request string) (answer string, err error) {
	running.Lock()
	defer running.Unlock()
	if boundary.Guest.Query == nil {
		return "", errNoQuery
	}
	if len(request) > abi.MaxRequest {
		return "", fmt.Errorf("the request has %d bytes: the limit is %d", len(request), abi.MaxRequest)
	}
	h := newHost(r.settings)
	h.state, h.request = maps.Clone(r.State), request
	q := &run{host: h, guest: boundary.Guest}
	boundary.Current = h
	defer func() {
		boundary.Current = nil
		r.Logged = append(r.Logged, h.logged...)
	}()
	if err := q.call(abi.ExportInit, q.guest.Init); err != nil {
		return "", err
	}
	if q.guest.Restore != nil {
		h.blobs = r.Memory
		if err := q.call(abi.ExportRestore, q.guest.Restore); err != nil {
			return "", err
		}
	}
	if err := q.call(abi.ExportQuery, q.guest.Query); err != nil {
		return "", err
	}
	if len(h.output) > abi.MaxAnswer {
		return "", fmt.Errorf("the answer has %d bytes: the limit is %d", len(h.output), abi.MaxAnswer)
	}
	return string(h.output), nil
}
