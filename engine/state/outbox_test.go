package state

import (
	"errors"
	"reflect"
	"testing"
)

// FuzzOutboxRow reads rows of any bytes: they are refused as damaged, or mean what is written
// for them.
func FuzzOutboxRow(f *testing.F) {
	whole := OutboxRow{Number: 7, Lineage: "ab", Emit: Emit{Cause: 5, Index: 2, Subject: "out.x", Headers: []byte{1}, Data: []byte("data")}}
	f.Add(whole.Write().Value)
	f.Add((&OutboxRow{}).Write().Value)
	f.Add([]byte{outboxVersion})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decodeOutbox(OutboxKey(7), value)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again := r.Write(); string(again.Value) != string(value) || again.Key != string(OutboxKey(7)) {
			t.Fatalf("%x becomes %x", value, again.Value)
		}
	})
}

// A row is read as it was written.
func TestOutboxRow(t *testing.T) {
	want := OutboxRow{Number: 1 << 40, Lineage: "0123456789ab", Emit: Emit{Cause: 1 << 50, Index: 70_000, Subject: "out.x", Headers: []byte("h"), Data: []byte("data")}}
	w := want.Write()
	got, err := decodeOutbox([]byte(w.Key), w.Value)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
}
