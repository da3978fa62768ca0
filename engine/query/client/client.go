// Package client asks a running engine over HTTP (net/http).
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/wire"
)

// Client asks one engine. It is safe for concurrent use.
type Client struct {
	base   string
	shown  string // base without what should not show
	token  string
	http   *http.Client
	moment Moment
}

// Moment says which state of a projection Get, Scan and Letters read.
type Moment struct {
	// MinSeq is a sequence that the state has to reflect, such as the one that an append
	// was answered with; 0: none. The engine waits until it does, for Wait: at most 1 min;
	// 0: for 2 s; less: not at all. If it does not come to that, or the projection does not
	// go on by itself, they fail with a *wire.Problem of the code not-reached or stopped,
	// which has what it reflects.
	MinSeq uint64
	Wait   time.Duration

	// At is a sequence of the stream, or a time (RFC 3339), as of which the state is read;
	// empty: now. Replay has what is not kept of it be computed from the events.
	At     string
	Replay bool

	// Reflects, if given, is called with what each answer reflects, before any of its rows.
	Reflects func(wire.AsOf)
}

// At returns a client of the same engine that reads at a moment.
func (c *Client) At(m Moment) *Client {
	at := *c
	at.moment = m
	return &at
}

// parameters adds those of the moment.
func (m Moment) parameters(q url.Values) string {
	if m.MinSeq > 0 {
		q.Set("min_seq", strconv.FormatUint(m.MinSeq, 10))
		if m.Wait != 0 {
			q.Set("wait", max(m.Wait, 0).String())
		}
	}
	if m.At != "" {
		q.Set("at", m.At)
		if _, err := strconv.ParseUint(m.At, 10, 64); err == nil && m.Wait != 0 { // it is waited for, too
			q.Set("wait", max(m.Wait, 0).String())
		}
		if m.Replay {
			q.Set("replay", "true")
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// reflects tells what an answer reflects.
func (m Moment) reflects(h http.Header) {
	if m.Reflects != nil {
		m.Reflects(asOf(h))
	}
}

// asOf is what the headers of an answer say that it reflects.
func asOf(h http.Header) wire.AsOf {
	at := wire.AsOf{Standing: &wire.Standing{
		Generation: h.Get("Gnomon-Generation"), State: engine.RunnerState(h.Get("Gnomon-State")), Freshness: engine.Freshness(h.Get("Gnomon-Freshness")),
	}}
	at.Sequence, _ = strconv.ParseUint(h.Get("Gnomon-As-Of-Seq"), 10, 64)
	at.Behind, _ = strconv.ParseUint(h.Get("Gnomon-Behind"), 10, 64)
	at.Time, _ = time.Parse(time.RFC3339Nano, h.Get("Gnomon-As-Of-Time")) // absent before the first event
	return at
}

// New makes a client of the engine at a URL such as http://127.0.0.1:7780. Token
// may be empty.
func New(base, token string) (*Client, error) {
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("server %q is no URL such as http://127.0.0.1:7780", withoutUser(base))
	}
	return &Client{base: strings.TrimSuffix(base, "/"), shown: strings.TrimSuffix(u.Redacted(), "/"), token: token, http: new(http.Client)}, nil
}

// withoutUser leaves out of what is no URL what may be a password.
func withoutUser(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		return scheme + "://…" + rest[i:]
	}
	return text
}

// ErrUnreachable says that no engine answers. It is wrapped with the URL.
var ErrUnreachable = errors.New("no engine answers")

// Version is that of the engine.
func (c *Client) Version(ctx context.Context) (string, error) {
	var description struct {
		Info struct {
			Version string `json:"version"`
		} `json:"info"`
	}
	err := c.get(ctx, "/openapi.json", &description)
	return description.Info.Version, err
}

// Projections returns the status of all projections.
func (c *Client) Projections(ctx context.Context) ([]engine.Status, error) {
	var p wire.Projections
	err := c.get(ctx, "/v1/projections", &p)
	return p.Projections, err
}

// Projection returns the status of one.
func (c *Client) Projection(ctx context.Context, name string) (engine.Status, error) {
	var s engine.Status
	err := c.get(ctx, "/v1/projections/"+escape(name), &s)
	return s, err
}

// Get returns one key.
func (c *Client) Get(ctx context.Context, projection string, key []byte) (wire.Get, error) {
	var g wire.Get
	err := c.read(ctx, "/v1/projections/"+escape(projection)+"/state/"+escape(string(key)), url.Values{}, &g)
	return g, err
}

// Scan calls fn for every key with a prefix, in order, all as of one sequence. A
// limit of 0 is none.
func (c *Client) Scan(ctx context.Context, projection string, prefix []byte, limit int, fn func(wire.Row) error) error {
	q := url.Values{"prefix": {string(prefix)}}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	req, err := c.request(ctx, http.MethodGet, "/v1/projections/"+escape(projection)+"/state"+c.moment.parameters(q), "", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/x-ndjson")
	res, err := c.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	c.moment.reflects(res.Header)
	d := json.NewDecoder(bufio.NewReaderSize(res.Body, 64<<10))
	rows := 0
	for {
		var row wire.Row
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("scan of %s was cut off after %d keys: %w", projection, rows, err)
		}
		rows++
		if err := fn(row); err != nil {
			return err
		}
	}
	if want := res.Trailer.Get("Gnomon-Rows"); want != strconv.Itoa(rows) {
		return fmt.Errorf("scan of %s was cut off: %d keys came, the engine counts %q", projection, rows, want)
	}
	return nil
}

// Query has the module of a projection answer a request.
func (c *Client) Query(ctx context.Context, projection string, request []byte) (wire.Answer, error) {
	a := wire.Answer{Projection: projection}
	req, err := c.request(ctx, http.MethodPost, "/v1/projections/"+escape(projection)+"/query"+c.moment.parameters(url.Values{}), "application/octet-stream", bytes.NewReader(request))
	if err != nil {
		return a, err
	}
	res, err := c.send(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	c.moment.reflects(res.Header)
	a.AsOf = asOf(res.Header)
	if a.Body, err = io.ReadAll(res.Body); err != nil {
		return a, fmt.Errorf("answer of %s: %w", c.base, err)
	}
	return a, nil
}

// Snapshots lists named snapshots.
func (c *Client) Snapshots(ctx context.Context, projection string) ([]catalog.Snapshot, error) {
	var s wire.Snapshots
	err := c.get(ctx, "/v1/projections/"+escape(projection)+"/snapshots", &s)
	return s.Snapshots, err
}

// CreateSnapshot takes a named snapshot.
func (c *Client) CreateSnapshot(ctx context.Context, projection, name string) (catalog.Snapshot, error) {
	var s catalog.Snapshot
	err := c.post(ctx, "/v1/projections/"+escape(projection)+"/snapshots", wire.NewSnapshot{Name: name}, &s)
	return s, err
}

// Act does a verb, such as pause, and returns the status after it.
func (c *Client) Act(ctx context.Context, projection, verb string) (engine.Status, error) {
	var s engine.Status
	err := c.post(ctx, "/v1/projections/"+escape(projection)+"/"+verb, struct{}{}, &s)
	return s, err
}

// Accept has a projection go on though its stream changed.
func (c *Client) Accept(ctx context.Context, projection, reason string) (catalog.Acceptance, error) {
	var done catalog.Acceptance
	err := c.post(ctx, "/v1/projections/"+escape(projection)+"/accept", wire.Accept{Reason: reason}, &done)
	return done, err
}

// Reload has the engine take its configuration and modules as they are now.
func (c *Client) Reload(ctx context.Context) (done wire.Reloaded, err error) {
	return done, c.post(ctx, "/v1/reload", struct{}{}, &done)
}

// LogLevel says from which level on the engine logs.
func (c *Client) LogLevel(ctx context.Context) (l wire.Log, err error) {
	return l, c.get(ctx, "/v1/log", &l)
}

// SetLogLevel has the engine log from a level on, one of wire.LogLevels, until its next start
// or reload.
func (c *Client) SetLogLevel(ctx context.Context, level string) (l wire.Log, err error) {
	return l, c.ask(ctx, http.MethodPut, "/v1/log", wire.Log{Level: level}, &l)
}

// Import appends events given as JSON Lines.
func (c *Client) Import(ctx context.Context, stream string, lines io.Reader) (wire.Imported, error) {
	var done wire.Imported
	req, err := c.request(ctx, http.MethodPost, "/v1/streams/"+escape(stream)+"/events", "application/x-ndjson", lines)
	if err != nil {
		return done, err
	}
	return done, c.do(req, &done)
}

// Publish appends one event. A *wire.Problem for an expectation that does not hold shows
// what is there instead.
func (c *Client) Publish(ctx context.Context, stream string, e wire.NewEvent) (wire.Appended, error) {
	return c.publish(ctx, stream, e)
}

// PublishBatch appends events as one: all of them or none.
func (c *Client) PublishBatch(ctx context.Context, stream string, events []wire.NewEvent) (wire.Appended, error) {
	return c.publish(ctx, stream, wire.NewEvents{Events: events})
}

func (c *Client) publish(ctx context.Context, stream string, ask any) (done wire.Appended, err error) {
	err = c.post(ctx, "/v1/streams/"+escape(stream)+"/events?show=data", ask, &done)
	return done, err
}

func (c *Client) get(ctx context.Context, path string, v any) error {
	req, err := c.request(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	return c.do(req, v)
}

// read gets what is read at the client's moment.
func (c *Client) read(ctx context.Context, path string, q url.Values, v any) error {
	req, err := c.request(ctx, http.MethodGet, path+c.moment.parameters(q), "", nil)
	if err != nil {
		return err
	}
	res, err := c.send(req)
	if err != nil {
		return err
	}
	c.moment.reflects(res.Header)
	return c.decode(res, v)
}

func (c *Client) post(ctx context.Context, path string, ask, v any) error {
	return c.ask(ctx, http.MethodPost, path, ask, v)
}

func (c *Client) ask(ctx context.Context, method, path string, ask, v any) error {
	b, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, method, path, "application/json", bytes.NewReader(b))
	if err != nil {
		return err
	}
	return c.do(req, v)
}

func (c *Client) request(ctx context.Context, method, path, kind string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

func (c *Client) do(req *http.Request, v any) error {
	res, err := c.send(req)
	if err != nil {
		return err
	}
	return c.decode(res, v)
}

// decode reads an answer and closes it.
func (c *Client) decode(res *http.Response, v any) error {
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("answer of %s: %w", c.shown, err)
	}
	return nil
}

// send sends a request and makes errors of problems: *wire.Problem.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w at %s", ErrUnreachable, c.shown)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.shown, ofTLS(c.refusal(req.Context(), req.URL, withoutURL(err))))
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); !strings.Contains(kind, "json") && plainToTLS(res) {
		err := fmt.Errorf("ask %s: it speaks TLS", c.shown)
		return nil, &TLSError{err, "use https://" + strings.TrimPrefix(c.shown, "http://")}
	}
	var p wire.Problem
	if json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&p) != nil || p.Code == "" {
		return nil, fmt.Errorf("ask %s: it answers %s, which is no engine's answer", c.shown, res.Status)
	}
	return nil, &p
}

// withoutURL takes the URL off an error of net/http, which says it twice otherwise.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// escape encodes a part of a path, so that nothing on the way takes it for more
// than that: url.PathEscape leaves dots alone, and paths with ".." are cleaned.
func escape(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.Repeat("%2E", len(s))
	}
	return url.PathEscape(s)
}

// Page returns a page of the keys with a prefix that come after one, limit of them at most.
func (c *Client) Page(ctx context.Context, projection string, prefix, after []byte, limit int) (p wire.Page, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	setKeys(q, prefix, after)
	return p, c.read(ctx, "/v1/projections/"+escape(projection)+"/state", q, &p)
}
