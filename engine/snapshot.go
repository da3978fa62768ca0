package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"
)

var snapshotName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ErrSnapshotName says that a name cannot be one of a snapshot.
var ErrSnapshotName = fmt.Errorf("snapshot name must match %s", snapshotName)

// CreateSnapshot pins the state that a projection serves now, under a name. It is
// instant: nothing is copied, the version stays readable. It fails with
// ErrNoProjection, ErrNotReady, ErrSnapshotName, ErrSnapshotExists or
// ErrTooManySnapshots.
func (e *Engine) CreateSnapshot(_ context.Context, name, snapshot string) (Snapshot, error) {
	p, err := e.projection(name)
	if err != nil {
		return Snapshot{}, err
	}
	if !snapshotName.MatchString(snapshot) {
		return Snapshot{}, fmt.Errorf("%w, not %q", ErrSnapshotName, snapshot)
	}
	return p.createSnapshot(snapshot)
}

// Snapshots lists the snapshots of a projection, oldest first.
func (e *Engine) Snapshots(name string) ([]Snapshot, error) {
	if _, err := e.projection(name); err != nil {
		return nil, err
	}
	return e.catalog.Projection(name).Snapshots, nil
}

func (p *projection) createSnapshot(name string) (Snapshot, error) {
	r, err := p.read(false)
	if err != nil {
		return Snapshot{}, err
	}
	defer r.Close() // holds the version until it is pinned
	ck := r.Checkpoint
	s := Snapshot{
		Name: name, Generation: r.Generation, Version: ck.Version,
		Sequence: ck.Position.Sequence, Time: ck.Position.Time, Created: time.Now().UTC(),
		Keys: ck.Keys, Bytes: ck.Bytes, Digest: ck.Digest,
	}
	err = p.catalog.Update(p.spec.Name, func(rec *CatalogRecord) error { return rec.addSnapshot(s, p.spec.Pins) })
	if err != nil {
		return Snapshot{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pin(s)
	return s, nil
}

func (r *CatalogRecord) addSnapshot(s Snapshot, policy PinPolicy) error {
	if slices.ContainsFunc(r.Snapshots, func(o Snapshot) bool { return o.Name == s.Name }) {
		return fmt.Errorf("%w: %q; choose another name", ErrSnapshotExists, s.Name)
	}
	if len(r.Snapshots) >= policy.Max {
		return fmt.Errorf("%w: there are %d, the limit is %d (projection.snapshots.pins)", ErrTooManySnapshots, len(r.Snapshots), policy.Max)
	}
	r.Snapshots = append(r.Snapshots, s)
	return nil
}

// pinSnapshots keeps the versions of the stored snapshots readable. Snapshots of a
// keyspace that was removed, and built again, are dropped: their versions mean
// something else now.
func (p *projection) pinSnapshots() error {
	gone := func(s Snapshot) bool {
		ks := p.keyspaceOf(s.Generation)
		if ks == nil {
			return false // of a generation that is kept, but not open
		}
		ck, err := ks.Checkpoint(s.Version)
		return err != nil || ck.Version != s.Version || ck.Digest != s.Digest
	}
	all := p.catalog.Projection(p.spec.Name).Snapshots
	for _, s := range all {
		if gone(s) {
			p.log.Warn("snapshot dropped: its keyspace is no longer the one that it was taken of", "snapshot", s.Name, "seq", s.Sequence)
		} else {
			p.pin(s)
		}
	}
	if !slices.ContainsFunc(all, gone) {
		return nil
	}
	return p.catalog.Update(p.spec.Name, func(r *CatalogRecord) error {
		r.Snapshots = slices.DeleteFunc(r.Snapshots, gone)
		return nil
	})
}

func (p *projection) pin(s Snapshot) {
	if ks := p.keyspaceOf(s.Generation); ks != nil {
		ks.Pin(s.Version)
	}
}

// keyspaceOf returns the keyspace of a generation that is open, or nil.
func (p *projection) keyspaceOf(generation string) Keyspace {
	switch {
	case generation == p.running.Load().id:
		return p.running.Load().keyspace
	case p.former != nil && generation == p.former.id:
		return p.former.keyspace
	}
	return nil
}

// expireSnapshots drops the snapshots that are older than the policy allows.
func (p *projection) expireSnapshots() error {
	if p.spec.Pins.MaxAge <= 0 {
		return nil
	}
	var expired []Snapshot
	old := func(s Snapshot) bool { return time.Since(s.Created) > p.spec.Pins.MaxAge }
	if !slices.ContainsFunc(p.catalog.Projection(p.spec.Name).Snapshots, old) {
		return nil
	}
	err := p.catalog.Update(p.spec.Name, func(r *CatalogRecord) error {
		for _, s := range r.Snapshots {
			if old(s) {
				expired = append(expired, s)
			}
		}
		r.Snapshots = slices.DeleteFunc(r.Snapshots, old)
		return nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range expired {
		if ks := p.keyspaceOf(s.Generation); ks != nil && err == nil {
			ks.Unpin(s.Version)
		}
		p.log.Info("snapshot dropped by age", "snapshot", s.Name, "seq", s.Sequence)
	}
	return err
}
