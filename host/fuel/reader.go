package fuel

import (
	"errors"
	"fmt"
)

var (
	errShort = errors.New("ends in the middle of a field")
	errLong  = errors.New("has a number in more bytes than its type may have")
)

// reader takes fields off a slice. After an error it yields zeros and stands at
// the end, so that a loop over it ends; the first error stays.
type reader struct {
	b   []byte
	p   int // the next byte, ≤ len(b)
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.p = len(r.b)
}

func (r *reader) more() bool { return r.p < len(r.b) }

func (r *reader) byte() byte {
	if r.p >= len(r.b) {
		r.fail(errShort)
		return 0
	}
	c := r.b[r.p]
	r.p++
	return c
}

func (r *reader) skip(n uint32) {
	if uint64(n) > uint64(len(r.b)-r.p) {
		r.fail(errShort)
		return
	}
	r.p += int(n)
}

// take is skip that returns what it skipped.
func (r *reader) take(n uint32) []byte {
	from := r.p
	if r.skip(n); r.err != nil {
		return nil
	}
	return r.b[from:r.p]
}

// u32 reads an unsigned LEB128 number of at most five bytes and 32 bits.
func (r *reader) u32() uint32 {
	if r.p < len(r.b) && r.b[r.p] < 0x80 {
		r.p++
		return uint32(r.b[r.p-1])
	}
	var v uint64
	for i := range 5 {
		c := r.byte()
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if v >= 1<<32 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(errLong)
	return 0
}

// leb skips a LEB128 number of at most n bytes, of either sign.
func (r *reader) leb(n int) {
	for range n {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(errLong)
}

// count reads the length of a vector whose entries have a byte at least, so that
// no loop and no allocation is larger than what the file backs.
func (r *reader) count() uint32 {
	n := r.u32()
	if int64(n) > int64(len(r.b)-r.p) {
		r.fail(fmt.Errorf("declares %d entries in %d bytes", n, len(r.b)-r.p))
		return 0
	}
	return n
}

func (r *reader) limits() {
	flags := r.byte()
	if flags > 1 {
		r.fail(fmt.Errorf("has limits of kind %d: shared and 64-bit memories are not supported", flags))
		return
	}
	r.u32()
	if flags == 1 {
		r.u32()
	}
}

// appendU32 appends an unsigned LEB128 number.
func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// appendS64 appends a signed LEB128 number.
func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
