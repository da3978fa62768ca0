package abi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The layout of a record is the one that docs/ABI.md prints, byte for byte.
func TestLayout(t *testing.T) {
	headers, ok := AppendHeader(nil, "ce-id", "7")
	if !ok {
		t.Fatal("header refused")
	}
	r := Record{Sequence: 0x0102030405060708, TimeNs: -2, Subject: []byte("a.b"), Headers: headers, Data: []byte("{ }"), Key: []byte("k")}
	got := r.Append([]byte("before: "))
	want := "before: " +
		"\x40\x00\x00\x00" + "\x00\x00\x00\x00" + // size 64, flags
		"\x08\x07\x06\x05\x04\x03\x02\x01" + // sequence
		"\xfe\xff\xff\xff\xff\xff\xff\xff" + // time
		"\x03\x00\x00\x00" + "\x0a\x00\x00\x00" + "\x03\x00\x00\x00" + "\x01\x00\x00\x00" + // lengths
		"a.b" + "\x05\x00\x01\x00ce-id7" + "{ }" + "k" + strings.Repeat("\x00", 7)
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if r.Size() != 64 || r.Size() != RecordSize(3, 10, 3, 1) {
		t.Errorf("size %d", r.Size())
	}
	if off := binary.LittleEndian.Uint32(got[8+OffKeyLen:]); off != 1 {
		t.Errorf("length of the key at its offset: %d", off)
	}
}

// A batch is read as it was written, whatever its records hold.
func TestBatchRoundTrip(t *testing.T) {
	var batch []byte
	for i := range 50 {
		r := Record{Sequence: uint64(i), TimeNs: int64(i) * 1e9, Subject: bytes.Repeat([]byte("s"), i%7), Data: bytes.Repeat([]byte("d"), i*i), Key: bytes.Repeat([]byte("k"), i%3)}
		r.Headers, _ = AppendHeader(nil, strings.Repeat("n", i%5), strings.Repeat("v", i%11))
		batch = r.Append(batch)
	}
	for i := range 50 {
		r, rest, err := Next(batch)
		if err != nil || r.Sequence != uint64(i) || len(r.Subject) != i%7 || len(r.Data) != i*i || len(r.Key) != i%3 {
			t.Fatalf("record %d: %+v, %v", i, r, err)
		}
		if n, v, more, err := NextHeader(r.Headers); err != nil || len(n) != i%5 || len(v) != i%11 || len(more) != 0 {
			t.Fatalf("header of record %d: %q %q %q, %v", i, n, v, more, err)
		}
		batch = rest
	}
	if _, _, err := Next(batch); !errors.Is(err, ErrTruncated) {
		t.Errorf("at the end: %v", err)
	}
}

// Headers are found without regard to case, the first of a name; ones that are too
// long for their encoding are left out.
func TestHeaders(t *testing.T) {
	var r Record
	for _, h := range [][2]string{{"Nats-Msg-Id", "1"}, {"empty", ""}, {"nats-msg-id", "2"}} {
		r.Headers, _ = AppendHeader(r.Headers, h[0], h[1])
	}
	for name, want := range map[string]string{"nats-msg-id": "1", "NATS-MSG-ID": "1", "Empty": ""} {
		if v, ok := r.Header(name); !ok || string(v) != want {
			t.Errorf("%s: %q, %v", name, v, ok)
		}
	}
	if v, ok := r.Header("absent"); ok {
		t.Errorf("absent: %q", v)
	}
	for _, h := range [][2]string{{strings.Repeat("n", 1<<16), "v"}, {"n", strings.Repeat("v", 1<<16)}} {
		if got, ok := AppendHeader([]byte("x"), h[0], h[1]); ok || string(got) != "x" {
			t.Errorf("a header of %d+%d bytes: %v, %d bytes", len(h[0]), len(h[1]), ok, len(got))
		}
	}
	if got, ok := AppendHeader(nil, strings.Repeat("n", 1<<16-1), ""); !ok || len(got) != 4+1<<16-1 {
		t.Errorf("the longest name: %v, %d bytes", ok, len(got))
	}
}

// A record that claims more than there is, or less than it holds, is refused.
func TestTruncated(t *testing.T) {
	r := Record{Subject: []byte("s"), Headers: nil, Data: []byte("data")}
	whole := r.Append(nil)
	for n := range len(whole) {
		if _, _, err := Next(whole[:n]); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	for _, off := range []int{OffSize, OffSubjectLen, OffHeadersLen, OffDataLen, OffKeyLen} {
		for _, v := range []uint32{1, 7, 1 << 20, 1<<32 - 1} {
			b := bytes.Clone(whole)
			if old := binary.LittleEndian.Uint32(b[off:]); off != OffSize && v <= old+3 {
				continue // fits into the padding
			}
			binary.LittleEndian.PutUint32(b[off:], v)
			if _, _, err := Next(b); !errors.Is(err, ErrTruncated) {
				t.Errorf("%d at offset %d: %v", v, off, err)
			}
		}
	}
}

// Whatever bytes a batch has, reading it ends, stays within it, and yields records
// that write themselves as they were.
func FuzzBatch(f *testing.F) {
	headers, _ := AppendHeader(nil, "name", "value")
	r := Record{Sequence: 1, TimeNs: 2, Subject: []byte("a.b"), Headers: headers, Data: []byte("{}"), Key: []byte("k")}
	f.Add(r.Append(nil))
	f.Add(r.Append(r.Append(nil)))
	f.Add(r.Append(nil)[:41])
	f.Fuzz(func(t *testing.T, batch []byte) {
		for rest := batch; len(rest) > 0; {
			e, after, err := Next(rest)
			if err != nil {
				return
			}
			if len(after) >= len(rest) || e.Size() > len(rest)-len(after) {
				t.Fatalf("%d bytes are left of %d after a record of %d", len(after), len(rest), e.Size())
			}
			back, _, err := Next(e.Append(nil))
			if err != nil || fmt.Sprintf("%+v", back) != fmt.Sprintf("%+v", e) {
				t.Fatalf("%+v came back as %+v, %v", e, back, err)
			}
			for h := e.Headers; len(h) > 0; {
				_, _, more, err := NextHeader(h)
				if err != nil {
					break
				}
				if len(more) >= len(h) {
					t.Fatal("a header of no bytes")
				}
				h = more
			}
			e.Header("name")
			rest = after
		}
	})
}
