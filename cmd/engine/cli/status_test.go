package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

func catchingUp(name string, left time.Duration) engine.Status {
	return engine.Status{
		Projection: name, State: engine.CatchingUp, Position: 250, StreamLast: 1000, Behind: 750, Keys: 7, Rate: 100.4,
		LeftMs: left.Milliseconds(),
	}
}

var live = engine.Status{Projection: "live", State: engine.Live, Position: 1000, StreamLast: 1000, Keys: 9, Rate: 3}

// The table says how long a projection still catches up; when none does, there is no
// such column. What does not get in, or out, of one that is live is said below it.
func TestStatusTable(t *testing.T) {
	for _, tt := range []struct {
		all  []engine.Status
		want string
	}{
		{[]engine.Status{live}, `
PROJECTION   STATE   POSITION   BEHIND   KEYS   EVENTS/S
live         live    1000       0        9      3
`},
		{[]engine.Status{live, catchingUp("new", 0), catchingUp("slow", 7500*time.Millisecond)}, `
PROJECTION   STATE         POSITION   BEHIND   KEYS   EVENTS/S   LEFT
live         live          1000       0        9      3          -
new          catching-up   250        750      7      100        -
slow         catching-up   250        750      7      100        8s
`},
		{[]engine.Status{{
			Projection: "odd", State: engine.Live, Aside: state.Aside{Letters: 2, Waiting: 1},
			Emits:  &engine.EmitStatus{Waiting: 5, Trouble: "no permission", Hint: "it is tried again"},
			Mirror: &engine.MirrorStatus{Bucket: "B", Error: "no room"},
		}}, `
PROJECTION   STATE   POSITION   BEHIND   KEYS   EVENTS/S
odd          live    0          0        0      0
odd: 2 set aside, 1 waiting in the queues of their keys
  hint: engine dead-letters list odd
odd: emitted events are not published, 5 wait: no permission
  hint: it is tried again
odd: bucket B is not kept in step: no room
`},
		{[]engine.Status{{Projection: "lax", State: engine.Live, Aside: state.Aside{Skipped: 3}}}, `
PROJECTION   STATE   POSITION   BEHIND   KEYS   EVENTS/S
lax          live    0          0        0      0
lax: 3 skipped
`},
		{[]engine.Status{{
			Projection: "alone", State: engine.CatchingUp, Reason: "no server", Stream: "S", StreamLast: 7, Position: 7,
			EndUnknownSince: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}}, `
PROJECTION   STATE         POSITION   BEHIND   KEYS   EVENTS/S   LEFT
alone        catching-up   7          >=0      0      0          -
alone is catching-up: no server
alone: where stream S ends is not known since 2026-01-02 03:04:05 UTC: what is behind is as it was then
`},
	} {
		var out bytes.Buffer
		if err := PrintStatuses(&out, tt.all, false); err != nil {
			t.Fatal(err)
		}
		if got := "\n" + out.String(); got != tt.want {
			t.Errorf("the table is%s\nwant%s", got, tt.want)
		}
	}
}

// What is wrong with an engine though it serves is said below its projections.
func TestOverviewWarns(t *testing.T) {
	all := wire.Projections{Projections: []engine.Status{live}, Engine: &wire.Engine{Warnings: []string{"tokens are as they were"}}}
	var out bytes.Buffer
	if err := PrintOverview(&out, all, false); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasSuffix(got, "3\nwarning: tokens are as they were\n") {
		t.Errorf("it says\n%s", got)
	}
}

// One projection that catches up has a line for that.
func TestStatusOfOne(t *testing.T) {
	for want, s := range map[string]engine.Status{
		"catches up   100 events/s, time left: 1m15s\n": catchingUp("slow", 75*time.Second),
		"catches up   100 events/s, time left: -\n":     catchingUp("new", 0),
	} {
		var out bytes.Buffer
		if err := PrintStatus(&out, s, false); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.Bytes())
		}
	}
	var out bytes.Buffer
	if err := PrintStatus(&out, live, false); err != nil || strings.Contains(out.String(), "catches up") {
		t.Errorf("a live projection catches up:\n%s", out.Bytes())
	}
}

