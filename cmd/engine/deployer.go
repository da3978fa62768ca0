package main

import (
	"context"
	"errors"
	"fmt"

	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/plugins/bucket"
)

// nodeDeployer deploys on behalf of HTTP requests, into the bucket that the node mirrors.
type nodeDeployer struct{ node *node }

var _ query.Deployer = (*nodeDeployer)(nil)

// Deploy implements query.Deployer.
func (d *nodeDeployer) Deploy(ctx context.Context, into, name string, object []byte) (wire.Deployed, error) {
	b, err := d.bucket(into)
	if err != nil {
		return wire.Deployed{}, err
	}
	m, err := bucket.Unpack(name, object)
	if err != nil {
		return wire.Deployed{}, fmt.Errorf("%w: %w", query.ErrBadDeployment, err)
	}
	done, err := b.deploy(ctx, m)
	return wire.Deployed(done), err
}

// Remove implements query.Deployer.
func (d *nodeDeployer) Remove(ctx context.Context, into, name string) error {
	b, err := d.bucket(into)
	if err == nil {
		err = b.remove(ctx, name)
	}
	switch {
	case errors.Is(err, bucket.ErrNotDeployed):
		return notDeployed{err}
	case errors.Is(err, bucket.ErrBad):
		return fmt.Errorf("%w: %w", query.ErrBadDeployment, err)
	}
	return err
}

func (d *nodeDeployer) bucket(name string) (*bucketDeployer, error) {
	n := d.node
	switch own := n.config.Plugins.Bucket; {
	case own == "":
		return nil, fmt.Errorf("%w: the engine that runs has no plugins.bucket", query.ErrOtherBucket)
	case name != own:
		return nil, fmt.Errorf("%w: the engine that runs takes modules from %s, not from %s", query.ErrOtherBucket, own, name)
	case n.broker == nil:
		return nil, errConnecting
	}
	return &bucketDeployer{name, &target{broker: n.broker}}, nil
}

// notDeployed is query.ErrNotDeployed in the words of the bucket.
type notDeployed struct{ error }

func (notDeployed) Is(target error) bool { return target == query.ErrNotDeployed }
func (e notDeployed) Unwrap() error      { return e.error }
