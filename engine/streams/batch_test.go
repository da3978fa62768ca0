package streams

import (
	"strings"
	"testing"
)

// batchOf is a batch of what a script says: a number is an event, one with an m a
// marker.
func batchOf(script string) *Batch {
	b := &Batch{}
	for _, word := range strings.Fields(script) {
		number, marker := strings.CutSuffix(word, "m")
		sequence := uint64(0)
		for _, digit := range number {
			sequence = 10*sequence + uint64(digit-'0')
		}
		if marker {
			b.Pass(sequence)
		} else {
			b.AppendParts(sequence, 0, "s", nil, nil)
		}
	}
	return b
}

// A marker is not missing, wherever it stands in a batch; what was deleted beside it is.
func TestMissing(t *testing.T) {
	for _, tt := range []struct {
		batch         string
		after, want   uint64
		absent, marks uint64
	}{
		{"11 12 13", 10, 0, 0, 0},
		{"12 13", 10, 11, 1, 0},
		{"11 13 15", 10, 12, 2, 0},
		{"11m 12", 10, 0, 0, 1},
		{"11m 12m 13 14m 15", 10, 0, 0, 3},
		{"11m", 10, 0, 0, 1},
		{"11m 12m", 10, 0, 0, 2},
		{"12m 13", 10, 11, 1, 1},
		{"12m", 10, 11, 1, 1},
		{"11m 13m 14", 10, 11, 1, 2},
		{"11m 13", 10, 11, 1, 1},
		{"11 13m 14", 10, 12, 1, 1},
		{"11 12m 14", 10, 13, 1, 1},
		{"11m 12 14m", 10, 13, 1, 2},
		{"13", 12, 0, 0, 0},
		{"11m 12m 14", 12, 13, 0, 1}, // taken in part: what stands before is counted too
	} {
		b := batchOf(tt.batch)
		if got := b.Missing(tt.after); got != tt.want {
			t.Errorf("%s after %d: %d is missing, want %d", tt.batch, tt.after, got, tt.want)
		}
		if got := b.Passed(tt.after); got != (Passed{tt.absent, tt.marks}) {
			t.Errorf("%s after %d passes over %+v, want %d and %d", tt.batch, tt.after, got, tt.absent, tt.marks)
		}
		if b.Reset(); b.Markers != 0 || b.lead != 0 || b.Missing(0) != 0 {
			t.Errorf("%s: after Reset it is %+v", tt.batch, b)
		}
	}
}

// A stream lacks what is missing between its first sequence and its last, and nothing
// before it was asked about.
func TestAbsentOfStream(t *testing.T) {
	for _, tt := range []struct {
		info Info
		want uint64
	}{
		{Info{}, 0},
		{Info{First: 1}, 0},
		{Info{First: 8, Last: 7}, 0},
		{Info{First: 3, Last: 7, Events: 5}, 0},
		{Info{First: 3, Last: 7, Events: 2}, 3},
	} {
		if got := tt.info.Absent(); got != tt.want {
			t.Errorf("%+v lacks %d, want %d", tt.info, got, tt.want)
		}
	}
}

// Filters that match no subject of a stream are named, unless its events may have other
// subjects than the stream's own.
func TestOutside(t *testing.T) {
	for _, tt := range []struct {
		info    Info
		filters string
		want    string
	}{
		{Info{Subjects: []string{"a.>", "b.*"}}, "", ""},
		{Info{Subjects: []string{"a.>", "b.*"}}, "a.x b.y", ""},
		{Info{Subjects: []string{"a.>", "b.*"}}, ">", ""},
		{Info{Subjects: []string{"a.>", "b.*"}}, "a.x b.y.z c.>", "b.y.z c.>"},
		{Info{Subjects: []string{"a.>"}, Transformed: true}, "c.>", ""},
		{Info{Subjects: []string{"a.>"}, Sources: []string{"T"}}, "c.>", ""},
		{Info{Mirror: "T"}, "c.>", ""},
		{Info{}, "c.>", ""},
	} {
		if got := strings.Join(tt.info.outside(strings.Fields(tt.filters)), " "); got != tt.want {
			t.Errorf("%+v has not %q, want %q", tt.info, got, tt.want)
		}
	}
}
