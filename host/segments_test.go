package host

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
)

// at is a segment of a test.
func at(offset int64, data string) segment { return segment{offset, []byte(data)} }

// joined returns the segments of a section after they were joined.
func joined(t *testing.T, body []byte) []segment {
	t.Helper()
	all, ok := plainSegments(joinedSegments(body))
	if !ok {
		t.Fatalf("% x became something that is not well-formed", body)
	}
	return all
}

// Segments with little between them become one, in whatever order they come; those that
// overlap stay in theirs.
func TestJoinedSegments(t *testing.T) {
	for _, tt := range []struct {
		name        string
		given, want []segment
	}{
		{"none", nil, []segment{}},
		{"one", []segment{at(7, "a")}, []segment{at(7, "a")}},
		{"adjacent", []segment{at(7, "a"), at(8, "b")}, []segment{at(7, "ab")}},
		{"with gaps", []segment{at(7, "a"), at(10, "b"), at(12, "c")}, []segment{at(7, "a\x00\x00b\x00c")}},
		{"empty ones", []segment{at(7, "a"), at(7, ""), at(9, "")}, []segment{at(7, "a\x00")}},
		{"too far", []segment{at(7, "a"), at(1000, "b")}, []segment{at(7, "a"), at(1000, "b")}},
		{"that overlap", []segment{at(7, "abc"), at(8, "x")}, []segment{at(7, "abc"), at(8, "x")}},
		{"that overlap, later", []segment{at(9, "x"), at(0, "a"), at(7, "abc")}, []segment{at(9, "x"), at(0, "a"), at(7, "abc")}},
		{"that descend", []segment{at(1000, "c"), at(8, "b"), at(7, "a")}, []segment{at(7, "ab"), at(1000, "c")}},
		{"above 2 GiB", []segment{at(1<<31, "far"), at(1<<31+3, "!")}, []segment{at(1<<31, "far!")}},
		{"at both ends of the addresses", []segment{at(1<<32-1, "a"), at(0, "b")}, []segment{at(0, "b"), at(1<<32-1, "a")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := joined(t, dataSection(tt.given)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// A section with a segment that is passive, of another memory or at a place that only the
// instance knows is left as it is, and so is one that is not well-formed, or has too many.
func TestSegmentsLeftAlone(t *testing.T) {
	for _, body := range [][]byte{
		{2, 0, opI32Const, 1, opEnd, 1, 'a', 1, 1, 'b'},
		{2, 0, opI32Const, 1, opEnd, 1, 'a', 2, 0, opI32Const, 2, opEnd, 1, 'b'},
		{2, 0, opI32Const, 1, opEnd, 1, 'a', 0, 0x23, 0, opEnd, 1, 'b'},
		{2, 0, opI32Const, 1, opEnd, 1, 'a', 0, opI32Const, 2, opEnd, 2, 'b'},
		{1, 0, opI32Const, 1, opEnd, 1, 'a', 0},
		{},
		dataSection(make([]segment, maxJoined+1)),
	} {
		if got := joinedSegments(body); !bytes.Equal(got, body) {
			t.Errorf("% .100x became % .100x", body, got)
		}
	}
}

// Where code may name a segment, they are left alone.
func TestNamedSegments(t *testing.T) {
	module := func(sections ...byte) []byte { return append([]byte("\x00asm\x01\x00\x00\x00"), sections...) }
	data := dataSection([]segment{at(1, "a"), at(2, "b")})
	plain := append([]byte{sectionData, byte(len(data))}, data...)
	named := append([]byte{sectionDataCount, 1, 2}, plain...)
	if got := forCompiler(module(named...), 0); !bytes.Equal(got, module(named...)) {
		t.Errorf("% x", got)
	}
	if got := forCompiler(module(plain...), 0); len(got) >= len(module(plain...)) {
		t.Errorf("not joined: % x", got)
	}
}

// However segments lie, joined they leave the same memory, are no more than before, and take
// at most twice the room.
func FuzzJoinedSegments(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(seed*13), uint16(maxGap*seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, count uint8, span uint16) {
		given := randomSegments(rand.New(rand.NewPCG(seed, 0)), int(count), int64(span))
		body := dataSection(given)
		got := joined(t, body)
		if room := len(dataSection(got)); len(got) > len(given) || room > 2*len(body) {
			t.Errorf("%d segments in %d bytes became %d in %d", len(given), len(body), len(got), room)
		}
		if !bytes.Equal(memoryOf(got), memoryOf(given)) {
			t.Errorf("%v became %v", given, got)
		}
	})
}

// randomSegments are anywhere within a span, or, as often, apart.
func randomSegments(random *rand.Rand, count int, span int64) (all []segment) {
	apart := random.IntN(2) == 0
	var end int64
	for range count {
		s := segment{random.Int64N(span + 1), bytes.Repeat([]byte{byte(1 + random.IntN(255))}, random.IntN(9))}
		if apart {
			s.offset = end + random.Int64N(maxGap+10)
		}
		all = append(all, s)
		end = s.end()
	}
	if apart {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// memoryOf is what segments leave in memory.
func memoryOf(segments []segment) []byte {
	memory := make([]byte, 1<<17)
	for _, s := range segments {
		copy(memory[s.offset:], s.data)
	}
	return memory
}
