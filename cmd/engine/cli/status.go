package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// PrintOverview prints the statuses and, below, what is wrong with the engine though it serves; or one JSON object.
func PrintOverview(w io.Writer, all wire.Projections, asJSON bool) error {
	if err := PrintStatuses(w, all.Projections, asJSON); err != nil || asJSON || all.Engine == nil {
		return err
	}
	for _, warning := range all.Engine.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	return nil
}

// PrintStatuses prints a line for each projection, and below what somebody has to know of them; or one JSON object.
func PrintStatuses(w io.Writer, all []engine.Status, asJSON bool) error {
	if asJSON {
		return PrintJSON(w, map[string][]engine.Status{"projections": append([]engine.Status{}, all...)})
	}
	if err := PrintTable(w, all, func(s engine.Status) float64 { return s.Rate }); err != nil {
		return err
	}
	for _, s := range all {
		PrintReason(w, s)
		printEffects(w, s)
		printBeside(w, s)
	}
	return nil
}

// PrintTable prints a line for each projection. Rate is in events per second. What is
// left is a column while one of them catches up.
func PrintTable(w io.Writer, all []engine.Status, rate func(engine.Status) float64) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	title, left := "PROJECTION\tSTATE\tPOSITION\tBEHIND\tKEYS\tEVENTS/S", func(engine.Status) string { return "" }
	if slices.ContainsFunc(all, func(s engine.Status) bool { return s.State == engine.CatchingUp }) {
		title, left = title+"\tLEFT", func(s engine.Status) string { return "\t" + timeLeft(s) }
	}
	fmt.Fprintln(t, title)
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%.0f%s\n", s.Projection, s.State, s.Position, behind(s), s.Keys, rate(s), left(s))
	}
	return t.Flush()
}

// timeLeft is how long a projection will still catch up, as a person says it.
func timeLeft(s engine.Status) string {
	if s.LeftMs == 0 {
		return "-"
	}
	left := (time.Duration(s.LeftMs) * time.Millisecond).Round(time.Second)
	switch {
	case left < time.Second:
		return "<1s"
	case left < time.Minute:
		return left.String()
	case left < time.Hour:
		return fmt.Sprintf("%dm%02ds", left/time.Minute, left%time.Minute/time.Second)
	case left < 1000*time.Hour:
		return fmt.Sprintf("%dh%02dm", left/time.Hour, left%time.Hour/time.Minute)
	}
	return ">1000h"
}

// PrintReason prints why a projection is in its state, and what to do.
func PrintReason(w io.Writer, s engine.Status) {
	if s.Warning != "" {
		fmt.Fprintf(w, "%s: warning: %s\n", s.Projection, s.Warning)
	}
	if s.Reason != "" {
		fmt.Fprintf(w, "%s is %s: %s\n", s.Projection, s.State, Readable([]byte(s.Reason))) // a guest may have said it
	}
	if s.Hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", s.Hint)
	}
	if since := s.EndUnknownSince; !since.IsZero() {
		fmt.Fprintf(w, "%s: where stream %s ends is not known since %s: what is behind is as it was then\n", s.Projection, s.Stream, since.UTC().Format("2006-01-02 15:04:05 MST"))
	}
}

// behind is how many sequences a projection is behind; at least, when nobody knows how many there
// are by now.
func behind(s engine.Status) string {
	if s.EndUnknownSince.IsZero() {
		return fmt.Sprint(s.Behind)
	}
	return fmt.Sprintf(">=%d", s.Behind)
}

// printEffects prints what a projection has not done though it may be live: events that were not
// applied, or what does not get out.
func printEffects(w io.Writer, s engine.Status) {
	if text := notApplied(s.Aside); text != "" {
		fmt.Fprintf(w, "%s: %s\n", s.Projection, text)
	}
	if s.Aside.Letters > 0 || s.Aside.Waiting > 0 {
		fmt.Fprintf(w, "  hint: engine dead-letters list %s\n", s.Projection)
	}
	if e := s.Emits; e != nil && e.Trouble != "" {
		fmt.Fprintf(w, "%s: emitted events are not published, %d wait: %s\n", s.Projection, e.Waiting, Readable([]byte(e.Trouble)))
		fmt.Fprintf(w, "  hint: %s\n", e.Hint)
	}
	if m := s.Mirror; m != nil && m.Error != "" {
		fmt.Fprintf(w, "%s: bucket %s is not kept in step: %s\n", s.Projection, m.Bucket, Readable([]byte(m.Error)))
	}
}

