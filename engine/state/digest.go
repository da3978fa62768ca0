package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Digest is an order-independent hash of a set of keys with their values: the
// sum, modulo 2^256, of SHA-256(u32 length of key | key | value) over all keys,
// each hash and the sum taken as little-endian numbers. It is kept incrementally
// and can be computed anew from a scan. The construction is AdHash (Bellare and
// Micciancio, "A New Paradigm for Collision-Free Hashing", 1997); it tells states
// apart that differ by accident, not ones made to collide.
type Digest [32]byte

// Term returns what one key with its value adds to a digest.
func Term(key, value []byte) Digest {
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], uint32(len(key)))
	h := sha256.New()
	h.Write(n[:])
	h.Write(key)
	h.Write(value)
	var d Digest
	h.Sum(d[:0])
	return d
}

// Add adds a term.
func (d *Digest) Add(t Digest) {
	var carry uint64
	for i := 0; i < len(d); i += 8 {
		var s uint64
		s, carry = bits.Add64(binary.LittleEndian.Uint64(d[i:]), binary.LittleEndian.Uint64(t[i:]), carry)
		binary.LittleEndian.PutUint64(d[i:], s)
	}
}

// Sub takes a term away.
func (d *Digest) Sub(t Digest) {
	var borrow uint64
	for i := 0; i < len(d); i += 8 {
		var s uint64
		s, borrow = bits.Sub64(binary.LittleEndian.Uint64(d[i:]), binary.LittleEndian.Uint64(t[i:]), borrow)
		binary.LittleEndian.PutUint64(d[i:], s)
	}
}

// String returns the digest as 64 hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns the digest as 64 hex digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hex digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(d) {
		return fmt.Errorf("digest has %d characters, want %d", len(text), hex.EncodedLen(len(d)))
	}
	_, err := hex.Decode(d[:], text)
	return err
}
