package jsonfields

import (
	"encoding/binary"
	"errors"

	"gnomon/sdk/abi"
)

// A table has a row for each event of a batch and a cell for each field, in their
// order, and behind them the texts of strings that are not in the batch as they read.
//
//	offset  0  u32 kind         Absent … Object; NotJSON in all cells of an event whose data is no JSON object
//	        4  u32 flags        1: the number is whole, and in integer
//	        8  u32 raw offset   of the value's JSON in the batch
//	       12  u32 raw length
//	       16  u32 text offset  in the table: what a string reads, when that is not what stands between its quotes; of NotJSON: why
//	       20  u32 text length
//	       24  i64 integer
const cellSize = abi.CellSize

// NotJSON is the kind of the cells of an event whose data is no JSON object.
const NotJSON Kind = 255

// flagInteger is set for a whole number of at most 18 digits.
const flagInteger = 1

// AppendTable appends the table of a batch, which is well formed.
func (r *Reader) AppendTable(dst, batch []byte) ([]byte, error) {
	start := len(dst)
	n, err := count(batch)
	if err != nil {
		return dst, err
	}
	dst = append(dst, make([]byte, n*len(r.names)*cellSize)...)
	cell := start
	for rest := batch; len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil {
			return dst, err
		}
		data := len(batch) - len(rest) + abi.HeaderSize + len(e.Subject) + len(e.Headers)
		rest = after
		values, err := r.Read(e.Data)
		if err != nil {
			dst = r.refuse(dst, start, cell, err)
			cell += len(r.names) * cellSize
			continue
		}
		for i := range values {
			dst = values[i].put(dst, start, cell, data)
			cell += cellSize
		}
	}
	return dst, nil
}

func count(batch []byte) (n int, err error) {
	for len(batch) > 0 {
		if _, batch, err = abi.Next(batch); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// refuse fills the cells of an event whose data is no JSON object.
func (r *Reader) refuse(dst []byte, start, cell int, err error) []byte {
	text := len(dst) - start
	dst = append(dst, err.Error()...)
	for i := range r.names {
		c := dst[cell+i*cellSize:]
		binary.LittleEndian.PutUint32(c, uint32(NotJSON))
		binary.LittleEndian.PutUint32(c[16:], uint32(text))
		binary.LittleEndian.PutUint32(c[20:], uint32(len(dst)-start-text))
	}
	return dst
}

// put fills a cell. Data is where the event's data begins in the batch.
func (v *Value) put(dst []byte, start, cell, data int) []byte {
	c := dst[cell : cell+cellSize]
	binary.LittleEndian.PutUint32(c, uint32(v.kind))
	if v.kind == Absent {
		return dst
	}
	binary.LittleEndian.PutUint32(c[8:], uint32(data+v.at))
	binary.LittleEndian.PutUint32(c[12:], uint32(len(v.raw)))
	if n, ok := v.Int(); ok {
		binary.LittleEndian.PutUint32(c[4:], flagInteger)
		binary.LittleEndian.PutUint64(c[24:], uint64(n))
	}
	if v.text == nil {
		return dst
	}
	binary.LittleEndian.PutUint32(c[16:], uint32(len(dst)-start))
	binary.LittleEndian.PutUint32(c[20:], uint32(len(v.text)))
	return append(dst, v.text...)
}

// errTable says that a table has not what was asked for: it is not that of the batch.
var errTable = errors.New("table of fields is cut off")

// Cell returns the value in a cell of a table: that of field i, of n, of an event of
// the batch by its index. Of an event whose data is no JSON object it returns why.
func Cell(table, batch []byte, event, n, i int) (v Value, err error) {
	at := (event*n + i) * cellSize
	if at < 0 || at+cellSize > len(table) {
		return v, errTable
	}
	c := table[at : at+cellSize]
	kind := Kind(binary.LittleEndian.Uint32(c))
	raw, rawLen := binary.LittleEndian.Uint32(c[8:]), binary.LittleEndian.Uint32(c[12:])
	text, textLen := binary.LittleEndian.Uint32(c[16:]), binary.LittleEndian.Uint32(c[20:])
	if uint64(raw)+uint64(rawLen) > uint64(len(batch)) || uint64(text)+uint64(textLen) > uint64(len(table)) {
		return v, errTable
	}
	switch {
	case kind == NotJSON:
		return v, errors.New(string(table[text : text+textLen]))
	case kind == Absent:
		return v, nil
	}
	v.kind, v.raw = kind, batch[raw:raw+rawLen]
	if text > 0 {
		v.text = table[text : text+textLen : text+textLen]
	}
	return v, nil
}
