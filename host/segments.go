package host

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// maxGap is the most that lies between two segments that become one, bytes: a segment costs
// as much as a few hundred bytes that are copied.
const maxGap = 64

const (
	maxJoined    = 1 << 20 // segments of a section that are looked at: a hostile file of 32 MiB has six times as many
	leastSegment = 5       // bytes: that of a plain one without data
)

// Instructions of a constant expression (§5.4).
const (
	opEnd      = 0x0b
	opI32Const = 0x41
)

// joinedSegments returns the body of a data section with fewer segments that leave the same
// memory. A linker that leaves out zeros makes tens of thousands of them (Go's: 38,700 for
// 0.9 MB), and each costs an instance more to start than the zeros that it saves. It becomes
// at most twice as large. The memory must be the module's own, so that it is zero before, and
// no code may name a segment: that is so when there is no section that counts them
// (WebAssembly Core Specification 2.0, §5.5.16).
//
// Segments that overlap, any but plain ones at constant offsets, and more than maxJoined leave
// the section as it is.
func joinedSegments(body []byte) []byte {
	segments, ok := plainSegments(body)
	if !ok {
		return body
	}
	slices.SortFunc(segments, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(len(a.data), len(b.data)))
	})
	joined := segments[:0]
	room := len(body) // for zeros
	for _, s := range segments {
		if len(joined) == 0 {
			joined = append(joined, s)
			continue
		}
		last := &joined[len(joined)-1]
		gap := s.offset - last.end()
		switch {
		case gap < 0:
			return body
		case gap > int64(min(maxGap, room)):
			joined = append(joined, s)
		default:
			room -= int(gap)
			last.data = append(append(last.data, make([]byte, gap)...), s.data...)
		}
	}
	return dataSection(joined)
}

// segment is a plain segment of data.
type segment struct {
	offset int64 // as memory is addressed: unsigned
	data   []byte
}

func (s segment) end() int64 { return s.offset + int64(len(s.data)) }

// plainSegments reads the body of a data section; false: it has others, or too many, or is not
// well-formed.
func plainSegments(body []byte) (all []segment, ok bool) {
	r := &reader{b: body}
	n := r.u32()
	if n > maxJoined {
		return nil, false
	}
	all = make([]segment, 0, min(n, uint64(len(body)/leastSegment)))
	for range n {
		plain := r.u32() == 0 && r.byte() == opI32Const
		offset := int64(uint32(r.s32()))
		plain = plain && r.byte() == opEnd
		data := slices.Clip(r.bytes(r.u32())) // what is joined to it goes elsewhere
		if !plain || r.err != nil {
			return nil, false
		}
		all = append(all, segment{offset, data})
	}
	return all, r.err == nil && len(r.b) == 0
}

// dataSection writes the body of a data section.
func dataSection(segments []segment) []byte {
	body := binary.AppendUvarint(nil, uint64(len(segments)))
	for _, s := range segments {
		body = append(appendS32(append(body, 0, opI32Const), int32(uint32(s.offset))), opEnd)
		body = append(binary.AppendUvarint(body, uint64(len(s.data))), s.data...)
	}
	return body
}

// appendS32 appends a signed LEB128 number.
func appendS32(b []byte, v int32) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)&0x7f|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}
