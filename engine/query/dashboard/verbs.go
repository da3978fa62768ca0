package dashboard

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// verbs are what can be done, by the last part of the address.
var verbs map[string]verb

func init() {
	verbs = map[string]verb{
		"pause":    plainVerb("Pause", "pause", "It takes no more events until it is resumed, also after a restart. What it has made is served as before."),
		"resume":   plainVerb("Resume", "resume", "It goes on where it stands, with the next event."),
		"rebuild":  plainVerb("Rebuild", "rebuild", "Its state is built anew from the beginning of the stream, beside the one that is served. Readers go over by themselves when it has caught up."),
		"accept":   {label: "Accept the stream as it is", danger: true, fields: []field{{Name: "reason", Label: "Why it is right to go on (kept in the catalog)", Required: true}}, says: saysAccept, does: doesAccept, asks: asksAccept},
		"remove":   {label: "Remove with its data", danger: true, says: saysRemove, does: doesRemove, asks: simple("remove", "remove")},
		"promote":  {label: "Promote the candidate", back: "generations", fields: []field{{Name: "wait", Label: "Wait for it to catch up, at most", Placeholder: "30s"}}, says: saysPromote, does: doesPromote, asks: asksPromote},
		"rollback": {label: "Roll back", back: "generations", says: saysRollback, does: doesRollback, asks: asksRollback},
		"retry":    orderVerb("Retry", engine.RetryLetters, false, "applied again, in order, by the module as it is now"),
		"skip":     orderVerb("Skip", engine.SkipLetters, true, "passed over for good; a record is kept, and what queued behind is retried"),
		"drop":     orderVerb("Drop", engine.DropLetters, true, "forgotten, with all that queued behind"),
		"snapshot": {label: "Take a snapshot", back: "snapshots", fields: []field{{Name: "name", Label: "Name", Placeholder: "before-upgrade", Required: true}}, says: saysSnapshot, does: doesSnapshot, asks: asksSnapshot},
		"delete-snapshot": {label: "Delete the snapshot", danger: true, back: "snapshots", says: saysDeleteSnapshot, does: doesDeleteSnapshot,
			asks: func(o *order) (string, string, string, string) {
				return "DELETE", "/snapshots/" + pathOf(o.get("snapshot")), "", "engine snapshot delete " + quoted(o.name) + " " + quoted(o.get("snapshot"))
			}},
	}
}

// simple is the request of a verb with an empty body.
func simple(path, command string) func(o *order) (string, string, string, string) {
	return func(o *order) (string, string, string, string) {
		return "POST", "/" + path, "", "engine " + command + " " + quoted(o.name)
	}
}

// plainVerb is one of those that need nothing but the projection.
func plainVerb(label, name, says string) verb {
	return verb{
		label: label, asks: simple(name, name),
		says: func(d *Dashboard, o *order) ([]string, error) {
			s, err := d.ask.Projection(o.Context(), o.name)
			return []string{fmt.Sprintf("%s is %s, at sequence %s of %s.", o.name, s.State, count(s.Position), s.Stream), says}, err
		},
		does: func(d *Dashboard, o *order) (string, error) {
			s, err := d.ask.Act(o.Context(), o.name, name)
			return fmt.Sprintf("%s: done. It is %s, at sequence %s.", label, s.State, count(s.Position)), err
		},
	}
}

func saysAccept(d *Dashboard, o *order) ([]string, error) {
	s, err := d.ask.Projection(o.Context(), o.name)
	return []string{
		fmt.Sprintf("%s goes on from sequence %s in the stream as it is now, though: %s.", o.name, count(s.Position), s.Reason),
		"Events that it did not get it will never have. The state stays what it is: only a rebuild makes it that of the stream.",
	}, err
}

func doesAccept(d *Dashboard, o *order) (string, error) {
	a, err := d.ask.Accept(o.Context(), o.name, o.get("reason"))
	return fmt.Sprintf("%s goes on from sequence %s; before, it stood at %s.", o.name, count(a.To), count(a.From)), err
}

func asksAccept(o *order) (string, string, string, string) {
	return "POST", "/accept", `{"reason":"…"}`, "engine accept " + quoted(o.name) + " --reason '…'"
}

