package dashboard

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

const (
	shownLetters = 25   // on a page
	mostGrouped  = 1000 // letters that are looked through for queues
	// What a page takes its time for: states of the past, which may have to be computed from
	// events, and letters, which may be large. What is not there by then is a link away.
	beforeTime  = time.Second
	groupedTime = 2 * time.Second
)

// lettersPage shows the events that were set aside.
type lettersPage struct {
	Status  engine.Status
	Why     string // nothing can be done; empty: it can
	Skip    *act   // of the event that it is halted before
	All     []act
	Letters []letterRow
	Queues  []*queue
	Cut     bool   // there are more letters than queues were looked for in
	Next    string // address of the next page; empty: there is none
	Bundle  string // address that makes bundles
}

type letterRow struct {
	wire.Letter
	KeyText, KeyLink string
	Before           *shown // the state of its key before it, where there is one
	BeforeLink       string // address of that state, where it was not read; empty: it was
	Headers          []header
	Value            shown // of its data
	Acts             []act
	Command          string
}

type header struct{ Name, Value string }

// queue is a key of which events wait behind one that failed.
type queue struct {
	Key     string
	Failed  uint64
	Waiting int
	Error   string
	Acts    []act
}

func (d *Dashboard) letters(r *http.Request) (*page, error) {
	name := r.PathValue("projection")
	s, err := d.ask.Projection(r.Context(), name)
	if err != nil {
		return nil, err
	}
	l := lettersPage{Status: s, Bundle: tabPath(name, "bundle")}
	if l.Why, err = d.mayAct(r, name); err != nil {
		return nil, err
	}
	if s.Failing != 0 {
		b := button("skip", name, l.Why, "seq", digits(s.Failing))
		l.Skip = &b
	}
	after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64) // what is no number: from the first
	if err := d.letterRows(r, &l, after); err != nil {
		return nil, err
	}
	if s.Aside.Waiting > 0 {
		if err := d.queues(r, &l); err != nil {
			return nil, err
		}
	}
	if len(l.Letters) > 0 {
		for _, verb := range []string{"retry", "skip", "drop"} {
			b := button(verb, name, l.Why, "all", "true")
			b.Label += " all"
			l.All = append(l.All, b)
		}
	}
	path := "/v1/projections/" + pathOf(name) + "/dead-letters"
	return &page{Title: name + ": dead letters", template: "letters", Projection: name, Tab: "dead-letters", Data: l, Copy: []ask{
		{"events that were set aside", curl(r, path), "engine dead-letters list " + quoted(name)},
		{"a file to reproduce a failure with", curlFor(r, "POST", "/v1/projections/"+pathOf(name)+"/export", `{"seq":1}`) + " > failure.zip", "engine dead-letters export " + quoted(name) + " 1"},
	}}, nil
}

// errEnough ends a list.
var errEnough = errors.New("enough")

func (d *Dashboard) letterRows(r *http.Request, l *lettersPage, after uint64) error {
	past, cancel := context.WithTimeout(r.Context(), beforeTime)
	defer cancel()
	err := d.ask.Letters(r.Context(), l.Status.Projection, after, shownLetters+1, func(one wire.Letter) error {
		if len(l.Letters) == shownLetters {
			l.Next = "?after=" + digits(l.Letters[shownLetters-1].Sequence)
			return errEnough
		}
		l.Letters = append(l.Letters, d.letterRow(past, l, one))
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return err
}

func (d *Dashboard) letterRow(past context.Context, l *lettersPage, one wire.Letter) letterRow {
	name := l.Status.Projection
	row := letterRow{Letter: one, Value: showRow(one.Data), Command: "engine dead-letters retry " + quoted(name) + " " + digits(one.Sequence)}
	for _, n := range slices.Sorted(maps.Keys(one.Headers)) {
		for _, v := range one.Headers[n] {
			row.Headers = append(row.Headers, header{n, v})
		}
	}
	if len(one.Key) > 0 {
		row.KeyText, row.KeyLink = keyText(one.Key), tabPath(name, "state")+"?"+keyQuery(one.Key)
		if row.Before = d.before(past, name, one); past.Err() != nil && row.Before == nil {
			row.BeforeLink = row.KeyLink + "&at=" + digits(one.Sequence-1)
		}
	}
	for _, verb := range []string{"retry", "skip", "drop"} {
		if one.Status != state.Skipped || verb == "drop" {
			row.Acts = append(row.Acts, button(verb, name, l.Why, "seq", digits(one.Sequence)))
		}
	}
	return row
}

// before is what the state has of an event's key as of the event before it, where there is
// such a key and that is kept, and while there is time for it.
func (d *Dashboard) before(past context.Context, name string, l wire.Letter) *shown {
	if past.Err() != nil {
		return nil
	}
	got, err := d.ask.At(client.Moment{At: digits(l.Sequence - 1), Wait: -time.Second}).Get(past, name, l.Key)
	if err != nil {
		return nil
	}
	value := showRow(got.Value)
	return &value
}

// queues are the keys of which events wait, by the first that failed.
func (d *Dashboard) queues(r *http.Request, l *lettersPage) error {
	name, by, n, began := l.Status.Projection, map[string]*queue{}, 0, time.Now()
	err := d.ask.Letters(r.Context(), name, 0, mostGrouped, func(one wire.Letter) error {
		if n++; time.Since(began) > groupedTime {
			return errEnough
		}
		switch q := by[string(one.Key)]; {
		case one.Status == state.Failed && q == nil:
			q = &queue{Key: keyText(one.Key), Failed: one.Sequence, Error: one.Error}
			for _, verb := range []string{"retry", "skip", "drop"} {
				q.Acts = append(q.Acts, button(verb, name, l.Why, aboutKey(one.Key)...))
			}
			by[string(one.Key)] = q
			l.Queues = append(l.Queues, q)
		case one.Status == state.Parked && q != nil:
			q.Waiting++
		}
		return nil
	})
	if l.Cut = n == mostGrouped || errors.Is(err, errEnough); l.Cut {
		return nil
	}
	return err
}

// bundle answers with the file to reproduce a failure with.
func (d *Dashboard) bundle(w http.ResponseWriter, r *http.Request) {
	file, name, err := d.makeBundle(w, r)
	if err != nil {
		d.page(func(*http.Request) (*page, error) { return nil, err })(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	_, _ = w.Write(file) // the client is gone
}

func (d *Dashboard) makeBundle(w http.ResponseWriter, r *http.Request) (file []byte, name string, err error) {
	if err := readForm(w, r); err != nil {
		return nil, "", err
	}
	seq, err := strconv.ParseUint(r.PostForm.Get("seq"), 10, 64)
	if err != nil {
		return nil, "", problem(http.StatusBadRequest, wire.CodeBadRequest, "seq is no sequence", "go back to the list")
	}
	file, err = d.ask.Bundle(r.Context(), r.PathValue("projection"), seq)
	return file, "event-" + digits(seq) + ".zip", err
}
