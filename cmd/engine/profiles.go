package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
)

const (
	// defaultProfiles is where profiles are served when no address is named: the one
	// of the examples in the documentation of net/http/pprof.
	defaultProfiles = "127.0.0.1:6060"
	// While profiles are served, one in so many contended locks is sampled, and one
	// goroutine for so many nanoseconds that all of them are blocked.
	mutexFraction = 100
	blockRate     = int(time.Millisecond)
)

// profilesAddress is where --pprof asks for profiles; empty: nowhere. The address may
// also be an argument of its own, which a flag with an optional value cannot take.
func profilesAddress(c *cobra.Command, flag string, args []string) (string, error) {
	if !cli.Given(c, "pprof") {
		return "", nil
	}
	if len(args) > 0 {
		flag = args[0]
	}
	host, port, err := net.SplitHostPort(flag)
	if err != nil {
		return "", cli.Usagef(c, "--pprof %q: use HOST:PORT, such as %s", flag, defaultProfiles)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", cli.Usagef(c, "--pprof %q: %q is no port", flag, port)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", cli.Usagef(c, "--pprof %q, which others can reach: profiles show memory and arguments, listen on 127.0.0.1:%s and reach it through ssh -L", flag, port)
	}
	return flag, nil
}

// profilesArgs allows the address of --pprof as an argument, and nothing else.
func profilesArgs(c *cobra.Command, args []string) error {
	if f := c.Flags().Lookup("pprof"); f.Changed && f.Value.String() == f.NoOptDefVal {
		return cobra.MaximumNArgs(1)(c, args)
	}
	return cobra.NoArgs(c, args)
}

// profiles serves the profiles of this process, apart from the API.
type profiles struct {
	listener net.Listener
	server   http.Server
	done     chan struct{}
}

// openProfiles begins to serve at an address.
func openProfiles(address string) (*profiles, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("--pprof: %w", err), "another program has the address; name another one, such as --pprof=127.0.0.1:0 for any that is free")
	}
	runtime.SetMutexProfileFraction(mutexFraction)
	runtime.SetBlockProfileRate(blockRate)
	p := &profiles{listener: l, done: make(chan struct{})}
	p.server.Handler, p.server.ReadHeaderTimeout = profilesHandler(), 10*time.Second
	go func() {
		defer close(p.done)
		_ = p.server.Serve(l) // until Close
	}()
	return p, nil
}

// URL is where the list of profiles is.
func (p *profiles) URL() string { return "http://" + p.listener.Addr().String() + "/debug/pprof/" }

// Close ends the serving; a profile that is being taken is cut off.
func (p *profiles) Close() error {
	runtime.SetMutexProfileFraction(0)
	runtime.SetBlockProfileRate(0)
	err := p.server.Close()
	<-p.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func profilesHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !asksLocally(r.Host) {
			http.Error(w, "the host "+r.Host+" is not this machine: use 127.0.0.1 or localhost", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// asksLocally keeps pages of other sites out, whose name was made to resolve to here.
func asksLocally(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
