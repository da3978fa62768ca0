package state

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// Letter is an event that was set aside, with what failed. It is stored in the
// transaction that moves the position past the event.
type Letter struct {
	Sequence uint64       `json:"seq"`
	Status   LetterStatus `json:"status"`
	Key      []byte       `json:"key,omitempty"`  // the declared key of the event
	Keys     [][]byte     `json:"keys,omitempty"` // and further ones, if upcasters made several records of it
	Event    []byte       `json:"event"`          // as the guest gets it, a record of sdk/abi; with upcasters, as they get it
	Error    string       `json:"error,omitempty"`
	Module   string       `json:"module,omitempty"` // digest of the module that failed
	Time     time.Time    `json:"time"`             // when it was set aside, or last tried
	Fuel     uint64       `json:"fuel,omitempty"`   // that it used until it failed
	Attempts int          `json:"attempts,omitempty"`

	size int // of its row, when it was read
}

// LetterStatus says why an event is set aside.
type LetterStatus string

// The statuses of a letter.
const (
	Dead    LetterStatus = "dead"    // it failed; later events of its key were applied
	Failed  LetterStatus = "failed"  // it failed, and is the first of its key's queue
	Parked  LetterStatus = "parked"  // it waits for an earlier event of its key
	Skipped LetterStatus = "skipped" // an operator passed over it; kept as a record
)

// AllKeys are the declared keys of the event.
func (l *Letter) AllKeys() [][]byte {
	if len(l.Key) == 0 {
		return nil
	}
	return append([][]byte{l.Key}, l.Keys...)
}

// Waits reports whether later events of the key have to queue behind the letter.
func (s LetterStatus) Waits() bool { return s == Failed || s == Parked }

// Aside counts events that were not applied.
type Aside struct {
	Skipped int64 `json:"skipped"`      // passed over, ever
	Letters int64 `json:"dead_letters"` // kept, until they are retried or dropped
	Waiting int64 `json:"waiting"`      // of these: in the queues of their keys
}

// LetterRow is the key of the row of a letter: in order of sequences.
func LetterRow(sequence uint64) []byte { return binary.BigEndian.AppendUint64(nil, sequence) }

// Write is the write that stores the letter.
func (l *Letter) Write() (Write, error) {
	b, err := json.Marshal(l)
	return Write{Key: string(LetterRow(l.Sequence)), Value: b, OldSize: l.size}, err
}

// Remove is the write that removes the letter.
func (l *Letter) Remove() Write {
	return Write{Key: string(LetterRow(l.Sequence)), Delete: true, OldSize: l.size}
}

// ReadLetters calls fn for each letter after a sequence, in order, until it returns
// false.
func ReadLetters(v View, after uint64, fn func(l Letter) bool) error {
	var from []byte
	if after > 0 {
		from = LetterRow(after)
	}
	var bad error
	err := v.Letters().Scan(nil, from, func(key, value []byte) bool {
		l := Letter{size: len(value)}
		if bad = json.Unmarshal(value, &l); bad != nil {
			bad = fmt.Errorf("letter %x: %w: %w", key, bad, ErrCorrupt)
			return false
		}
		return fn(l)
	})
	if err == nil {
		err = bad
	}
	return err
}

// Add counts a letter.
func (a *Aside) Add(s LetterStatus) {
	a.Letters++
	if s.Waits() {
		a.Waiting++
	}
	if s == Skipped {
		a.Skipped++
	}
}

// Forget takes a letter out of the count that is no more.
func (a *Aside) Forget(s LetterStatus) {
	a.Letters--
	if s.Waits() {
		a.Waiting--
	}
}
