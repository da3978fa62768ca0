package dashboard

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// statePage is how many keys a page of the state has.
const statePage = 50

// stateView is the tab State: keys in order, or one key.
type stateView struct {
	Projection string
	Prefix, At string // as they were asked for
	MinSeq     string
	Replay     bool
	AsOf       *wire.Reflected // nil: nothing could be read
	Trouble    *trouble
	Rows       []stateRow
	Next       string // address; empty: there is no more
	First      string // address, of a page that is not the first one
	Up         string // address of all keys

	// Of one key.
	One                *shown
	KeyName, KeyValue  string // in the address
	Key, Dump, RawPath string
	Explain, Time      string // addresses
}

// stateRow is a key among others.
type stateRow struct {
	Key, Address, Explain, Time string
	Value                       shown
	Prefix                      string // address of the keys that begin as it does, up to a tab; empty: it has none
}

// trouble is why something cannot be shown, with the way out, if there is one.
type trouble struct {
	*wire.Problem
	Replay string // address that has it computed from the events
}

// troubleOf is what a page says of an error of the API; replay is the address of the same page
// with what is not kept computed.
func troubleOf(err error, replay string) (*trouble, bool) {
	var p *wire.Problem
	if !errors.As(err, &p) {
		return nil, false
	}
	t := &trouble{Problem: p}
	if p.Code == wire.CodeNotKept {
		t.Replay = replay
	}
	return t, true
}

// state is the tab State.
func (d *Dashboard) state(r *http.Request) (*page, error) {
	name, q := r.PathValue("projection"), r.URL.Query()
	v := &stateView{Projection: name, Prefix: q.Get("prefix"), At: strings.TrimSpace(q.Get("at")), MinSeq: strings.TrimSpace(q.Get("min_seq")), Replay: q.Get("replay") == "true"}
	least, err := numberOf(q, "min_seq")
	if err != nil {
		return nil, err
	}
	at := d.ask.At(client.Moment{At: v.At, Replay: v.Replay && v.At != "", MinSeq: least})
	p := &page{Title: name + ": state", template: "state", Projection: name, Tab: "state", Data: v}
	key, err := keyOf(q, "key")
	switch {
	case err != nil:
		return nil, err
	case len(key) > 0 || q.Has("key") && q.Get("key") != "":
		err = d.oneKey(r, v, p, at, key)
	default:
		err = d.someKeys(r, v, p, at)
	}
	t, known := troubleOf(err, tabAddress(name, "state", with(q, "replay", "true")))
	switch {
	case err != nil && !known:
		return nil, err
	case err == nil:
	case t.Code == wire.CodeNoProjection:
		return nil, err
	default:
		v.Trouble, p.status = t, t.Status
	}
	return p, nil
}

// moment are the parameters of the API that say which state is read.
func (v *stateView) moment() url.Values {
	q := url.Values{}
	if v.MinSeq != "" {
		q.Set("min_seq", v.MinSeq)
	}
	if v.At != "" {
		q.Set("at", v.At)
		if v.Replay {
			q.Set("replay", "true")
		}
	}
	return q
}

// command is that of the command line, with the flags that say which state is read.
func (v *stateView) command(words string) string {
	replay := ""
	if v.Replay && v.At != "" {
		replay = " --replay"
	}
	return words + flags("min-seq", v.MinSeq, "at", quotedOrNone(v.At)) + replay
}

func quotedOrNone(word string) string {
	if word == "" {
		return ""
	}
	return quoted(word)
}

// someKeys is a page of keys.
func (d *Dashboard) someKeys(r *http.Request, v *stateView, p *page, at *client.Client) error {
	q := r.URL.Query()
	prefix, err := keyOf(q, "prefix")
	if err != nil {
		return err
	}
	after, err := keyOf(q, "after")
	if err != nil {
		return err
	}
	api := v.moment()
	setKey(api, "prefix", prefix)
	setKey(api, "after", after)
	api.Set("limit", strconv.Itoa(statePage))
	p.Copy = []ask{{"these keys", curl(r, apiPath(v.Projection, "state", api)), v.command("engine scan " + quoted(v.Projection) + prefixFlag(prefix))}}
	if len(after) > 0 {
		v.First = tabAddress(v.Projection, "state", with(q, "after", "", "after_b64", ""))
	}
	page, err := at.Page(r.Context(), v.Projection, prefix, after, statePage)
	if err != nil {
		return err
	}
	v.AsOf = &page.Reflected
	for _, row := range page.Items {
		v.Rows = append(v.Rows, v.row(row))
	}
	if next, more := page.After(); more {
		q := with(q, "after", "", "after_b64", "")
		setKey(q, "after", next)
		v.Next = tabAddress(v.Projection, "state", q)
	}
	return nil
}

func (v *stateView) row(row wire.Row) stateRow {
	q := v.moment()
	setKey(q, "key", row.Key)
	out := stateRow{
		Key: keyText(row.Key), Value: showRow(row.Value), Address: tabAddress(v.Projection, "state", q),
		Explain: keyAddress(v.Projection, "explain", row.Key, v.At), Time: keyAddress(v.Projection, "time", row.Key, ""),
	}
	if i := strings.IndexByte(string(row.Key), '\t'); i >= 0 {
		q.Del("key")
		q.Del("key_b64")
		setKey(q, "prefix", row.Key[:i+1])
		out.Prefix = tabAddress(v.Projection, "state", q)
	}
	return out
}

// prefixFlag is the flag of a command that reads keys with a prefix.
func prefixFlag(prefix []byte) string {
	if len(prefix) == 0 {
		return ""
	}
	return " --prefix " + quotedKey(prefix)
}

// oneKey is the page of a key.
func (d *Dashboard) oneKey(r *http.Request, v *stateView, p *page, at *client.Client, key []byte) error {
	p.template, p.Title = "key", keyText(key)+" of "+v.Projection
	v.Key = keyText(key)
	if v.KeyName, v.KeyValue = "key", string(key); !utf8.Valid(key) {
		v.KeyName, v.KeyValue = "key_b64", base64.StdEncoding.EncodeToString(key)
	}
	v.Up = tabAddress(v.Projection, "state", v.moment())
	v.Explain = keyAddress(v.Projection, "explain", key, v.At)
	times := url.Values{}
	if v.At != "" {
		times.Set("to", v.At)
	}
	setKey(times, "prefix", key)
	v.Time = tabAddress(v.Projection, "time", times)
	v.RawPath = apiPath(v.Projection, "state/"+pathOfKey(key), v.moment())
	p.Copy = []ask{{"this key", curl(r, v.RawPath), v.command("engine get " + quoted(v.Projection) + " " + quotedKey(key))}}
	got, err := at.Get(r.Context(), v.Projection, key)
	if err != nil {
		return err
	}
	reflected := got.Reflected()
	v.AsOf = &reflected
	one := showWhole(got.Value)
	v.One = &one
	if v.Dump = one.Dump; v.Dump == "" {
		v.Dump = hex.Dump(got.Value[:min(len(got.Value), 4<<10)])
	}
	return nil
}

// pathOfKey is a key as a part of a path, such that nothing on the way takes dots for more.
func pathOfKey(key []byte) string {
	text := string(key)
	if strings.Trim(text, ".") == "" {
		return strings.Repeat("%2E", len(text))
	}
	return pathOf(text)
}
