package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

const (
	// timePage is how many keys the tab Time shows, of those that changed, and of the state.
	timePage = 50
	// timeRows is how many keys of the state it shows below.
	timeRows = 20
)

// timeView is the tab Time: the state as of any sequence, and what changed up to there.
type timeView struct {
	Projection       string
	From, To, Prefix string // as they were asked for; From is empty: the sequence before To
	Replay           bool
	Least, Most      uint64 // bounds of the sliders
	LeastTime        string
	Further          string // address with more of the past, which is computed; empty: there is none
	Refused          string // why there is none

	At          uint64 // that To stands for
	Before      uint64 // that From stands for
	ToPoint     wire.Reflected
	FromPoint   wire.Reflected
	Steps       []place
	OnlyThis    string // address: what the last event changed; empty: it is what is shown
	Event       *eventView
	EventStream string // address
	Counts      wire.ChangedCounts
	Changes     []changedRow
	Next        string // address; empty: there are no more
	State       []stateRow
	StateAll    string // address
	Deferred    string // address of the part with State, which is asked for when the hand rests
	Trouble     *trouble
	Nothing     bool         // no event was applied yet
	Empty       *emptyStream // nil: the stream has events
}

// place is a link to a place nearby.
type place struct {
	Label, Title, Address string // no address: it is not there
}

// changedRow is a key that changed, on a page.
type changedRow struct {
	Key, Address, Explain string
	Diff                  difference
}

// time is the tab Time.
func (d *Dashboard) time(r *http.Request) (*page, error) {
	name, q := r.PathValue("projection"), r.URL.Query()
	past, err := d.ask.Past(r.Context(), name)
	if err != nil {
		return nil, err
	}
	status, err := d.ask.Projection(r.Context(), name)
	if err != nil {
		return nil, err
	}
	v := &timeView{Projection: name, From: strings.TrimSpace(q.Get("from")), To: strings.TrimSpace(q.Get("to")), Prefix: q.Get("prefix"), Replay: q.Get("replay") == "true"}
	v.bounds(past, q)
	p := &page{Title: name + ": time", template: "time", Projection: name, Tab: "time", Data: v}
	if v.Nothing = v.Most == 0; v.Nothing {
		if status.Stream != "" && status.StreamLast == 0 {
			empty := d.empty(r, status.Stream)
			v.Empty = &empty
		}
		return p, nil
	}
	if err := d.moment(r, v, p); err != nil {
		t, known := troubleOf(err, v.Further)
		if !known {
			return nil, err
		}
		if v.Trouble = t; r.Header.Get("HX-Request") == "" { // htmx does not show what has failed
			p.status = t.Status
		}
		return p, nil
	}
	v.EventStream = eventAddress(status.Stream, v.At)
	v.Event = d.event(r, status.Stream, v.At)
	return p, nil
}

// bounds finds out between which sequences one may slide.
func (v *timeView) bounds(past wire.Past, q url.Values) {
	v.Least, v.Most, v.Refused = past.Oldest, past.Newest, past.Refused
	if past.OldestTime != nil {
		v.LeastTime = moment(*past.OldestTime)
	}
	switch {
	case past.Refused != "" || past.Began >= past.Oldest:
	case v.Replay:
		v.Least, v.LeastTime = past.Began, ""
	default:
		v.Further = tabAddress(v.Projection, "time", with(q, "replay", "true"))
	}
}

// ask is the question to the API; a from that is not given is the sequence before to.
func (v *timeView) ask(r *http.Request, ask func(client.Between) (wire.Changes, error)) (page wire.Changes, asked client.Between, err error) {
	q := r.URL.Query()
	asked = client.Between{From: v.From, To: v.To, Replay: v.Replay, Limit: timePage}
	if asked.Prefix, err = keyOf(q, "prefix"); err != nil {
		return page, asked, err
	}
	if asked.After, err = keyOf(q, "after"); err != nil {
		return page, asked, err
	}
	if asked.To == "" {
		asked.To = strconv.FormatUint(max(v.Most, 1), 10)
	}
	if asked.From == "" {
		n, err := strconv.ParseUint(asked.To, 10, 47)
		if err != nil { // a time: which sequence it is, the API says
			probe := asked
			probe.From, probe.Limit = asked.To, 1
			point, err := ask(probe)
			if err != nil {
				return page, asked, err
			}
			n = point.To.AsOfSeq
			asked.To = strconv.FormatUint(max(n, 1), 10)
		}
		asked.From = strconv.FormatUint(max(v.Least, max(n, 1)-1), 10)
		if max(n, 1)-1 < v.Least && !v.Replay {
			asked.From = asked.To // there is nothing before it to compare with
		}
	}
	page, err = ask(asked)
	return page, asked, err
}

