package wire

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"gnomon/engine"
	"gnomon/engine/state"
)

// KeyRemoved says that a key was there at the first of two points, and is not at the second.
const KeyRemoved KeyChange = "removed"

// Changes is a page of the keys that differ between two points of a projection's history, in
// key order. Next, or NextB64 when it is not UTF-8, is the key to ask for more after; without
// either there is no more. A page whose time was over may have no items, and still a next.
type Changes struct {
	ChangesSum
	Items   []ChangedKey `json:"items"`
	Next    *string      `json:"next,omitempty"`
	NextB64 []byte       `json:"next_b64,omitempty"`
}

// ChangesSum says between which points keys differ, and how many do.
type ChangesSum struct {
	Projection string        `json:"projection"`
	Generation string        `json:"generation"`
	From       Reflected     `json:"from"` // of both without a standing
	To         Reflected     `json:"to"`
	Counts     ChangedCounts `json:"counts"`
}

// SetNext sets the key to ask for more after.
func (c *Changes) SetNext(key []byte) {
	if !utf8.Valid(key) {
		c.NextB64 = key
		return
	}
	s := string(key)
	c.Next = &s
}

// After is the key to ask for more after; more is false when there is no more.
func (c *Changes) After() (key []byte, more bool) { return afterOf(c.Next, c.NextB64) }

// ChangedCounts is how many keys differ, of those that a page begins at, and all after
// them. It is less than all, and not Complete, where counting took too long.
type ChangedCounts struct {
	Added    int64 `json:"added"`
	Changed  int64 `json:"changed"`
	Removed  int64 `json:"removed"`
	Complete bool  `json:"complete"`
}

// Count counts a key in.
func (c *ChangedCounts) Count(change KeyChange) {
	switch change {
	case KeyAdded:
		c.Added++
	case KeyChanged:
		c.Changed++
	case KeyRemoved:
		c.Removed++
	}
}

// Plus is the counts of a page, with those of the pages before it.
func (c ChangedCounts) Plus(of ChangedCounts) ChangedCounts {
	return ChangedCounts{c.Added + of.Added, c.Changed + of.Changed, c.Removed + of.Removed, of.Complete}
}

// Differ is how many keys differ.
func (c ChangedCounts) Differ() int64 { return c.Added + c.Changed + c.Removed }

// ChangedKey is a key that differs between two points. In JSON a key that is UTF-8 is "key",
// other bytes are "key_b64"; a value that is JSON is "before" or "after", other bytes are
// "before_b64" or "after_b64", and so are two JSON values that differ only in the space
// between their parts. The value that there is not has neither.
type ChangedKey struct {
	Key           []byte
	Change        KeyChange
	Before, After []byte // nil: the key is absent
}

// ChangedKeyOf says how a key changed from the first state to the second; ok is false when it
// did not. It holds the bytes of the pair.
func ChangedKeyOf(p state.Pair) (k ChangedKey, ok bool) {
	k = ChangedKey{Key: p.Key, Change: KeyChanged, Before: p.A, After: p.B}
	switch {
	case p.Same(), !p.InA && !p.InB:
		return k, false
	case !p.InA:
		k.Change, k.Before = KeyAdded, nil
	case !p.InB:
		k.Change, k.After = KeyRemoved, nil
	}
	return k, true
}

type changedKeyJSON struct {
	Key       *string         `json:"key,omitempty"`
	KeyB64    []byte          `json:"key_b64,omitempty"`
	Change    KeyChange       `json:"change"`
	Before    json.RawMessage `json:"before,omitempty"`
	BeforeB64 *[]byte         `json:"before_b64,omitempty"`
	After     json.RawMessage `json:"after,omitempty"`
	AfterB64  *[]byte         `json:"after_b64,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (k ChangedKey) MarshalJSON() ([]byte, error) {
	f := changedKeyJSON{Change: k.Change}
	if utf8.Valid(k.Key) {
		key := string(k.Key)
		f.Key = &key
	} else {
		f.KeyB64 = k.Key
	}
	asJSON := k.Change != KeyChanged || !sameButForSpace(k.Before, k.After)
	if k.Change != KeyAdded {
		f.Before, f.BeforeB64 = valueForms(k.Before, asJSON)
	}
	if k.Change != KeyRemoved {
		f.After, f.AfterB64 = valueForms(k.After, asJSON)
	}
	return Marshal(f)
}

// UnmarshalJSON implements json.Unmarshaler.
func (k *ChangedKey) UnmarshalJSON(b []byte) error {
	var f changedKeyJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*k = ChangedKey{Key: f.KeyB64, Change: f.Change, Before: f.Before, After: f.After}
	if f.Key != nil {
		k.Key = []byte(*f.Key)
	}
	if f.BeforeB64 != nil {
		k.Before = *f.BeforeB64
	}
	if f.AfterB64 != nil {
		k.After = *f.AfterB64
	}
	return nil
}

// Past is how much of a projection's history can be read.
type Past struct {
	Projection string     `json:"projection"`
	Generation string     `json:"generation"`
	Oldest     uint64     `json:"oldest_seq"`  // from which on every sequence can be read
	OldestTime *time.Time `json:"oldest_time"` // of its last event; null: there was none
	Newest     uint64     `json:"newest_seq"`  // that is served
	NewestTime *time.Time `json:"newest_time"`
	Began      uint64     `json:"began_seq"`                // before the first event: a replay makes what is not kept from there on, while the stream has the events
	Refused    string     `json:"replay_refused,omitempty"` // why it cannot
}

// PastOf is the form of what an engine knows.
func PastOf(projection string, p engine.Past) Past {
	return Past{
		Projection: projection, Generation: p.Generation, Oldest: p.Oldest.Sequence, OldestTime: timeOrNil(p.Oldest.Time),
		Newest: p.Newest.Sequence, NewestTime: timeOrNil(p.Newest.Time), Began: p.Began, Refused: p.Refused,
	}
}
