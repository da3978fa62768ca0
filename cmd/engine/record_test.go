package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/internal/testutil/natstest"
)

// A range is recorded whatever is left of it: events that were deleted, at its ends and at the
// end of the stream, are left out, and what is stored is a line that engine test takes, with
// several values of a header, with no header, and with any bytes.
func TestRecordRanges(t *testing.T) {
	s := natstest.Start(t)
	js := s.JetStream(t)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"log.*"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		m := &natsgo.Msg{Subject: fmt.Sprintf("log.%d", i+1), Data: []byte{byte(i), 0xff}}
		switch i {
		case 1:
			m.Header = natsgo.Header{"X-Trace": {"b", "a", ""}, "traceparent": {"00-é\u2028\x00 "}}
		case 3:
			m.Data = nil
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, seq := range []uint64{1, 5, 6, 7, 10} {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	h := newHome(t, "none", "")
	for flags, want := range map[string]string{
		"":                             "2 3 4 8 9",
		"--from 9":                     "9",
		"--from 10":                    "",
		"--from 11":                    "",
		"--from 5 --to 7":              "",
		"--from 3 --to 6":              "3 4",
		"--from 6 --to 8":              "8",
		"--to 1":                       "",
		"--to 100":                     "2 3 4 8 9",
		"--from 0":                     "2 3 4 8 9",
		"--subject log.[34":            "",
		"--subject log.3,log.8 --to 4": "3",
	} {
		t.Run(flags, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "events.jsonl")
			h.engine(append([]string{"record", "--nats", s.URL(), "--stream", "LOG", "-o", file}, strings.Fields(flags)...)...)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(string(b)) {
				seq, _, _ := strings.Cut(strings.TrimPrefix(line, `{"seq":`), ",")
				got = append(got, seq)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("recorded %q, want %q", got, want)
			}
			if want != "" {
				out := h.engine("test", filepath.Join(exampleModules(t), "count.wasm"), "--events", file, "--no-invariance")
				if !strings.Contains(out, fmt.Sprintf("  events    %d of ", len(got))) {
					t.Errorf("engine test says %s", out)
				}
			}
			const headers = `"headers":[["X-Trace","b"],["X-Trace","a"],["X-Trace",""],["traceparent","00-é`
			if strings.HasPrefix(want, "2") && !strings.Contains(string(b), headers) {
				t.Errorf("headers are not as they were: %s", b)
			}
		})
	}
}
