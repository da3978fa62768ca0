package wire

import (
	"bytes"
	"encoding/json"
	"time"

	"gnomon/engine"
	"gnomon/engine/state"
)

// Watched is an event of a watch. What it has depends on its kind, see engine.WatchKind; in
// JSON that is "event". ID of a position is what a watch goes on from.
type Watched struct{ engine.WatchEvent }

// Ended is the last event of what goes on, with why it does not: "end" of statuses.
type Ended struct {
	Reason string `json:"reason"`
}

type watchedJSON struct {
	Event engine.WatchKind `json:"event"`
	Seq   uint64           `json:"seq,omitempty"`
	rowJSON
	Deleted    bool               `json:"deleted,omitempty"`
	AsOfSeq    *uint64            `json:"as_of_seq,omitempty"`
	AsOfTime   *time.Time         `json:"as_of_time,omitempty"`
	ID         string             `json:"id,omitempty"`
	Missed     uint64             `json:"missed,omitempty"`
	Generation string             `json:"generation,omitempty"`
	Former     string             `json:"former,omitempty"`
	State      engine.RunnerState `json:"state,omitempty"`
	Reason     string             `json:"reason,omitempty"`
	Hint       string             `json:"hint,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (w Watched) MarshalJSON() ([]byte, error) {
	f := watchedJSON{Event: w.Kind, Missed: w.Missed, Generation: w.Generation, Former: w.Former, State: w.State, Reason: w.Reason, Hint: w.Hint}
	switch w.Kind {
	case engine.WatchSnapshot, engine.WatchChange:
		f.Seq, f.Deleted = w.Sequence, w.Deleted
		f.rowJSON = Row{Key: w.Key, Value: w.Value}.form()
		if w.Deleted {
			f.Value, f.ValueB64 = nil, nil
		}
	case engine.WatchPosition:
		f.AsOfSeq, f.AsOfTime, f.ID = &w.Sequence, timeOrNil(w.Time), w.Bookmark.String()
	}
	return Marshal(f)
}

// KindOf is the kind of an event in JSON, as MarshalJSON makes it; empty: it is none.
func KindOf(event []byte) engine.WatchKind {
	rest, ok := bytes.CutPrefix(event, []byte(`{"event":"`))
	kind, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		return ""
	}
	return engine.WatchKind(kind)
}

// UnmarshalJSON implements json.Unmarshaler.
func (w *Watched) UnmarshalJSON(b []byte) error {
	var f watchedJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	var row Row
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	at, err := state.ParseBookmark(f.ID)
	if err != nil {
		return err
	}
	w.WatchEvent = engine.WatchEvent{
		Kind: f.Event, Sequence: f.Seq, Key: row.Key, Value: row.Value, Deleted: f.Deleted, Bookmark: at,
		Missed: f.Missed, Generation: f.Generation, Former: f.Former, State: f.State, Reason: f.Reason, Hint: f.Hint,
	}
	if f.AsOfSeq != nil {
		w.Sequence = *f.AsOfSeq
	}
	if f.AsOfTime != nil {
		w.Time = *f.AsOfTime
	}
	return nil
}
