package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"gnomon/engine/catalog"
)

// MaxWait is how long a promotion may wait for its candidate.
const MaxWait = 24 * time.Hour

// Promote asks that the candidate of a projection takes over.
type Promote struct {
	// Wait is how long it is waited for a candidate that has not caught up, such as "30s";
	// empty: not at all.
	Wait string `json:"wait,omitempty"`
	// Generation is the id of the candidate that is meant; empty: the one that there is when
	// this is asked. Another one is not promoted (CodeOtherGeneration).
	Generation string `json:"generation,omitempty"`
}

// Rollback asks that the previous generation of a projection is read again.
type Rollback struct {
	// Generation is the id of the one that is meant; empty: whichever there is.
	Generation string `json:"generation,omitempty"`
}

// Duration returns Wait. It fails when that is no duration from 0 to MaxWait.
func (p Promote) Duration() (time.Duration, error) {
	if p.Wait == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(p.Wait)
	if err != nil || d < 0 || d > MaxWait {
		return 0, fmt.Errorf("wait is %q: it must be between 0s and %s, such as 30s", p.Wait, MaxWait)
	}
	return d, nil
}

// Removed says that a projection was removed, with its data.
type Removed struct {
	Projection string `json:"projection"`
}

// History is what happened to a projection, oldest first.
type History struct {
	Projection string           `json:"projection"`
	Changes    []catalog.Change `json:"changes"`
}

// KeyChange says how a candidate differs from what is read in one key.
type KeyChange string

// The ways in which a key may differ.
const (
	KeyAdded   KeyChange = "added"   // only the candidate has it
	KeyMissing KeyChange = "missing" // only the generation that is read has it
	KeyChanged KeyChange = "changed" // both have it, with different values
)

// Difference is a key in which a candidate differs from what is read. In JSON a key that is
// UTF-8 is "key", other bytes are "key_b64"; a value that is JSON is "live" or "candidate",
// other bytes are "live_b64" or "candidate_b64", and so are two JSON values that differ only
// in the space between their parts. The value that there is not has neither.
type Difference struct {
	Key             []byte
	Change          KeyChange
	Live, Candidate []byte
}

type differenceJSON struct {
	Key          *string         `json:"key,omitempty"`
	KeyB64       []byte          `json:"key_b64,omitempty"`
	Change       KeyChange       `json:"change"`
	Live         json.RawMessage `json:"live,omitempty"`
	LiveB64      *[]byte         `json:"live_b64,omitempty"`
	Candidate    json.RawMessage `json:"candidate,omitempty"`
	CandidateB64 *[]byte         `json:"candidate_b64,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (d Difference) MarshalJSON() ([]byte, error) {
	f := differenceJSON{Change: d.Change}
	if utf8.Valid(d.Key) {
		key := string(d.Key)
		f.Key = &key
	} else {
		f.KeyB64 = d.Key
	}
	asJSON := d.Change != KeyChanged || !sameButForSpace(d.Live, d.Candidate)
	if d.Change != KeyAdded {
		f.Live, f.LiveB64 = valueForms(d.Live, asJSON)
	}
	if d.Change != KeyMissing {
		f.Candidate, f.CandidateB64 = valueForms(d.Candidate, asJSON)
	}
	return Marshal(f)
}

// valueForms is a value as JSON, if it is JSON and that is wanted, or as other bytes.
func valueForms(value []byte, asJSON bool) (json.RawMessage, *[]byte) {
	if asJSON && IsJSON(value) {
		return value, nil
	}
	b := append([]byte{}, value...)
	return nil, &b
}

// sameButForSpace reports whether two values would be printed as the same JSON.
func sameButForSpace(a, b []byte) bool {
	var x, y bytes.Buffer
	return IsJSON(a) && IsJSON(b) && json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Difference) UnmarshalJSON(b []byte) error {
	var f differenceJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*d = Difference{Key: f.KeyB64, Change: f.Change, Live: f.Live, Candidate: f.Candidate}
	if f.Key != nil {
		d.Key = []byte(*f.Key)
	}
	if f.LiveB64 != nil {
		d.Live = *f.LiveB64
	}
	if f.CandidateB64 != nil {
		d.Candidate = *f.CandidateB64
	}
	return nil
}

// Compared is what a comparison of two generations amounts to: the last line of it.
type Compared struct {
	AsOfSeq   uint64 `json:"as_of_seq"` // of both
	Live      string `json:"live"`      // id of the generation that is read
	Candidate string `json:"candidate"` // id of the one that it is compared with
	Added     int64  `json:"added"`     // keys that only the candidate has
	Missing   int64  `json:"missing"`   // keys that only the generation that is read has
	Changed   int64  `json:"changed"`   // keys that both have, with different values
	Same      int64  `json:"same"`      // keys that both have, with the same value
}

// Differs reports whether there is a difference.
func (c *Compared) Differs() bool { return c.Added+c.Missing+c.Changed > 0 }

// Count counts a difference in.
func (c *Compared) Count(change KeyChange) {
	switch change {
	case KeyAdded:
		c.Added++
	case KeyMissing:
		c.Missing++
	case KeyChanged:
		c.Changed++
	}
}

// DiffLine is a line of a comparison: a difference, or, as the last one, what it amounts to.
type DiffLine struct {
	Difference *Difference
	Compared   *Compared
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *DiffLine) UnmarshalJSON(b []byte) error {
	var kind struct {
		Change KeyChange `json:"change"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return err
	}
	*l = DiffLine{}
	if kind.Change == "" {
		l.Compared = new(Compared)
		return json.Unmarshal(b, l.Compared)
	}
	l.Difference = new(Difference)
	return json.Unmarshal(b, l.Difference)
}
