package jsonfields

import (
	"encoding/json"
	"fmt"
	"testing"

	"gnomon/sdk/abi"
)

// benchEvent is an event of about 200 bytes, two fields of which are wanted.
func benchEvent(i int) []byte {
	return fmt.Appendf(nil, `{"id":"%016d","account":"%06d","amount":%d,"currency":"EUR","tags":["a","b"],"at":{"branch":"north","desk":7},"note":"%064d"}`, i, i%997, i%100_000, i)
}

// paid is what encoding/json decodes such an event into.
type paid struct {
	Account string `json:"account"`
	Amount  int64  `json:"amount"`
}

// Two fields of one event, beside what encoding/json takes to find them: in a struct of
// just these, and in a map of everything.
func BenchmarkFields(b *testing.B) {
	data := benchEvent(4711)
	for _, bb := range []struct {
		name string
		read func() (account string, amount int64)
	}{
		{"jsonfields", readWith(b, NewReader("account", "amount"), data)},
		{"encoding-json-struct", func() (string, int64) {
			var p paid
			if err := json.Unmarshal(data, &p); err != nil {
				b.Fatal(err)
			}
			return p.Account, p.Amount
		}},
		{"encoding-json-map", func() (string, int64) {
			var m map[string]any
			if err := json.Unmarshal(data, &m); err != nil {
				b.Fatal(err)
			}
			return m["account"].(string), int64(m["amount"].(float64))
		}},
	} {
		b.Run("by="+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if account, amount := bb.read(); account != "000723" || amount != 4711 {
					b.Fatalf("account %q, amount %d", account, amount)
				}
			}
		})
	}
}

func readWith(b *testing.B, r *Reader, data []byte) func() (string, int64) {
	return func() (string, int64) {
		values, err := r.Read(data)
		if err != nil {
			b.Fatal(err)
		}
		account, _ := values[0].Text()
		amount, _ := values[1].Int()
		return string(account), amount
	}
}

// The table of a batch, as the host makes it for projection_v1_json and a guest reads it.
func BenchmarkTable(b *testing.B) {
	const events = 1024
	var batch []byte
	for i := range events {
		e := abi.Record{Sequence: uint64(i + 1), Subject: []byte("events.account"), Data: benchEvent(i)}
		batch = e.Append(batch)
	}
	for _, names := range [][]string{{"account"}, {"account", "amount", "currency", "note"}} {
		b.Run(fmt.Sprintf("fields=%d", len(names)), func(b *testing.B) {
			r := NewReader(names...)
			var table []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				var err error
				if table, err = r.AppendTable(table[:0], batch); err != nil {
					b.Fatal(err)
				}
			}
			if len(table) != events*len(names)*abi.CellSize {
				b.Fatalf("the table has %d bytes", len(table))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
		})
	}
}
