package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

var snapshotName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ErrSnapshotName says that a name cannot be one of a snapshot.
var ErrSnapshotName = fmt.Errorf("snapshot name must match %s", snapshotName)

// CreateSnapshot pins the state that a projection serves now, under a name. It is
// instant: nothing is copied, the version stays readable. It fails with
// ErrNoProjection, ErrNotReady, ErrSnapshotName, ErrSnapshotExists or
// ErrTooManySnapshots.
func (e *Engine) CreateSnapshot(_ context.Context, name, snapshot string) (catalog.Snapshot, error) {
	p, role, err := e.find(name)
	if err != nil {
		return catalog.Snapshot{}, err
	}
	if !snapshotName.MatchString(snapshot) {
		return catalog.Snapshot{}, fmt.Errorf("%w, not %q", ErrSnapshotName, snapshot)
	}
	return p.createSnapshot(role, snapshot)
}

// Snapshots lists the snapshots of a projection, oldest first.
func (e *Engine) Snapshots(name string) ([]catalog.Snapshot, error) {
	p, _, err := e.find(name)
	if err != nil {
		return nil, err
	}
	return p.record().Snapshots, nil
}

// DeleteSnapshot gives a snapshot up: what was kept for it alone may be dropped. It fails
// with ErrNoProjection or ErrNoSnapshot.
func (e *Engine) DeleteSnapshot(name, snapshot string) error {
	p, _, err := e.find(name)
	if err != nil {
		return err
	}
	var gone catalog.Snapshot
	err = p.update(func(r *catalog.Record) error {
		i := slices.IndexFunc(r.Snapshots, func(s catalog.Snapshot) bool { return s.Name == snapshot })
		if i < 0 {
			return fmt.Errorf("%w: %q of projection %s", catalog.ErrNoSnapshot, snapshot, p.name)
		}
		gone = r.Snapshots[i]
		r.Snapshots = slices.Delete(r.Snapshots, i, i+1)
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unpinLocked(gone)
	return nil
}

func (p *projection) createSnapshot(role Role, name string) (catalog.Snapshot, error) {
	r, err := p.read(role)
	if err != nil {
		return catalog.Snapshot{}, err
	}
	defer r.Close() // holds the version until it is pinned
	ck := r.Checkpoint
	s := catalog.Snapshot{
		Name: name, Generation: r.Generation, Version: ck.Version,
		Sequence: ck.Position.Sequence, Time: ck.Position.Time, Created: time.Now().UTC(),
		Keys: ck.Keys, Bytes: ck.Bytes, Digest: ck.Digest,
	}
	if len(ck.Memories) > 0 {
		s.Memory = ck.Memories[0].Version
	}
	err = p.update(func(rec *catalog.Record) error { return addSnapshot(rec, s, p.pins()) })
	if err != nil {
		return catalog.Snapshot{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pinLocked(s)
	return s, nil
}

func addSnapshot(r *catalog.Record, s catalog.Snapshot, policy PinPolicy) error {
	if slices.ContainsFunc(r.Snapshots, func(o catalog.Snapshot) bool { return o.Name == s.Name }) {
		return fmt.Errorf("%w: %q; choose another name", ErrSnapshotExists, s.Name)
	}
	if len(r.Snapshots) >= policy.Max {
		return fmt.Errorf("%w: there are %d, the limit is %d (projection.snapshots.pins)", ErrTooManySnapshots, len(r.Snapshots), policy.Max)
	}
	r.Snapshots = append(r.Snapshots, s)
	return nil
}

// pins is the policy for snapshots.
func (p *projection) pins() PinPolicy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.declared == nil {
		return PinPolicy{}
	}
	return p.declared.Pins
}

// pinSnapshotsLocked keeps the versions of the stored snapshots readable. Snapshots of a
// keyspace that was removed, and built again, or that lost what it had committed last, are
// dropped: their versions mean something else now.
func (p *projection) pinSnapshotsLocked() error {
	all := p.record().Snapshots
	for _, s := range all {
		p.pinLocked(s)
	}
	return p.dropGoneLocked(all)
}

// dropGoneLocked drops those of the snapshots that are gone. What cannot be told at present
// is looked at again.
func (p *projection) dropGoneLocked(snapshots []catalog.Snapshot) error {
	p.unchecked = nil
	var gone []catalog.Snapshot
	for _, s := range snapshots {
		is, err := p.isGoneLocked(s)
		switch {
		case errors.Is(err, state.ErrCorrupt): // which is told to who reads it
		case err != nil:
			p.unchecked = append(p.unchecked, s)
		case is:
			p.log.Warn("snapshot dropped: its keyspace is no longer the one that it was taken of", "snapshot", s.Name, "sequence", s.Sequence)
			p.unpinLocked(s)
			gone = append(gone, s)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return p.update(func(r *catalog.Record) error {
		r.Snapshots = slices.DeleteFunc(r.Snapshots, func(s catalog.Snapshot) bool {
			return slices.ContainsFunc(gone, func(g catalog.Snapshot) bool { return g.Name == s.Name && g.Version == s.Version })
		})
		return nil
	})
}

// isGoneLocked reports whether the keyspace of a snapshot is no longer the one that it was
// taken of. Of a generation that is kept, but not open, that cannot be told, nor matters.
func (p *projection) isGoneLocked(s catalog.Snapshot) (bool, error) {
	ks := p.keyspaceOfLocked(s.Generation)
	if ks == nil {
		return false, nil
	}
	ck, err := ks.Checkpoint(s.Version)
	if errors.Is(err, state.ErrNoCheckpoint) {
		return true, nil
	}
	return err == nil && (ck.Version != s.Version || ck.Digest != s.Digest), err
}

// checkSnapshots looks again at snapshots of which it could not be told whether they are
// gone.
func (p *projection) checkSnapshots() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unchecked) == 0 {
		return nil
	}
	return p.dropGoneLocked(p.unchecked)
}

func (p *projection) pinLocked(s catalog.Snapshot) {
	if ks := p.keyspaceOfLocked(s.Generation); ks != nil {
		for _, v := range s.Versions() {
			ks.Pin(v)
		}
	}
}

func (p *projection) unpinLocked(s catalog.Snapshot) {
	if ks := p.keyspaceOfLocked(s.Generation); ks != nil {
		for _, v := range s.Versions() {
			ks.Unpin(v)
		}
	}
}

// keyspaceOfLocked returns the keyspace of a generation that is open, or nil.
func (p *projection) keyspaceOfLocked(generation string) state.Keyspace {
	for _, g := range p.generationsLocked() {
		if g.id == generation && g.failed == nil {
			return g.keyspace
		}
	}
	return nil
}

// expireSnapshots drops the snapshots that are older than the policy allows.
func (p *projection) expireSnapshots() error {
	maxAge, now := p.pins().MaxAge, p.engine.calendar.now()
	if maxAge <= 0 {
		return nil
	}
	var expired []catalog.Snapshot
	old := func(s catalog.Snapshot) bool { return now.Sub(s.Created) > maxAge }
	if !slices.ContainsFunc(p.record().Snapshots, old) {
		return nil
	}
	err := p.update(func(r *catalog.Record) error {
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
		if err == nil {
			p.unpinLocked(s)
		}
		p.log.Info("snapshot dropped by age", "snapshot", s.Name, "sequence", s.Sequence, "created", s.Created)
	}
	return err
}
