package query_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"

	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/certtest"
)

// secure serves a rig under TLS.
func secure(t *testing.T, files access.Certificates) (r *rig, address string) {
	t.Helper()
	log := new(testutil.Log)
	config, err := access.ServerTLS(files, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r = newRigWith(t, query.Options{TLS: config}, "a", "1").start()
	r.log = log
	return r, r.listen()
}

// certificates are those of a server.
func certificates(t *testing.T, ca certtest.CA) (files access.Certificates) {
	t.Helper()
	files.Cert, files.Key = ca.Files(t, "server")
	return files
}

// get asks for one key with the files that a client has.
func get(t *testing.T, base string, files client.TLS) error {
	t.Helper()
	c, err := client.New(base, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UseTLS(files); err != nil {
		return err
	}
	g, err := c.Get(t.Context(), "p", []byte("a"))
	if err == nil && string(g.Value) != "1" {
		t.Errorf("%+v", g)
	}
	return err
}

// Under TLS, from 1.2 on, both versions of HTTP are served.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := certtest.New()
	_, address := secure(t, certificates(t, ca))
	for name, tt := range map[string]struct {
		config *tls.Config
		h2     bool
		want   string // of the protocol; empty: no connection
	}{
		"HTTP/2":   {&tls.Config{RootCAs: ca.Pool()}, true, "HTTP/2.0"},
		"HTTP/1.1": {&tls.Config{RootCAs: ca.Pool()}, false, "HTTP/1.1"},
		"TLS 1.2":  {&tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS12}, true, "HTTP/2.0"},
		"TLS 1.1":  {&tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false, ""},
	} {
		transport := &http.Transport{TLSClientConfig: tt.config, ForceAttemptHTTP2: tt.h2}
		t.Cleanup(transport.CloseIdleConnections)
		res, err := (&http.Client{Transport: transport}).Get("https://" + address + "/v1/projections/p/state/a")
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%s: %s", name, res.Status)
		case tt.want != "" && (err != nil || res.StatusCode != 200 || res.Proto != tt.want):
			t.Errorf("%s: %v, %v", name, res, err)
		}
		if err == nil {
			_ = res.Body.Close()
		}
	}
}

// What keeps a client and a server apart is told with the way out of it.
func TestTLSRefused(t *testing.T) {
	t.Parallel()
	ca, other := certtest.New(), certtest.New()
	expired := access.Certificates{}
	expired.Cert, expired.Key = ca.Files(t, "server", certtest.Expired)
	asking := certificates(t, ca)
	asking.ClientCA = ca.File(t)
	_, fine := secure(t, certificates(t, ca))
	old, late := secure(t, expired)
	_, asks := secure(t, asking)
	plain := newRig(t, "", "a", "1").start()
	trusts := client.TLS{CA: ca.File(t)}
	with := func(issuer certtest.CA, files client.TLS) client.TLS {
		files.Cert, files.Key = issuer.Files(t, "client")
		return files
	}
	for _, tt := range []struct {
		name  string
		base  string
		files client.TLS
		says  string // in the error; empty: there is none
		hint  string
	}{
		{"trusted", "https://" + fine, trusts, "", ""},
		{"unknown authority", "https://" + fine, client.TLS{}, "unknown authority", "GNOMON_CA"},
		{"another authority", "https://" + fine, client.TLS{CA: other.File(t)}, "authority", "GNOMON_CA"},
		{"expired", "https://" + late, trusts, "expired", "renew the certificate"},
		{"another name", strings.Replace("https://"+fine, "127.0.0.1", "localhost", 1), trusts, "localhost", "use a name"},
		{"plain to TLS", "http://" + fine, client.TLS{}, "it speaks TLS", "use https://" + fine},
		{"TLS to plain", strings.Replace(plain.server.URL, "http", "https", 1), trusts, "", "use http://"},
		{"a certificate", "https://" + asks, with(ca, trusts), "", ""},
		{"no certificate", "https://" + asks, trusts, "certificate", "GNOMON_CERT and GNOMON_KEY"},
		{"of another authority", "https://" + asks, with(other, trusts), "certificate", "GNOMON_CERT and GNOMON_KEY"},
		{"pinned", "https://" + fine, client.TLS{Server: asking.Cert}, "another certificate than " + asking.Cert, ""},
		{"no file", "https://" + fine, client.TLS{CA: "none.pem"}, "none.pem", ""},
		{"no certificate in it", "https://" + fine, client.TLS{CA: asking.Key}, "has none in PEM", ""},
		{"no key", "https://" + asks, client.TLS{Cert: asking.Cert}, `with key ""`, ""},
	} {
		err := get(t, tt.base, tt.files)
		if tt.says == "" && tt.hint == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		var of *client.TLSError
		if err == nil || !strings.Contains(err.Error(), tt.says) || tt.hint != "" && (!errors.As(err, &of) || !strings.Contains(of.Hint, tt.hint)) {
			t.Errorf("%s: %v, %+v", tt.name, err, of)
		}
	}
	if !strings.Contains(old.log.String(), "not valid now") {
		t.Errorf("the log does not warn of a certificate that has expired: %s", old.log)
	}
}