func saysRemove(d *Dashboard, o *order) ([]string, error) {
	s, err := d.ask.Projection(o.Context(), o.name)
	return []string{fmt.Sprintf("%s is removed with its data: %s keys, %s on disk, all of its generations and snapshots. This cannot be undone.", o.name, count(s.Keys), size(s.DiskBytes))}, err
}

func doesRemove(d *Dashboard, o *order) (string, error) {
	return o.name + " is removed, with its data.", d.ask.Remove(o.Context(), o.name)
}

// countingTime bounds how long keys are counted for a question.
const countingTime = 2 * time.Second

func saysPromote(d *Dashboard, o *order) ([]string, error) {
	s, err := d.ask.Projection(o.Context(), o.name)
	if err != nil {
		return nil, err
	}
	if s.Candidate == nil {
		return nil, problem(404, wire.CodeNoGeneration, o.name+" has no candidate", "a changed module, or changed settings, make one")
	}
	c := s.Candidate
	if err := o.means(c.ID, "candidate"); err != nil {
		return nil, err
	}
	says := []string{fmt.Sprintf("Readers of %s go over from generation %s to candidate %s, at one sequence. It is at %s; what is read is at %s.", o.name, short(s.Generation), short(c.ID), count(c.Position), count(s.Position))}
	ctx, cancel := context.WithTimeout(o.Context(), countingTime)
	defer cancel()
	sum, err := d.ask.Diff(ctx, o.name, nil, 1, func(wire.Difference) error { return nil })
	if err != nil {
		why := firstLine(err.Error())
		if ctx.Err() != nil {
			why = fmt.Sprintf("it takes longer than %s; the tab Generations compares them", span(countingTime))
		}
		return append(says, "In how many keys the two differ was not counted: "+why), nil
	}
	return append(says, fmt.Sprintf("As of %s, %s keys differ: %s added, %s missing, %s changed. %s are the same.", count(sum.AsOfSeq), count(sum.Added+sum.Missing+sum.Changed), count(sum.Added), count(sum.Missing), count(sum.Changed), count(sum.Same)),
		"What is read now follows on for a while, and can be gone back to."), nil
}

func doesPromote(d *Dashboard, o *order) (string, error) {
	var wait time.Duration
	if text := o.get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil {
			return "", problem(400, wire.CodeBadRequest, fmt.Sprintf("wait is %q, and no duration", text), "say it as 30s or 10m")
		}
	}
	done, err := d.ask.PromoteTo(o.Context(), o.name, o.get("generation"), wait)
	return wentOver(done), err
}

func wentOver(p engine.Promotion) string {
	return fmt.Sprintf("Readers of %s went over from generation %s to %s at sequence %s.", p.Projection, short(p.From), short(p.To), count(p.Sequence))
}

func asksPromote(o *order) (string, string, string, string) {
	b, _ := json.Marshal(wire.Promote{Wait: "30s", Generation: o.get("generation")}) // of strings
	return "POST", "/promote", string(b), "engine promote " + quoted(o.name) + " --generation " + quoted(o.get("generation")) + " --wait 30s"
}

func asksRollback(o *order) (string, string, string, string) {
	b, _ := json.Marshal(wire.Rollback{Generation: o.get("generation")}) // of a string
	return "POST", "/rollback", string(b), "engine rollback " + quoted(o.name) + " --generation " + quoted(o.get("generation"))
}

// means has an order be about the generation that is shown. One that was made for another one is
// refused: the person who clicked has not seen this one.
func (o *order) means(id, role string) error {
	if was := o.get("generation"); was != "" && was != id {
		return problem(409, wire.CodeOtherGeneration, fmt.Sprintf("the %s of %s is %s by now, and not %s", role, o.name, id, was), "look at it in the tab Generations, and decide again")
	}
	o.values.Set("generation", id)
	return nil
}

func saysRollback(d *Dashboard, o *order) ([]string, error) {
	s, err := d.ask.Projection(o.Context(), o.name)
	if err == nil && s.Previous == nil {
		err = problem(404, wire.CodeNoGeneration, o.name+" has no previous generation", "keep_previous says how long one is kept")
	}
	if err == nil {
		err = o.means(s.Previous.ID, "previous generation")
	}
	if err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("Readers of %s go back from generation %s to %s, which has followed on: its state is that of now, at %s.", o.name, short(s.Generation), short(s.Previous.ID), count(s.Previous.Position))}, nil
}

