package jsonfields

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"gnomon/sdk/abi"
)

// batch lays events with the given data out, after headers and subjects of all sizes.
func batch(data ...[]byte) (b []byte) {
	for i, d := range data {
		r := abi.Record{Sequence: uint64(i + 1), Subject: bytes.Repeat([]byte("s"), i%9), Data: d, Key: []byte("key")}
		r.Headers, _ = abi.AppendHeader(nil, "name", fmt.Sprint(i))
		b = r.Append(b)
	}
	return b
}

// requireSame holds every cell of a table against what Read says of the same event.
func requireSame(t *testing.T, names []string, data ...[]byte) {
	t.Helper()
	b := batch(data...)
	table, err := NewReader(names...).AppendTable([]byte("before"), b)
	if err != nil {
		t.Fatal(err)
	}
	table = table[len("before"):]
	r := NewReader(names...)
	for event, d := range data {
		want, bad := r.Read(d)
		for i := range names {
			got, err := Cell(table, b, event, len(names), i)
			if bad != nil {
				if err == nil || err.Error() != bad.Error() {
					t.Errorf("%q: error %v, want %v", d, err, bad)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%q: %v", d, err)
			}
			n, ok := got.Int()
			wantN, wantOK := want[i].Int()
			text, is := got.Text()
			wantText, wantIs := want[i].Text()
			if got.Kind() != want[i].Kind() || !bytes.Equal(got.Raw(), want[i].Raw()) || n != wantN || ok != wantOK || !bytes.Equal(text, wantText) || is != wantIs {
				t.Errorf("%q, %s: cell %+v, Read %+v", d, names[i], got, want[i])
			}
		}
	}
}

// A table says of each event what reading it by itself says.
func TestTable(t *testing.T) {
	names := []string{"s", "n", "o", "gone"}
	requireSame(t, names)
	requireSame(t, names, []byte(`{}`), []byte(`{"s":"text","n":-120,"o":{"s":1}}`), nil, []byte(`{"s":"a\u00e9\n","n":1.5e3,"o":[1,2]}`),
		[]byte(`[1]`), []byte(`{"s":null,"n":true,"o":""}`), []byte(`{"s":"é","n":123456789012345678901}`), []byte(`{"s":`))
	requireSame(t, nil, []byte(`{"s":1}`))
}

// A table that is cut off, or is of another batch, is an error.
func TestForeignTable(t *testing.T) {
	b := batch([]byte(`{"a":"text"}`), []byte(`{"a":"\n"}`), []byte(`no`))
	table, err := NewReader("a").AppendTable(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	for n := range table {
		for event := range 3 {
			_, _ = Cell(table[:n], b, event, 1, 0) // must not panic
		}
	}
	if _, err := Cell(table, b[:40], 0, 1, 0); err == nil {
		t.Error("a shorter batch: no error")
	}
	if _, err := Cell(table, b, 3, 1, 0); err == nil {
		t.Error("an event beyond the batch: no error")
	}
	if _, err := NewReader("a").AppendTable(nil, slices.Clone(b[:50])); err == nil {
		t.Error("half a batch: no error")
	}
}

// Whatever the data, the table says what Read says.
func FuzzTable(f *testing.F) {
	f.Add([]byte(`{"s":"a","n":1}`), []byte(`{"n":"\u0041"}`))
	f.Add([]byte(`{`), []byte(`{"s":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, a, b []byte) { requireSame(t, []string{"s", "n"}, a, b, a) })
}
