package query

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exchanges measures the requests of clients. What is asked for has the names that
// openapi.json gives it, so that neither a key nor what a stranger asks for makes a series.
type exchanges struct {
	routes   map[int][][]string // templates, by their number of parts
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newExchanges() *exchanges {
	e := &exchanges{
		routes: map[int][][]string{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gnomon_http_requests_total", Help: "Requests that were answered, by route as in openapi.json, method and status.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gnomon_http_request_duration_seconds", Help: "How long requests took until all of the answer was written, without streams of events.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
	}
	var described struct {
		Paths map[string]json.RawMessage `json:"paths"`
	}
	_ = json.Unmarshal(openAPI, &described) // a test holds it to be well formed
	for path := range described.Paths {
		parts := strings.Split(path, "/")
		e.routes[len(parts)] = append(e.routes[len(parts)], parts)
	}
	for _, all := range e.routes { // those with the fewest parameters first
		slices.SortFunc(all, func(a, b []string) int { return parameterCount(a) - parameterCount(b) })
	}
	return e
}

func parameterCount(template []string) (n int) {
	for _, p := range template {
		if isParameter(p) {
			n++
		}
	}
	return n
}

func isParameter(part string) bool { return strings.HasPrefix(part, "{") }

// stateRoute has a key that may have slashes.
const stateRoute = "/v1/projections/{projection}/state/{key}"

// route is the template of openapi.json that an escaped path is one of.
func (e *exchanges) route(path string) string {
	if strings.HasPrefix(path, "/ui/") {
		return "/ui/"
	}
	parts := strings.Split(path, "/")
	for _, template := range e.routes[len(parts)] {
		if slices.EqualFunc(template, parts, func(want, got string) bool { return want == got || isParameter(want) && got != "" }) {
			return strings.Join(template, "/")
		}
	}
	if len(parts) > 5 && parts[1] == "v1" && parts[2] == "projections" && parts[4] == "state" {
		return stateRoute
	}
	return "other"
}

// routeOf is what a request is for: as metrics have it, and traces.
func (e *exchanges) routeOf(r *http.Request) string { return e.route(r.URL.EscapedPath()) }

// methods are those that are told apart.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions}

// answered notes that a request has its answer.
func (e *exchanges) answered(r *http.Request, out *paced, took time.Duration) {
	route, method := e.routeOf(r), r.Method
	if !slices.Contains(methods, method) {
		method = "other"
	}
	e.requests.WithLabelValues(route, method, strconv.Itoa(out.status())).Inc()
	if out.Header().Get("Content-Type") != "text/event-stream" {
		e.seconds.WithLabelValues(route).Observe(took.Seconds())
	}
}

// registerHTTP registers what is measured of the server itself.
func (s *Server) registerHTTP(r *prometheus.Registry, config *tls.Config) {
	r.MustRegister(s.traffic.requests, s.traffic.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_http_connections", Help: "Connections of HTTP clients."}, func() float64 {
			open, _ := s.opened.counts()
			return float64(open)
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gnomon_http_refused_total", Help: "Requests and connections that were refused because of http.max_connections."}, func() float64 {
			_, refused := s.opened.counts()
			return float64(refused)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_watches", Help: "Watches under way, over HTTP and over NATS."}, func() float64 { return float64(s.watches.now.Load()) }),
	)
	if config != nil {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_http_certificate_expiry_timestamp_seconds", Help: "When the certificate of the server ends, in seconds since 1970; 0: not known."}, func() float64 {
			return certificateEnd(config)
		}))
	}
}

// certificateEnd is when the certificate that a client would get now ends, in seconds since
// 1970; 0: it cannot be told.
func certificateEnd(c *tls.Config) float64 {
	if c.GetConfigForClient != nil {
		if other, err := c.GetConfigForClient(new(tls.ClientHelloInfo)); err == nil && other != nil {
			c = other
		}
	}
	if len(c.Certificates) == 0 || c.Certificates[0].Leaf == nil {
		return 0
	}
	return float64(c.Certificates[0].Leaf.NotAfter.Unix())
}