func doesRollback(d *Dashboard, o *order) (string, error) {
	done, err := d.ask.RollbackTo(o.Context(), o.name, o.get("generation"))
	return wentOver(done), err
}

func saysSnapshot(d *Dashboard, o *order) ([]string, error) {
	s, err := d.ask.Projection(o.Context(), o.name)
	return []string{fmt.Sprintf("What %s serves now, at sequence %s or later, stays readable under a name: %s keys, %s. Nothing is copied; it costs the disk that later versions of changed keys take.", o.name, count(s.Position), count(s.Keys), size(s.Bytes))}, err
}

func doesSnapshot(d *Dashboard, o *order) (string, error) {
	s, err := d.ask.CreateSnapshot(o.Context(), o.name, o.get("name"))
	return fmt.Sprintf("Snapshot %s is taken, at sequence %s: %s keys, digest %s.", s.Name, count(s.Sequence), count(s.Keys), s.Digest), err
}

func asksSnapshot(o *order) (string, string, string, string) {
	return "POST", "/snapshots", `{"name":"before-upgrade"}`, "engine snapshot create " + quoted(o.name) + " before-upgrade"
}

func saysDeleteSnapshot(_ *Dashboard, o *order) ([]string, error) {
	return []string{fmt.Sprintf("Snapshot %s of %s is given up. It cannot be read or exported any more.", o.get("snapshot"), o.name)}, nil
}

func doesDeleteSnapshot(d *Dashboard, o *order) (string, error) {
	return fmt.Sprintf("Snapshot %s is deleted.", o.get("snapshot")), d.ask.DeleteSnapshot(o.Context(), o.name, o.get("snapshot"))
}

// letters are those that an order is about.
func (o *order) letters() (engine.Letters, error) {
	var ask wire.Order
	var err error
	if text := o.get("seq"); text != "" {
		var n uint64
		_, err = fmt.Sscan(text, &n)
		ask.Sequence = &n
	}
	if o.values.Has("key") {
		key := o.values.Get("key")
		ask.Key = &key
	}
	if text := o.get("key_b64"); text != "" && err == nil {
		ask.KeyB64, err = base64.StdEncoding.DecodeString(text)
	}
	ask.All = o.get("all") == "true"
	if err != nil {
		return engine.Letters{}, problem(400, wire.CodeBadRequest, "what the order is about cannot be read: "+err.Error(), "go back to the list")
	}
	l, err := ask.Letters()
	if err != nil {
		err = problem(400, wire.CodeBadRequest, err.Error(), "go back to the list")
	}
	return l, err
}

// about names letters for people.
func about(l engine.Letters) string {
	switch {
	case l.Sequence != 0:
		return "Event " + count(l.Sequence) + " is"
	case len(l.Key) > 0:
		return fmt.Sprintf("All events of the key %s that are set aside are", keyText(l.Key))
	}
	return "All events that are set aside are"
}

func orderVerb(label string, v engine.Verb, danger bool, becomes string) verb {
	return verb{
		label: label, danger: danger, back: "dead-letters",
		says: func(_ *Dashboard, o *order) ([]string, error) {
			l, err := o.letters()
			return []string{fmt.Sprintf("%s %s (projection %s).", about(l), becomes, o.name)}, err
		},
		does: func(d *Dashboard, o *order) (string, error) {
			l, err := o.letters()
			if err != nil {
				return "", err
			}
			done, err := d.ask.Order(o.Context(), o.name, v, l)
			text := fmt.Sprintf("%s: %s done, %s left.", label, count(done.Done), count(done.Left))
			if done.Error != "" {
				text += fmt.Sprintf(" Event %s failed again: %s", count(done.Seq), done.Error)
			}
			return text, err
		},
		asks: func(o *order) (string, string, string, string) {
			l, err := o.letters()
			if err != nil {
				return "POST", "/" + string(v), "", ""
			}
			b, _ := json.Marshal(wire.OrderOf(l)) // of strings and numbers
			return "POST", "/" + string(v), string(b), "engine dead-letters " + string(v) + " " + quoted(o.name) + lettersFlag(l)
		},
	}
}

// lettersFlag says in the words of the command which letters are meant.
func lettersFlag(l engine.Letters) string {
	switch {
	case l.Sequence != 0:
		return fmt.Sprint(" ", l.Sequence)
	case len(l.Key) > 0:
		return " --key " + quotedKey(l.Key)
	}
	return " --all"
}
