package conformance

import (
	"bytes"
	"fmt"
	"slices"

	"gnomon/engine/testdriver"
	"gnomon/sdk/abi"
)

const (
	shaped     = 120       // events that others of unusual shapes are made of
	largeEvent = 70 << 10  // bytes, more than the first buffer of most guests
	mostEvent  = 900 << 10 // bytes: nearly the most that a server takes unless configured
)

// shapesOf are the first events with others among them that are made of them, but of those that fail,
// and have every shape that the layout allows; and which of them have, by sequence.
func shapesOf(given *testdriver.Events, failed map[uint64]bool) (*testdriver.Events, map[uint64]string) {
	all, odd := testdriver.NewEvents(nil), map[uint64]string{}
	sequence := uint64(0)
	for i := range min(given.Len(), shaped) {
		r := given.Record(i)
		fails := failed[r.Sequence]
		sequence++
		r.Sequence = sequence
		all.Add(r, 0)
		if fails {
			continue
		}
		what, other := reshaped(i, r)
		if i == shaped/2 || i == given.Len()-1 {
			what, other = "data of nearly 1 MiB", r
			other.Data = enlarged(r.Data, mostEvent)
		}
		sequence += 1000 // a gap
		other.Sequence = sequence
		odd[sequence] = what
		all.Add(other, 0)
		if i%5 == 0 { // another record of the same event, as an upcaster makes
			all.Add(other, 0)
		}
	}
	return all, odd
}

// reshaped is an event with something unusual about it.
func reshaped(i int, r abi.Record) (what string, _ abi.Record) {
	switch i % 10 {
	case 0:
		what, r.Headers = "no headers", nil
	case 1:
		what, r.Data = "no data", nil
	case 2:
		what, r.Headers = "many headers, with empty values and several of one name", manyHeaders(r.Headers)
	case 3:
		what, r.Data = fmt.Sprintf("data of %d bytes", largeEvent), enlarged(r.Data, largeEvent)
	case 4:
		what, r.Key = "an empty key", nil
	case 5:
		what, r.Data = "data that is no UTF-8", []byte("\x00\xff{\xfe\"")
	case 6:
		what, r.TimeNs = "a time before 1970", -1
	case 7:
		what, r.Subject = "a subject of one token", []byte("x")
	case 8:
		what, r.Data = "data that is a JSON array", []byte(`[[],{"a":null}]`)
	default:
		what, r.Headers, r.Data, r.Key = "a subject and nothing else", nil, nil, nil
	}
	return what, r
}

// manyHeaders are headers with others among them, in order.
func manyHeaders(headers []byte) []byte {
	type header struct{ name, value string }
	var list []header
	for len(headers) > 0 {
		name, value, rest, err := abi.NextHeader(headers)
		if err != nil {
			break
		}
		list = append(list, header{string(name), string(value)})
		headers = rest
	}
	for i := range 60 {
		list = append(list, header{fmt.Sprintf("x-%02d", i/2), fmt.Sprintf("%.*s", i%3, "vv")})
	}
	list = append(list, header{"a", ""}, header{"zz", string(bytes.Repeat([]byte("v"), 3000))})
	slices.SortStableFunc(list, func(a, b header) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	var out []byte
	for _, h := range list {
		out, _ = abi.AppendHeader(out, h.name, h.value)
	}
	return out
}

// enlarged says the same in more bytes where it is a JSON object, and more otherwise.
func enlarged(data []byte, size int) []byte {
	blanks := bytes.Repeat([]byte(" "), max(0, size-len(data)))
	if len(data) > 0 && data[0] == '{' {
		return slices.Concat(data[:1], blanks, data[1:])
	}
	return slices.Concat(data, blanks)
}
