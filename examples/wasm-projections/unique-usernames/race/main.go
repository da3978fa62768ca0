// Command race lets many clients claim few names at once, over the HTTP API of an engine, and
// prints what became of each: one JSON object a line. Each name has one winner, and every
// loser is told who that is.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"time"
)

// outcome is what became of a client's claim.
type outcome struct {
	Client string `json:"client"`
	Name   string `json:"name"`
	Won    bool   `json:"won"`
	Owner  string `json:"owner"` // who has the name
	Seq    uint64 `json:"seq"`   // of the event that claimed it
}

func main() {
	server := flag.String("server", "http://127.0.0.1:7780", "the engine")
	stream := flag.String("stream", "USERS", "stream with the subjects users.>")
	clients := flag.Int("clients", 200, "how many claim")
	names := flag.Int("names", 50, "how many names they claim")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	api := &engine{base: *server, stream: *stream, token: os.Getenv("GNOMON_TOKEN"), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *clients}}}
	if err := race(ctx, api, *clients, *names, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "race:", err)
		os.Exit(1)
	}
}

// race has all clients claim at the same moment, and prints what became of each.
func race(ctx context.Context, api *engine, clients, names int, w io.Writer) error {
	outcomes, errs := make([]outcome, clients), make([]error, clients)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			<-start
			outcomes[i], errs[i] = api.claim(ctx, fmt.Sprintf("user-%03d", i%names), fmt.Sprint("client-", i))
		})
	}
	close(start)
	all.Wait()
	for i, o := range outcomes {
		if errs[i] == nil {
			errs[i] = json.NewEncoder(w).Encode(o)
		}
	}
	return errors.Join(errs...)
}

// engine is the part of the HTTP API that is needed here.
type engine struct {
	base, stream, token string
	http                *http.Client
}

// claim appends the event that claims a name, on condition that there is none yet: the last sequence
// of its subject is 0. The id of the message makes it safe to try again when an answer is lost: the
// engine then answers as it did, or would have, the first time.
func (e *engine) claim(ctx context.Context, name, client string) (outcome, error) {
	body, err := json.Marshal(map[string]any{
		"subject": "users.claimed." + name, "type": "NameClaimed", "data": map[string]string{"owner": client},
		"msg_id": client + " claims " + name, "expect_last_subject_seq": 0,
	})
	if err != nil {
		return outcome{}, err
	}
	o := outcome{Client: client, Name: name}
	for {
		status, answer, err := e.append(ctx, body)
		switch {
		case ctx.Err() != nil:
			return o, ctx.Err()
		case err != nil || status == http.StatusServiceUnavailable: // it may be stored
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		case status == http.StatusCreated, status == http.StatusOK:
			o.Won, o.Owner, o.Seq = true, client, answer.Seq
			return o, nil
		case status == http.StatusConflict && answer.Last != nil:
			o.Owner, o.Seq = answer.Last.Data.Owner, answer.Last.Seq
			return o, nil
		}
		return o, fmt.Errorf("%s claims %s: %d %s", client, name, status, answer.Detail)
	}
}

// answer is what the engine says: of what was appended the sequence, of what was not the
// event that is in the way.
type answer struct {
	Seq    uint64 `json:"seq"`
	Detail string `json:"detail"`
	Last   *struct {
		Seq  uint64 `json:"seq"`
		Data struct {
			Owner string `json:"owner"`
		} `json:"data"`
	} `json:"last_event"`
}

func (e *engine) append(ctx context.Context, body []byte) (status int, a answer, _ error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.base+"/v1/streams/"+url.PathEscape(e.stream)+"/events?show=data", bytes.NewReader(body))
	if err != nil {
		return 0, a, err
	}
	req.Header.Set("Content-Type", "application/json")
	if e.token != "" {
		req.Header.Set("Authorization", "Bearer "+e.token)
	}
	res, err := e.http.Do(req)
	if err != nil {
		return 0, a, err
	}
	defer res.Body.Close()
	err = json.NewDecoder(res.Body).Decode(&a)
	return res.StatusCode, a, err
}