// Who has the server's own certificate trusts that, though no authority signed it and
// whatever its names.
func TestPinnedCertificate(t *testing.T) {
	t.Parallel()
	files := certificates(t, certtest.New())
	_, address := secure(t, files)
	if err := get(t, strings.Replace("https://"+address, "127.0.0.1", "localhost", 1), client.TLS{Server: files.Cert}); err != nil {
		t.Error(err)
	}
}

// Certificates and authorities that are replaced are used without a restart; what cannot be
// used is not, and the log says so.
func TestCertificatesReplaced(t *testing.T) {
	t.Parallel()
	ca, next := certtest.New(), certtest.New()
	files := certificates(t, ca)
	files.ClientCA = ca.File(t)
	r, address := secure(t, files)
	replace := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path+".next", b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".next", path); err != nil {
			t.Fatal(err)
		}
	}
	mine := client.TLS{CA: ca.File(t)}
	mine.Cert, mine.Key = ca.Files(t, "client")
	if err := get(t, "https://"+address, mine); err != nil {
		t.Fatal(err)
	}
	replace(files.Cert, []byte("junk"))
	testutil.Until(t, func() bool {
		return get(t, "https://"+address, mine) != nil || strings.Contains(r.log.String(), "cannot be read anew")
	})
	if err := get(t, "https://"+address, mine); err != nil {
		t.Errorf("while the file is none: %v", err)
	}
	cert, key := next.Issue("server")
	replace(files.Cert, cert)
	replace(files.Key, key)
	theirs := client.TLS{CA: next.File(t), Cert: mine.Cert, Key: mine.Key}
	testutil.Until(t, func() bool { return get(t, "https://"+address, theirs) == nil })
	authority, err := os.ReadFile(next.File(t))
	if err != nil {
		t.Fatal(err)
	}
	replace(files.ClientCA, authority)
	testutil.Until(t, func() bool { return get(t, "https://"+address, theirs) != nil })
	theirs.Cert, theirs.Key = next.Files(t, "client")
	if err := get(t, "https://"+address, theirs); err != nil {
		t.Errorf("with a certificate of the new authority: %v", err)
	}
}

// Files that cannot be used are an error that names them.
func TestBadCertificates(t *testing.T) {
	t.Parallel()
	files := certificates(t, certtest.New())
	junk := certtest.Write(t, "junk.pem", []byte("junk of a key"))
	for _, c := range []access.Certificates{
		{Cert: junk, Key: files.Key}, {Cert: files.Cert, Key: junk}, {Cert: files.Cert, Key: files.Key, ClientCA: junk}, {Cert: files.Cert, Key: junk + ".none"},
	} {
		if _, err := access.ServerTLS(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), junk) || strings.Contains(err.Error(), "junk of") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// streaming are what a client of HTTP/2 has on one connection.
func streaming(ca certtest.CA) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
	return &http.Client{Transport: transport}
}

// One connection of HTTP/2 has a bounded number of requests under way, however many it sends
// and takes back: a handler that goes on after its request was reset counts as long as it runs.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	ca := certtest.New()
	r, address := secure(t, certificates(t, ca))
	var mu sync.Mutex
	running, most := map[any]int{}, 0
	gate := make(chan struct{})
	r.appender.during = func(ctx context.Context) { // which does not heed that it was taken back
		on := query.ConnectionOf(ctx)
		mu.Lock()
		running[on]++
		most = max(most, running[on])
		mu.Unlock()
		<-gate
		mu.Lock()
		running[on]--
		mu.Unlock()
	}
	c := streaming(ca)
	t.Cleanup(c.CloseIdleConnections)
	var all sync.WaitGroup
	for range 400 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }})
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/v1/streams/S/events", strings.NewReader(`{"subject":"s"}`))
			if err != nil {
				t.Error(err)
				return
			}
			if res, err := c.Do(req); err == nil {
				_ = res.Body.Close()
			}
		})
	}
	all.Wait()
	mu.Lock()
	if most == 0 || most > query.MaxStreams || len(running) == 0 {
		t.Errorf("%d requests of one connection were under way at once, want 1 to %d", most, query.MaxStreams)
	}
	t.Logf("%d at most on one of %d connections", most, len(running))
	mu.Unlock()
	if err := get(t, "https://"+address, client.TLS{CA: ca.File(t)}); err != nil {
		t.Errorf("another connection meanwhile: %v", err)
	}
	close(gate)
}

// A body that does not come, and an answer that is not taken, end over HTTP/2 as they do
// over HTTP/1.1.
func TestSlowStreams(t *testing.T) {
	t.Parallel()
	ca := certtest.New()
	config, err := access.ServerTLS(certificates(t, ca), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := newRigWith(t, query.Options{TLS: config}, large(9)...).start()
	r.query.Hurry(10*atOnce, never, never)
	address := r.listen()
	c := streaming(ca)
	t.Cleanup(c.CloseIdleConnections)
	body, _ := io.Pipe() // nobody writes
	res, err := c.Post("https://"+address+"/v1/streams/S/events", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	if p := (reply{res, readAll(t, res)}).problem(t); p.Code != wire.CodeSlowBody {
		t.Errorf("%+v", p)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/v1/projections/p/state", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	if res, err = c.Do(req); err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	testutil.Until(t, func() bool { return strings.Contains(r.log.String(), "stream of rows was cut off") })
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
