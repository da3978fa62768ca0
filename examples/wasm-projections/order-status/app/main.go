// Command app is a small application over the projection order-status: commands that append
// events on condition, reads of one's own writes, and a page that is kept up to date. It needs
// nothing but the standard library and the HTTP API of an engine.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"time"
)

//go:embed page.html
var page []byte

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where to serve")
	server := flag.String("engine", "http://127.0.0.1:7780", "the engine")
	stream := flag.String("stream", "ORDERS", "stream with the subjects orders.*")
	flag.Parse()
	e := &engine{base: *server, stream: *stream, projection: "order-status", token: os.Getenv("GNOMON_TOKEN")}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *listen, e); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, address string, e *engine) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	s := &http.Server{Handler: routes(e), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() {
		<-ctx.Done()
		_ = s.Close()
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func routes(e *engine) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) { read(w, r, e) })
	mux.HandleFunc("POST /orders/{id}/{command}", func(w http.ResponseWriter, r *http.Request) { write(w, r, e) })
	mux.HandleFunc("GET /changes", func(w http.ResponseWriter, r *http.Request) { changes(w, r, e) })
	var origins http.CrossOriginProtection
	return origins.Handler(mux)
}

// ids are what the number of an order may be: one token of a subject.
var ids = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// write handles a command, and answers with the sequence to read with.
func write(w http.ResponseWriter, r *http.Request, e *engine) {
	c := command{Name: r.PathValue("command")}
	if c.Name == "place" {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&c.Items); err != nil {
			answer(w, http.StatusBadRequest, map[string]string{"error": "the body is a list of items: " + err.Error()})
			return
		}
	}
	if !ids.MatchString(r.PathValue("id")) {
		answer(w, http.StatusBadRequest, map[string]string{"error": "the number of an order is 1 to 64 letters, digits, - and _"})
		return
	}
	seq, err := handle(r.Context(), e, r.PathValue("id"), c)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		answer(w, http.StatusConflict, map[string]string{"error": err.Error()})
	case err != nil:
		answer(w, http.StatusBadGateway, map[string]string{"error": err.Error()})
	default:
		answer(w, http.StatusOK, map[string]uint64{"seq": seq})
	}
}

// read answers with an order, not before what min_seq says has its effect.
func read(w http.ResponseWriter, r *http.Request, e *engine) {
	least, err := strconv.ParseUint(r.FormValue("min_seq"), 10, 64)
	if err != nil && r.FormValue("min_seq") != "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": "min_seq is the seq that a command was answered with"})
		return
	}
	o, err := e.order(r.Context(), r.PathValue("id"), least)
	switch {
	case err != nil:
		answer(w, http.StatusBadGateway, map[string]string{"error": err.Error()})
	case o.Status == "":
		answer(w, http.StatusNotFound, map[string]string{"error": "there is no order " + r.PathValue("id")})
	default:
		answer(w, http.StatusOK, o)
	}
}

// changes hands the engine's server-sent events on, so that the page asks its own server only,
// which has the token.
func changes(w http.ResponseWriter, r *http.Request, e *engine) {
	res, err := e.watch(r.Context(), r.Header.Get("Last-Event-ID"))
	if err == nil {
		defer res.Body.Close()
	}
	if err != nil || res.StatusCode == http.StatusServiceUnavailable {
		// The engine is away: a browser gives up after an error, and asks again after an end.
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "retry: 2000\n\n")
		return
	}
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(res.StatusCode)
	flush := http.NewResponseController(w)
	buf := make([]byte, 16<<10)
	for {
		n, err := res.Body.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil || flush.Flush() != nil || err != nil {
			return
		}
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
