package guest_test

import (
	"fmt"
	"strings"
	"testing"

	"gnomon/engine/guest"
)

// The last 500 lines of a projection are kept, or the last 256 KiB of text, with their
// numbers; those of others are others.
func TestGuestLogsKeepTheLast(t *testing.T) {
	for _, tt := range []struct {
		name        string
		text        string
		add         int
		kept, first int
	}{
		{"few", "a line", 3, 3, 1},
		{"as many as there is room for", "a line", 500, 500, 1},
		{"more", "a line", 750, 500, 251},
		{"long ones", strings.Repeat("x", 4096), 100, 64, 37},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var logs guest.Logs
			for i := range tt.add {
				logs.Add("p", "", guest.Line{Text: tt.text, First: uint64(i + 1), Last: uint64(i + 1)})
			}
			logs.Add("q", "", guest.Line{Text: "another"})
			lines, _ := logs.Lines("p", 0)
			if len(lines) != tt.kept || lines[0].Number != uint64(tt.first) || lines[0].First != uint64(tt.first) {
				t.Fatalf("%d lines are kept, from %+v on; want %d from %d on", len(lines), lines[0].Number, tt.kept, tt.first)
			}
			last, _ := logs.Lines("p", uint64(tt.add-1))
			none, _ := logs.Lines("p", uint64(tt.add))
			beyond, _ := logs.Lines("p", 1<<63)
			if len(last) != 1 || last[0].Number != uint64(tt.add) || len(none) != 0 || len(beyond) != tt.kept {
				t.Errorf("after the last but one there are %d lines, after the last %d, after one of before the start %d", len(last), len(none), len(beyond))
			}
		})
	}
}

// Who waits for another line is woken by it, and by no line of another projection.
func TestGuestLogsWake(t *testing.T) {
	var logs guest.Logs
	_, grown := logs.Lines("p", 0)
	logs.Add("q", "", guest.Line{Text: "of another"})
	select {
	case <-grown:
		t.Fatal("woken by a line of another projection")
	default:
	}
	logs.Add("p", "u", guest.Line{Text: "hello"})
	<-grown
	lines, _ := logs.Lines("p", 0)
	if got := fmt.Sprintln(len(lines), lines[0].Text, lines[0].Upcaster); got != "1 hello u\n" {
		t.Errorf("got %s", got)
	}
	logs.Forget("p")
	if lines, _ := logs.Lines("p", 0); len(lines) != 0 {
		t.Errorf("forgotten lines are kept: %v", lines)
	}
}