// JSON has the time in milliseconds, and not at all when it is not known.
func TestStatusJSON(t *testing.T) {
	for _, tt := range []struct {
		status engine.Status
		want   any
	}{
		{catchingUp("slow", 7500*time.Millisecond), 7500.0},
		{catchingUp("new", 0), nil},
		{live, nil},
	} {
		var out bytes.Buffer
		if err := PrintStatus(&out, tt.status, true); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["left_ms"] != tt.want {
			t.Errorf("%s: left_ms is %v, %v; want %v", tt.status.Projection, got["left_ms"], err, tt.want)
		}
	}
}

// Times are as precise as a person wants them.
func TestTimeLeft(t *testing.T) {
	for want, left := range map[string]time.Duration{
		"-": 0, "<1s": 400 * time.Millisecond, "1s": 600 * time.Millisecond, "59s": 59 * time.Second, "1m00s": 59900 * time.Millisecond,
		"3m05s": 185 * time.Second, "1h02m": 62*time.Minute + 40*time.Second, "999h59m": 1000*time.Hour - time.Minute, ">1000h": 9999 * time.Hour,
	} {
		if got := timeLeft(engine.Status{LeftMs: left.Milliseconds()}); got != want {
			t.Errorf("%v is %q, want %q", left, got, want)
		}
	}
}

// One projection has lines for where its stream's events come from, what the stream
// lacks, and what was passed over, when there is something to say; a warning comes last.
func TestStatusOfStream(t *testing.T) {
	for _, tt := range []struct {
		status engine.Status
		want   string // all such lines
	}{
		{live, ""},
		{engine.Status{StreamMirror: "S"}, "its events a mirror of stream S, with its sequences\n"},
		{engine.Status{StreamSources: []string{"S"}}, "its events come from stream S, in its order, with sequences of their own\n"},
		{
			engine.Status{StreamSources: []string{"S", "T"}, Interleaved: true},
			"its events come from S, T, and those of different sources in the order of their arrival: when the stream is built again, in another one\n",
		},
		{engine.Status{StreamAbsent: 3}, "it lacks 3 sequences between its first and last event: deleted or expired, or not mirrored\n"},
		{engine.Status{Passed: streams.Passed{Absent: 2, Markers: 1}}, "passed over 2 sequences that hold no event, 1 delete markers since start\n"},
		{engine.Status{Projection: "p", Warning: "it is odd"}, "p: warning: it is odd\n"},
	} {
		var out bytes.Buffer
		if err := PrintStatus(&out, tt.status, false); err != nil {
			t.Fatal(err)
		}
		got := ""
		for line := range strings.Lines(out.String()) {
			line = strings.Join(strings.Fields(line), " ") + "\n"
			for _, begin := range []string{"its events", "it lacks", "passed over", "p: warning"} {
				if strings.HasPrefix(line, begin) {
					got += line
				}
			}
		}
		if got != tt.want {
			t.Errorf("%+v: the lines are %q, want %q", tt.status, got, tt.want)
		}
	}
}

// JSON has what a stream is made of and lacks, and what was passed over, by names of
// their own.
func TestStatusOfStreamJSON(t *testing.T) {
	s := engine.Status{
		StreamAbsent: 3, StreamSources: []string{"S", "T"}, Interleaved: true, Warning: "it is odd", Passed: streams.Passed{Absent: 2, Markers: 1},
	}
	var out bytes.Buffer
	if err := PrintStatus(&out, s, true); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"stream_absent":3`, `"stream_sources":["S","T"]`, `"stream_order_of_arrival":true`, `"warning":"it is odd"`, `"passed_over":{"absent":2,"delete_markers":1}`,
	} {
		if !strings.Contains(compact.String(), want) {
			t.Errorf("no %s in %s", want, compact.Bytes())
		}
	}
}
