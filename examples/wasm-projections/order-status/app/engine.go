package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// engine is the part of the HTTP API of an engine that the application needs.
type engine struct {
	base, stream, projection, token string
	http                            http.Client
}

// newEvent is an event to append.
type newEvent struct {
	Subject    string  `json:"subject"`
	Type       string  `json:"type"`
	MsgID      string  `json:"msg_id"`
	Data       any     `json:"data"`
	ExpectLast *uint64 `json:"expect_last_subject_seq,omitempty"`
}

// conflict says that the order has changed since it was read: the sequence of its last event
// is another one.
type conflict struct{ version uint64 }

func (c conflict) Error() string {
	return fmt.Sprintf("the order has changed meanwhile, at %d", c.version)
}

// append stores events, all of them or none, and returns the sequence of the last. An answer that
// is lost is asked for again: with the same ids they are stored once.
func (e *engine) append(ctx context.Context, events []newEvent) (seq uint64, _ error) {
	body, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return 0, err
	}
	for {
		var answer struct {
			Seq    uint64  `json:"seq"`
			Detail string  `json:"detail"`
			Last   *uint64 `json:"last_subject_seq"`
		}
		status, err := e.ask(ctx, http.MethodPost, "/v1/streams/"+url.PathEscape(e.stream)+"/events", body, &answer)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil || status == http.StatusServiceUnavailable:
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		case status == http.StatusConflict && answer.Last != nil:
			return 0, conflict{*answer.Last}
		case status >= 300:
			return 0, fmt.Errorf("append: %d %s", status, answer.Detail)
		}
		return answer.Seq, nil
	}
}

// order is how an order stands, as the projection says.
type order struct {
	Status  string         `json:"status"`
	Items   map[string]int `json:"items"`
	Cents   int            `json:"cents"`
	Version uint64         `json:"version"`
}

// order reads an order, not before the event at a sequence has its effect. One that is not known
// yet is the zero value.
func (e *engine) order(ctx context.Context, id string, minSeq uint64) (o order, _ error) {
	var answer struct {
		Value  *order `json:"value"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	path := fmt.Sprintf("/v1/projections/%s/state/%s?min_seq=%d", url.PathEscape(e.projection), url.PathEscape("order\t"+id), minSeq)
	status, err := e.ask(ctx, http.MethodGet, path, nil, &answer)
	switch {
	case err != nil:
		return o, err
	case status == http.StatusNotFound && answer.Code == "no-such-key":
		return o, nil
	case status >= 300 || answer.Value == nil:
		return o, fmt.Errorf("read order %s: %d %s", id, status, answer.Detail)
	}
	return *answer.Value, nil
}

// watch opens the stream of changes of the projection, as server-sent events.
func (e *engine) watch(ctx context.Context, lastID string) (*http.Response, error) {
	req, err := e.request(ctx, http.MethodGet, "/v1/projections/"+url.PathEscape(e.projection)+"/watch", nil)
	if err != nil {
		return nil, err
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	return e.http.Do(req)
}

func (e *engine) ask(ctx context.Context, method, path string, body []byte, v any) (status int, _ error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := e.request(ctx, method, path, body)
	if err != nil {
		return 0, err
	}
	res, err := e.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	err = json.NewDecoder(res.Body).Decode(v)
	return res.StatusCode, err
}

func (e *engine) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if e.token != "" {
		req.Header.Set("Authorization", "Bearer "+e.token)
	}
	return req, nil
}
