package importer_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/importer"
)

// lineOf is an event of a subject and an id, with data of a size.
func lineOf(subject, id string, dataSize int) string {
	return fmt.Sprintf(`{"subject":%q,"id":%q,"type":"T","time":"2026-01-31T12:00:00Z","data":"%s"}`,
		subject, id, strings.Repeat("d", dataSize-2))
}

// A line that is no event, or one that the stream does not take, is reported with its
// number and the reason, and the others are imported.
func TestBadLines(t *testing.T) {
	r := newRig(t)
	r.create(jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	good := lines(1, 7)
	text := strings.Split(good, "\n")
	file := strings.Join([]string{
		text[0],
		"hello",
		"",
		`{"subject":"s.n","type":"T","time":"2026-01-31T12:00:00Z"}`,
		text[1],
		strings.Replace(text[2], "2026-01-31T12:00:00Z", "yesterday", 1),
		strings.Replace(text[2], "s.n", "s..n", 1),
		strings.Replace(text[2], "s.n", "s.>", 1),
		strings.Replace(text[2], "s.n", "other", 1),
		lineOf("s.n", "large", 1<<20),
		lineOf("s.n", strings.Repeat("i", 40_000), 10),
		text[2],
	}, "\n")
	want := []string{
		"f:2: not an event", `f:4: "id" is missing`, `f:6: time "yesterday"`, "f:7: subject", "f:8: subject",
		`f:9: subject "other" is not one of stream S`, "f:10: event of", "f:11: event with",
	}
	var got []string
	s := r.sink("S")
	err := importer.Import(t.Context(), "f", strings.NewReader(file), s, importer.Options{Bad: func(e *importer.LineError) error {
		got = append(got, e.Error())
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("reported was %q, want %q", got, want)
		}
	}
	if counts := s.Counts(); counts != (importer.Counts{Imported: 3, Last: 3}) {
		t.Errorf("counts are %+v", counts)
	}
	checkStored(t, r, 3)
}

// Without Bad, or when Bad returns an error, the import ends at the line, with
// everything before it stored.
func TestBadLineEnds(t *testing.T) {
	stop := errors.New("enough")
	for name, o := range map[string]importer.Options{
		"no Bad":            {},
		"Bad with an error": {Bad: func(*importer.LineError) error { return stop }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := r.sink("S")
			err := importer.Import(t.Context(), "f", strings.NewReader(lines(1, 5)+"hello\n"+lines(6, 9)), s, o)
			var line *importer.LineError
			if o.Bad == nil && (!errors.As(err, &line) || line.Line != 6 || line.File != "f") || o.Bad != nil && !errors.Is(err, stop) {
				t.Errorf("Import: %v", err)
			}
			if s.Counts() != (importer.Counts{Imported: 5, Last: 5}) {
				t.Errorf("counts are %+v", s.Counts())
			}
			checkStored(t, r, 5)
		})
	}
}

// What is said to be too large is what the server does not take: one byte less is
// stored.
func TestLargestEvent(t *testing.T) {
	r := newRig(t)
	r.create(jetstream.StreamConfig{Name: "SMALL", Subjects: []string{"small"}, MaxMsgSize: 1000})
	tests := []struct {
		name, stream, says string
		line               func(id string, size int) string
		fits, exceeds      int
	}{
		{"event", "S", "max_payload of the server", func(id string, n int) string { return lineOf("s.n", id, n) }, 1<<20 - 1000, 1 << 20},
		{"event of a stream", "SMALL", "max_msg_size of the stream", func(id string, n int) string { return lineOf("small", id, n) }, 10, 1000},
		{"headers", "S", "bytes of headers", func(id string, n int) string { return lineOf("s.n", id+strings.Repeat("i", n), 10) }, 10, 40_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := r.sink(tt.stream)
			for n := 0; tt.exceeds-tt.fits > 1; n++ {
				size := (tt.fits + tt.exceeds) / 2
				err := importer.Import(t.Context(), "f", strings.NewReader(tt.line(fmt.Sprintf("%02d", n), size)), s, importer.Options{})
				if err == nil {
					tt.fits = size
					continue
				}
				tt.exceeds = size
				if !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("with %d bytes: %v", size, err)
				}
			}
			// The server itself draws the line where the importer does.
			for size, fits := range map[int]bool{tt.fits: true, tt.exceeds: false} {
				e, err := importer.Parse([]byte(tt.line("!!", size)))
				if err != nil {
					t.Fatal(err)
				}
				_, err = r.js.PublishMsg(t.Context(), &nats.Msg{Subject: e.Subject, Header: e.Headers(), Data: e.Data}, jetstream.WithExpectStream(tt.stream))
				if (err == nil) != fits {
					t.Errorf("the server says to %d bytes: %v", size, err)
				}
			}
		})
	}
}

// A line beyond the bound ends the import with its number: what follows it cannot be
// told from it. Neither can a file that ends early go on.
func TestUnreadable(t *testing.T) {
	cut := zipped(lines(1, 1000))
	huge := io.MultiReader(strings.NewReader(lines(1, 2)), io.LimitReader(repeat('x'), 97<<20), strings.NewReader("\n"+lines(3, 3)))
	for _, tt := range []struct {
		name, says string
		file       io.Reader
		least      int // events that are stored
	}{
		{"too long a line", "f:3: line of more than", huge, 2},
		{"cut gzip", "unexpected EOF", strings.NewReader(cut[:len(cut)-20]), 1},
		{"broken gzip", "f: ", strings.NewReader("\x1f\x8bjunk that is no gzip"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			s := r.sink("S")
			err := importer.Import(t.Context(), "f", tt.file, s, importer.Options{Bad: func(*importer.LineError) error { return nil }})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Import: %.200v", err)
			}
			if n := s.Counts().Imported; n < tt.least || n != len(r.stored()) {
				t.Errorf("%d events are said to be imported, %d are stored", n, len(r.stored()))
			}
		})
	}
}

// repeat reads as one byte without end.
type repeat byte

func (b repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}