// PrintStatus prints all that is known of a projection.
func PrintStatus(w io.Writer, s engine.Status, asJSON bool) error {
	if asJSON {
		return PrintJSON(w, s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("projection", "%s", s.Projection)
	row("state", "%s", s.State)
	row("stream", "%s, up to %d", s.Stream, s.StreamLast)
	if from := cameFrom(s); from != "" {
		row("its events", "%s", from)
	}
	if s.StreamAbsent > 0 {
		row("it lacks", "%d sequences between its first and last event: deleted or expired, or not mirrored", s.StreamAbsent)
	}
	row("position", "%d (durable %d), %s behind", s.Position, s.Durable, behind(s))
	if s.State == engine.CatchingUp {
		row("catches up", "%.0f events/s, time left: %s", s.Rate, timeLeft(s))
	}
	if !s.PositionTime.IsZero() {
		row("as of", "%s", s.PositionTime.Format("2006-01-02 15:04:05.000 MST"))
	}
	row("state holds", "%d keys, %d bytes, %d on disk", s.Keys, s.Bytes, s.DiskBytes)
	row("digest", "%s", s.Digest)
	row("applied", "%d events, %d commits, %d failed batches since start", s.Events, s.Commits, s.Failures)
	if s.Events > 0 && s.Fuel > 0 {
		row("an event", "%s and %d units of fuel, on average", (s.Apply / time.Duration(s.Events)).Round(100*time.Nanosecond), s.Fuel)
	}
	if s.Passed != (streams.Passed{}) {
		row("passed over", "%d sequences that hold no event, %d delete markers since start", s.Passed.Absent, s.Passed.Markers)
	}
	if s.Aside != (state.Aside{}) {
		row("not applied", "%s", notApplied(s.Aside))
	}
	if e := s.Emits; e != nil {
		row("emits", "%s", emits(e))
	}
	if m := s.Mirror; m != nil {
		row("mirrored to", "%s", mirrored(s, m))
	}
	row("generation", "%s", s.Generation)
	row("module", "%s", s.Module)
	if g := s.Candidate; g != nil {
		row("candidate", "%s, %s", g.ID, candidateProgress(g))
		row("", "%s", candidateNext(s.Projection, g))
	}
	if g := s.Previous; g != nil {
		row("previous", "%s, %s", g.ID, previousNext(s.Projection, g))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	PrintReason(w, s)
	printBesideReasons(w, s)
	return nil
}

// emits says how it stands with the events that a projection emits.
func emits(e *engine.EmitStatus) string {
	text := fmt.Sprintf("%d published since start", e.Published)
	if e.PublishedSeq > 0 {
		text += fmt.Sprintf(", the last for event %d", e.PublishedSeq)
	}
	if e.Waiting > 0 {
		text += fmt.Sprintf("; %d wait, from event %d on", e.Waiting, e.Oldest)
	}
	if e.SilentThrough > 0 {
		text += fmt.Sprintf("; none for events up to %d", e.SilentThrough)
	}
	for _, more := range []string{e.Trouble, e.Hint, e.Warning} {
		if more != "" {
			text += "; " + more
		}
	}
	return text
}

// mirrored says how the mirror of a state stands.
func mirrored(s engine.Status, m *engine.MirrorStatus) string {
	text := fmt.Sprintf("bucket %s, up to %d", m.Bucket, m.Sequence)
	if behind := s.Position - min(s.Position, m.Sequence); behind > 0 {
		text += fmt.Sprintf(", %d behind", behind)
	}
	if m.LeftOut > 0 {
		text += fmt.Sprintf("; it does not take %d keys: %s", m.LeftOut, strings.Join(m.LeftOutKeys, "; "))
	}
	if m.Error != "" {
		text += "; " + m.Error
	}
	return text
}

// cameFrom says where the events of a stream come from, and in which order; empty when
// they are published to the stream itself.
func cameFrom(s engine.Status) string {
	switch sources := strings.Join(s.StreamSources, ", "); {
	case s.StreamMirror != "":
		return "a mirror of stream " + s.StreamMirror + ", with its sequences"
	case s.Interleaved:
		return "come from " + sources + ", and those of different sources in the order of their arrival: when the stream is built again, in another one"
	case sources != "":
		return "come from stream " + sources + ", in its order, with sequences of their own"
	}
	return ""
}

// notApplied says how many events were not applied, and what became of them.
func notApplied(a state.Aside) string {
	var parts []string
	if a.Skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", a.Skipped))
	}
	if a.Letters > 0 {
		parts = append(parts, fmt.Sprintf("%d set aside", a.Letters))
	}
	if a.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting in the queues of their keys", a.Waiting))
	}
	return strings.Join(parts, ", ")
}