// moment reads what there is at the points that are asked for.
func (d *Dashboard) moment(r *http.Request, v *timeView, p *page) error {
	if below := r.URL.Query().Get("below"); below != "" {
		prefix, err := keyOf(r.URL.Query(), "prefix")
		if err != nil {
			return err
		}
		return d.stateBelow(r, v, p, prefix, below)
	}
	page, asked, err := v.ask(r, func(b client.Between) (wire.Changes, error) { return d.ask.Changes(r.Context(), v.Projection, b) })
	p.Copy = []ask{{"what changed", curl(r, apiPath(v.Projection, "changes", asked.Parameters())), "engine changes " + quoted(v.Projection) +
		flags("from", quotedOrNone(asked.From), "to", quotedOrNone(asked.To)) + prefixFlag(asked.Prefix) + replayFlag(v.Replay)}}
	if err != nil {
		return err
	}
	v.FromPoint, v.ToPoint, v.Counts = page.From, page.To, page.Counts
	v.Before, v.At = page.From.AsOfSeq, page.To.AsOfSeq
	q := r.URL.Query()
	at := strconv.FormatUint(v.At, 10)
	for _, k := range page.Items {
		v.Changes = append(v.Changes, changedRow{
			Key: keyText(k.Key), Diff: differenceOf(k.Change, k.Before, k.After),
			Address: keyAddress(v.Projection, "state", k.Key, at), Explain: keyAddress(v.Projection, "explain", k.Key, at),
		})
	}
	if next, more := page.After(); more {
		q := with(q, "after", "", "after_b64", "", "from", strconv.FormatUint(v.Before, 10), "to", at)
		setKey(q, "after", next)
		v.Next = tabAddress(v.Projection, "time", q)
	}
	v.steps(q)
	if r.Header.Get("HX-Request") != "" && r.Header.Get("HX-History-Restore-Request") == "" {
		v.Deferred = tabAddress(v.Projection, "time", with(q, "below", at))
	}
	return d.stateBelow(r, v, p, asked.Prefix, at)
}

func replayFlag(replay bool) string {
	if replay {
		return " --replay"
	}
	return ""
}

// stateBelow reads the first keys of the state as of there.
func (d *Dashboard) stateBelow(r *http.Request, v *timeView, p *page, prefix []byte, at string) error {
	as := &stateView{Projection: v.Projection, At: at, Replay: v.Replay}
	api := as.moment()
	setKey(api, "prefix", prefix)
	v.StateAll = tabAddress(v.Projection, "state", api)
	p.Copy = append(p.Copy, ask{"the state as of there", curl(r, apiPath(v.Projection, "state", api)), as.command("engine scan " + quoted(v.Projection) + prefixFlag(prefix))})
	if v.Deferred != "" {
		return nil
	}
	page, err := d.ask.At(client.Moment{At: at, Replay: v.Replay}).Page(r.Context(), v.Projection, prefix, nil, timeRows)
	for _, row := range page.Items {
		v.State = append(v.State, as.row(row))
	}
	return err
}

// steps are links to places nearby. They keep the first point, if one was asked for and is
// before them.
func (v *timeView) steps(q url.Values) {
	percent := max((v.Most-v.Least)/100, 1)
	to := func(n uint64, ok bool, label, title string) {
		s := place{Label: label, Title: title}
		if ok && n != v.At {
			pairs := []string{"to", strconv.FormatUint(n, 10), "after", "", "after_b64", ""}
			if v.From != "" && n < v.Before {
				pairs = append(pairs, "from", "")
			}
			s.Address = tabAddress(v.Projection, "time", with(q, pairs...))
		}
		v.Steps = append(v.Steps, s)
	}
	least := max(v.Least, 1)
	to(least, true, "Oldest", "the oldest that can be read")
	to(v.At-min(percent, v.At), v.At >= least+percent, "−1 %", "one hundredth back")
	to(v.At-min(1, v.At), v.At > least, "−1", "one event back")
	to(v.At+1, v.At < v.Most, "+1", "one event on")
	to(v.At+percent, v.At+percent <= v.Most, "+1 %", "one hundredth on")
	to(v.Most, true, "Newest", "what is served now")
	if v.From != "" {
		v.OnlyThis = tabAddress(v.Projection, "time", with(q, "from", "", "to", strconv.FormatUint(v.At, 10), "after", "", "after_b64", ""))
	}
}
