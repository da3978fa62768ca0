package state

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/bits"
	"time"

	"gnomon/sdk/abi"
)

// Version is the version of a keyspace: a stream sequence and, in its low 16
// bits, a count of the further commits at that sequence. Versions grow with
// every commit, and every committed version stays readable while it is retained.
type Version uint64

// MaxVersion is greater than every version.
const MaxVersion = Version(math.MaxUint64)

// VersionAt returns the first version that belongs to a sequence.
func VersionAt(sequence uint64) Version { return Version(sequence << 16) }

// LastAt returns the last version that belongs to a sequence.
func LastAt(sequence uint64) Version { return VersionAt(sequence+1) - 1 }

// Sequence returns the stream sequence that the version reflects.
func (v Version) Sequence() uint64 { return uint64(v) >> 16 }

// Next returns the version to commit a sequence at, after v.
func (v Version) Next(sequence uint64) Version { return max(VersionAt(sequence), v+1) }

// Position says what part of which stream a keyspace reflects: every event of
// that stream with a sequence up to and including Sequence.
type Position struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"`  // when the stream was created: two streams of one name differ in it
	Sequence uint64    `json:"sequence"` // 0 before the first event
	Time     time.Time `json:"time"`     // when the last event up to Sequence was stored; zero when there was none
	Module   string    `json:"module"`   // digest of the module that applied the last events
}

// Anchor identifies an event that was read. JetStream reuses sequence numbers
// after a restore or a power cut, even under the same creation time, so that a
// sequence alone does not tell whether the history is still the one that was
// read.
type Anchor struct {
	Sequence uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Subject  string    `json:"subject"`
	Hash     string    `json:"hash"` // of subject and data: 16 hex digits of SHA-256
}

// AnchorOf returns the anchor of an event.
func AnchorOf(e abi.Record) Anchor {
	h := sha256.New()
	h.Write(e.Subject)
	h.Write([]byte{0})
	h.Write(e.Data)
	return Anchor{
		Sequence: e.Sequence,
		Time:     StoredAt(e),
		Subject:  string(e.Subject),
		Hash:     hex.EncodeToString(h.Sum(nil)[:8]),
	}
}

// StoredAt is when the stream stored an event.
func StoredAt(e abi.Record) time.Time { return time.Unix(0, e.TimeNs).UTC() }

// Same reports whether two anchors identify the same event.
func (a Anchor) Same(b Anchor) bool {
	return a.Sequence == b.Sequence && a.Time.Equal(b.Time) && a.Subject == b.Subject && a.Hash == b.Hash
}

// WithAnchor returns anchors, newest first, with a added and thinned: of the
// older ones, one stays for each power of eight in distance from a, so that
// eight anchors reach 16 million events back.
func WithAnchor(anchors []Anchor, a Anchor) []Anchor {
	const bitsPerAnchor, maxAnchors = 3, 8
	kept := []Anchor{a}
	band := -1
	for i, old := range anchors {
		if old.Sequence >= a.Sequence {
			continue
		}
		b := bits.Len64(a.Sequence-old.Sequence) / bitsPerAnchor
		// The oldest of a band stays, for it will be the first of the next one.
		next := i+1 < len(anchors) && bits.Len64(a.Sequence-anchors[i+1].Sequence)/bitsPerAnchor == b
		if b != band && !next && len(kept) < maxAnchors {
			kept, band = append(kept, old), b
		}
	}
	return kept
}
