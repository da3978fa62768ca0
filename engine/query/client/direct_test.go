package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
)

// code is that of the problem that a request fails with; empty: it does not fail with one.
func code(err error) string {
	var p *wire.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// answers makes a handler that writes so many bytes of a JSON string.
func answers(bytes int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"level":"`+strings.Repeat("x", bytes)+`"}`)
	})
}

// An answer that is too large fails with what is wrong, and takes no memory from others.
func TestDirectBoundsAnAnswer(t *testing.T) {
	t.Parallel()
	c := client.Directly(answers(1000), 500, 1500)
	for range 3 {
		if _, err := c.LogLevel(t.Context()); code(err) != wire.CodeTooLarge {
			t.Fatalf("an answer that is too large: %v", err)
		}
	}
}

// All answers together are bounded, until the requests that they are for have ended.
func TestDirectBoundsAllAnswers(t *testing.T) {
	t.Parallel()
	c := client.Directly(answers(400), 500, 600)
	first, end := context.WithCancel(t.Context())
	defer end()
	if _, err := c.LogLevel(first); err != nil {
		t.Fatal(err)
	}
	if _, err := c.LogLevel(t.Context()); code(err) != wire.CodeBusy {
		t.Errorf("beside the first: %v", err)
	}
	end()
	testutil.Until(t, func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := c.LogLevel(ctx)
		return err == nil
	})
}

// A handler that gives up in the midst of its answer fails the request, and not who asks; a
// panic goes on to who guards the server.
func TestDirectAnswersThatAreCutOff(t *testing.T) {
	t.Parallel()
	gone := errors.New("it takes too long")
	ended, end := context.WithCancelCause(t.Context())
	end(gone)
	for _, tt := range []struct {
		name   string
		writes string
		ctx    context.Context
		want   error
	}{
		{"before it began", "", t.Context(), io.ErrUnexpectedEOF},
		{"in the midst", `{"key":"a","change":"added"}` + "\n", t.Context(), io.ErrUnexpectedEOF},
		{"because the request ended", "", ended, gone},
		{"because the request ended, in the midst", `{"key":`, ended, gone},
	} {
		c := client.Direct(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.writes != "" {
				_, _ = io.WriteString(w, tt.writes)
			}
			panic(http.ErrAbortHandler)
		}))
		keys := 0
		_, err := c.Diff(tt.ctx, "p", nil, 0, func(wire.Difference) error { keys++; return nil })
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if want := strings.Count(tt.writes, "\n"); keys != want {
			t.Errorf("%s: %d keys came, want %d", tt.name, keys, want)
		}
	}
	defer func() {
		if p := recover(); p != "a fault" {
			t.Errorf("a panic became %v", p)
		}
	}()
	_, _ = client.Direct(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") })).LogLevel(t.Context())
}
