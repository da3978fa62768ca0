package importer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/importer"
	"gnomon/internal/testutil/natstest"
)

// rig is a server with the stream S, which takes every subject below s.
type rig struct {
	t  *testing.T
	js jetstream.JetStream
}

func newRig(t *testing.T, opts ...natstest.Option) *rig {
	t.Helper()
	r := &rig{t, natstest.Start(t, opts...).JetStream(t)}
	r.create(jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	return r
}

func (r *rig) create(c jetstream.StreamConfig) {
	r.t.Helper()
	if _, err := r.js.CreateStream(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) sink(stream string) *importer.Stream {
	r.t.Helper()
	s, err := importer.OpenStream(r.t.Context(), r.js, stream)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// load imports a text into S, with a sink of its own.
func (r *rig) load(text string) importer.Counts {
	r.t.Helper()
	s := r.sink("S")
	if err := importer.Import(r.t.Context(), "f", strings.NewReader(text), s, importer.Options{}); err != nil {
		r.t.Fatal(err)
	}
	return s.Counts()
}

// stored lists the data of everything in S.
func (r *rig) stored() (all []string) {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), "S")
	if err != nil {
		r.t.Fatal(err)
	}
	for seq := s.CachedInfo().State.FirstSeq; seq > 0 && seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(r.t.Context(), seq)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, string(m.Data))
	}
	return all
}

