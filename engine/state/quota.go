package state

import "fmt"

// Quota bounds the state of a projection; 0: no bound.
type Quota struct {
	Keys  int64
	Bytes int64 // of keys and values
}

// QuotaError says that a commit would make the state larger than it may be. It is not
// made: what was committed before stays.
type QuotaError struct {
	what, setting string
	have, limit   int64
	from, to      uint64 // events of the commit
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("events %d to %d would make the state %d %s: the limit is %d (projection.limits.%s)", e.from, e.to, e.have, e.what, e.limit, e.setting)
}

// Check holds a commit against the quota. One that makes a state smaller is allowed, for
// a quota may be lowered.
func (q Quota) Check(last, next Checkpoint) error {
	over := func(what, setting string, had, have, limit int64) error {
		if limit == 0 || have <= limit || have <= had {
			return nil
		}
		return &QuotaError{what, setting, have, limit, last.Position.Sequence + 1, next.Position.Sequence}
	}
	if err := over("keys", "keys", last.Keys, next.Keys, q.Keys); err != nil {
		return err
	}
	return over("bytes", "state", last.Bytes, next.Bytes, q.Bytes)
}
