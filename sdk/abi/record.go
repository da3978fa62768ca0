package abi

// HeaderSize is the length of a record's fixed part in bytes.
const HeaderSize = 40

// Offsets of the fields in a record's fixed part. All are little-endian.
const (
	OffSize       = 0  // u32, of the whole record with its padding
	OffFlags      = 4  // u32, zero
	OffSequence   = 8  // u64
	OffTime       = 16 // i64, Unix nanoseconds, UTC
	OffSubjectLen = 24 // u32
	OffHeadersLen = 28 // u32
	OffDataLen    = 32 // u32
	OffKeyLen     = 36 // u32
)

// Record is one event of a batch. Its byte slices alias the batch.
type Record struct {
	Sequence uint64 // in its stream
	TimeNs   int64  // when the stream stored it, Unix nanoseconds, UTC
	Subject  []byte
	Headers  []byte // see AppendHeader
	Data     []byte
	Key      []byte // the projection's declared key of this event; empty when none is declared
}

// Error is an error of this package: a malformed batch.
type Error string

func (e Error) Error() string { return string(e) }

// ErrTruncated says that a record, or a header, reaches past the bytes given.
const ErrTruncated = Error("abi: record reaches past the end of its batch")

// Size returns the length of the record in a batch, padding included.
func (r *Record) Size() int {
	return RecordSize(len(r.Subject), len(r.Headers), len(r.Data), len(r.Key))
}

// RecordSize returns the length of a record whose fields have the given lengths,
// padding included.
func RecordSize(subject, headers, data, key int) int {
	return align8(HeaderSize + subject + headers + data + key)
}

// Append appends the record to a batch.
func (r *Record) Append(dst []byte) []byte {
	dst, _ = AppendHead(dst, r.Sequence, r.TimeNs, len(r.Subject), len(r.Headers), len(r.Data), len(r.Key))
	dst = append(dst, r.Subject...)
	dst = append(dst, r.Headers...)
	dst = append(dst, r.Data...)
	dst = append(dst, r.Key...)
	return Pad(dst)
}

// AppendHead appends the fixed part of a record whose fields have the given
// lengths, and returns the record's size. The caller appends subject, headers,
// data and key, in that order, and then calls Pad.
func AppendHead(dst []byte, seq uint64, timeNs int64, subject, headers, data, key int) ([]byte, int) {
	size := RecordSize(subject, headers, data, key)
	dst = append32(dst, uint32(size))
	dst = append32(dst, 0)
	dst = append64(dst, seq)
	dst = append64(dst, uint64(timeNs))
	dst = append32(dst, uint32(subject))
	dst = append32(dst, uint32(headers))
	dst = append32(dst, uint32(data))
	dst = append32(dst, uint32(key))
	return dst, size
}

// Pad appends zeros up to the next multiple of eight bytes.
func Pad(dst []byte) []byte {
	for len(dst)&7 != 0 {
		dst = append(dst, 0)
	}
	return dst
}

// Next returns the first record of a batch and what follows it. At the end of
// the batch it returns ErrTruncated, so loop while the batch is not empty.
func Next(batch []byte) (r Record, rest []byte, err error) {
	if len(batch) < HeaderSize {
		return r, nil, ErrTruncated
	}
	size := uint64(load32(batch[OffSize:]))
	s, h := uint64(load32(batch[OffSubjectLen:])), uint64(load32(batch[OffHeadersLen:]))
	d, k := uint64(load32(batch[OffDataLen:])), uint64(load32(batch[OffKeyLen:]))
	if size > uint64(len(batch)) || size&7 != 0 || HeaderSize+s+h+d+k > size {
		return r, nil, ErrTruncated
	}
	r.Sequence = load64(batch[OffSequence:])
	r.TimeNs = int64(load64(batch[OffTime:]))
	p := batch[HeaderSize:size:size]
	r.Subject, p = p[:s:s], p[s:]
	r.Headers, p = p[:h:h], p[h:]
	r.Data, p = p[:d:d], p[d:]
	r.Key = p[:k:k]
	return r, batch[size:], nil
}

// AppendHeader appends one header to the encoding that Record.Headers has:
// {u16 length of name, u16 length of value, name, value}, once per header.
// Name and value must be shorter than 64 KiB; ok is false when one is not, and
// dst is then returned as it was.
func AppendHeader(dst []byte, name, value string) (_ []byte, ok bool) {
	if len(name) > 0xffff || len(value) > 0xffff {
		return dst, false
	}
	dst = append(dst, byte(len(name)), byte(len(name)>>8), byte(len(value)), byte(len(value)>>8))
	dst = append(dst, name...)
	return append(dst, value...), true
}

// NextHeader returns the first header of an encoding and what follows it.
func NextHeader(headers []byte) (name, value, rest []byte, err error) {
	if len(headers) < 4 {
		return nil, nil, nil, ErrTruncated
	}
	n := int(headers[0]) | int(headers[1])<<8
	v := int(headers[2]) | int(headers[3])<<8
	headers = headers[4:]
	if n+v > len(headers) {
		return nil, nil, nil, ErrTruncated
	}
	return headers[:n:n], headers[n : n+v : n+v], headers[n+v:], nil
}

// Header returns the value of the first header with the given name, compared
// without regard to ASCII case.
func (r *Record) Header(name string) (value []byte, ok bool) {
	for h := r.Headers; len(h) > 0; {
		n, v, rest, err := NextHeader(h)
		if err != nil {
			return nil, false
		}
		if equalFold(n, name) {
			return v, true
		}
		h = rest
	}
	return nil, false
}

func equalFold(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func align8(n int) int { return (n + 7) &^ 7 }

func load32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func load64(b []byte) uint64 { return uint64(load32(b)) | uint64(load32(b[4:]))<<32 }

func append32(dst []byte, v uint32) []byte {
	return append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

func append64(dst []byte, v uint64) []byte {
	return append32(append32(dst, uint32(v)), uint32(v>>32))
}

// AppendName appends the name of a field to a declaration: {u16 length, name}*.
func AppendName(dst []byte, name string) []byte {
	return append(append(dst, byte(len(name)), byte(len(name)>>8)), name...)
}

// NextName returns the first name of a declaration and what follows it.
func NextName(names []byte) (name, rest []byte, err error) {
	if len(names) < 2 {
		return nil, nil, ErrTruncated
	}
	n := int(names[0]) | int(names[1])<<8
	if names = names[2:]; n > len(names) {
		return nil, nil, ErrTruncated
	}
	return names[:n:n], names[n:], nil
}