// lines are events with the numbers from first to last as ids and data.
func lines(first, last int) string {
	var b strings.Builder
	for n := first; n <= last; n++ {
		fmt.Fprintf(&b, `{"subject":"s.n","id":"id-%d","type":"T","time":"2026-01-31T12:00:00Z","data":%d}`+"\n", n, n)
	}
	return b.String()
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func checkStored(t *testing.T, r *rig, last int) {
	t.Helper()
	all := r.stored()
	if len(all) != last {
		t.Fatalf("%d events are stored, not %d", len(all), last)
	}
	for i, data := range all {
		if data != fmt.Sprint(i+1) {
			t.Fatalf("event %d is %q", i+1, data)
		}
	}
}

// A line is stored as one message: its subject, its data byte for byte, and its
// attributes as headers.
func TestImportedMessage(t *testing.T) {
	r := newRig(t)
	counts := r.load(`{"subject":"s.a.b","id":"ö 1","type":"T","time":"2026-01-31T12:00:00.5+02:00","source":"src","data":{ "n":12345678901234567890, "f":1.10 }}`)
	if counts != (importer.Counts{Imported: 1, Last: 1}) {
		t.Errorf("counts are %+v", counts)
	}
	s, err := r.js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "s.a.b" || string(m.Data) != `{ "n":12345678901234567890, "f":1.10 }` {
		t.Errorf("subject %s, data %s", m.Subject, m.Data)
	}
	for name, want := range map[string]string{
		"Nats-Msg-Id": "ö 1", "ce-id": "ö 1", "ce-type": "T", "ce-time": "2026-01-31T12:00:00.5+02:00", "ce-source": "src", "ce-specversion": "1.0",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

// What an import leaves in the stream does not depend on how the file is written.
func TestForms(t *testing.T) {
	three := lines(1, 3)
	for name, text := range map[string]string{
		"plain":                  three,
		"gzip":                   zipped(three),
		"gzip in two parts":      zipped(lines(1, 1)) + zipped(lines(2, 3)),
		"no final newline":       strings.TrimSuffix(three, "\n"),
		"gzip, no final newline": zipped(strings.TrimSuffix(three, "\n")),
		"CR LF":                  strings.ReplaceAll(three, "\n", "\r\n"),
		"empty lines":            "\n\n" + strings.ReplaceAll(three, "\n", "\n\r\n \t\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if counts := r.load(text); counts != (importer.Counts{Imported: 3, Last: 3}) {
				t.Errorf("counts are %+v", counts)
			}
			checkStored(t, r, 3)
		})
	}
	t.Run("nothing", func(t *testing.T) {
		r := newRig(t)
		for _, text := range []string{"", "\n", zipped("")} {
			if counts := r.load(text); counts != (importer.Counts{}) {
				t.Errorf("%q: counts are %+v", text, counts)
			}
		}
	})
}

// An import that is repeated stores nothing twice, and files that overlap are stored
// once.
func TestRepeated(t *testing.T) {
	r := newRig(t)
	steps := []struct {
		text string
		want importer.Counts
	}{
		{lines(1, 50), importer.Counts{Imported: 50, Last: 50}},
		{lines(1, 50), importer.Counts{Duplicates: 50}},
		{zipped(lines(40, 60)), importer.Counts{Imported: 10, Duplicates: 11, Last: 60}},
		{lines(61, 61) + lines(61, 61), importer.Counts{Imported: 1, Duplicates: 1, Last: 61}},
	}
	for i, step := range steps {
		if counts := r.load(step.text); counts != step.want {
			t.Errorf("import %d: counts are %+v, want %+v", i, counts, step.want)
		}
	}
	checkStored(t, r, 61)
}

// An import that is repeated stores nothing twice also after the server has forgotten
// the ids.
func TestRepeatedLater(t *testing.T) {
	r := newRig(t)
	if _, err := r.js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Duplicates: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	r.load(lines(1, 20))
	for stored := 0; stored < 2; { // once, and again when it is forgotten, with all before
		ack, err := r.js.Publish(t.Context(), "s.n", nil, jetstream.WithMsgID("canary"))
		if err != nil {
			t.Fatal(err)
		}
		if !ack.Duplicate {
			stored++
		}
	}
	if counts := r.load(lines(1, 20)); counts != (importer.Counts{Duplicates: 20}) {
		t.Errorf("counts are %+v", counts)
	}
}

// Several files go through one sink, whose counts add up.
func TestSeveralFiles(t *testing.T) {
	r := newRig(t)
	s := r.sink("S")
	for i, text := range []string{lines(1, 10), zipped(lines(5, 20)), lines(21, 30)} {
		if err := importer.Import(t.Context(), fmt.Sprint(i), strings.NewReader(text), s, importer.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if counts := s.Counts(); counts != (importer.Counts{Imported: 30, Duplicates: 6, Last: 30}) {
		t.Errorf("counts are %+v", counts)
	}
	checkStored(t, r, 30)
}

// An import that is interrupted has stored a beginning of the file, and is completed
// by being repeated.
func TestInterrupted(t *testing.T) {
	const events = 3000 // more than are on their way at once
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, n := r.sink("S"), 0
	err := importer.Import(ctx, "f", strings.NewReader(lines(1, events)), s, importer.Options{Progress: func(int64) {
		if n++; n == events/2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("line %d", events/2+1)) {
		t.Errorf("Import: %v", err)
	}
	first := s.Counts()
	if first != (importer.Counts{Imported: events / 2, Last: events / 2}) {
		t.Errorf("counts are %+v", first)
	}
	if counts := r.load(lines(1, events)); counts != (importer.Counts{Imported: events / 2, Duplicates: events / 2, Last: events}) {
		t.Errorf("when repeated, counts are %+v", counts)
	}
	checkStored(t, r, events)
}

// What is in the stream already counts by its id, whatever else it looks like: the
// ids are read also of events that a client takes for messages of the server.
func TestIDsOfOddEvents(t *testing.T) {
	for _, status := range []string{"100", "400", "404", "408"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			for n := range 3 {
				h := nats.Header{"Nats-Msg-Id": {fmt.Sprint("id-", n+1)}}
				if n > 0 {
					h["Status"] = []string{status}
				}
				if _, err := r.js.PublishMsg(t.Context(), &nats.Msg{Subject: "s.n", Header: h, Data: fmt.Append(nil, n+1)}); err != nil {
					t.Fatal(err)
				}
			}
			if counts := r.load(lines(1, 4)); counts != (importer.Counts{Imported: 1, Duplicates: 3, Last: 4}) {
				t.Errorf("counts are %+v", counts)
			}
			checkStored(t, r, 4)
		})
	}
}

// Progress counts the bytes of the file as they are on disk, up to its end.
func TestProgress(t *testing.T) {
	r := newRig(t)
	for _, text := range []string{lines(1, 10), zipped(lines(1, 10))} {
		var last int64
		err := importer.Import(t.Context(), "f", strings.NewReader(text), r.sink("S"), importer.Options{Progress: func(n int64) {
			if n < last {
				t.Errorf("%d bytes after %d", n, last)
			}
			last = n
		}})
		if err != nil || last != int64(len(text)) {
			t.Errorf("%d of %d bytes, %v", last, len(text), err)
		}
	}
}

// A stream that does not exist is named.
func TestNoStream(t *testing.T) {
	r := newRig(t)
	if _, err := importer.OpenStream(t.Context(), r.js, "NONE"); err == nil || !strings.Contains(err.Error(), "stream not found: NONE: declare") {
		t.Errorf("OpenStream: %v", err)
	}
}
