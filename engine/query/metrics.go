package query

import (
	"net/http"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"gnomon/engine"
	"gnomon/engine/query/access"
)

// metric is a number of a projection's status.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(engine.Status) float64
}

func projectionMetric(name, help string, kind prometheus.ValueType, value func(engine.Status) float64) metric {
	return metric{prometheus.NewDesc("gnomon_projection_"+name, help, []string{"projection", "stream"}, nil), kind, value}
}

var (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue

	projectionMetrics = []metric{
		projectionMetric("position", "Stream sequence that the served state reflects.", gauge, func(s engine.Status) float64 { return float64(s.Position) }),
		projectionMetric("stream_last_sequence", "Last sequence of the stream, as the server said.", gauge, func(s engine.Status) float64 { return float64(s.StreamLast) }),
		projectionMetric("behind", "Sequences between the served state and the end of the stream.", gauge, func(s engine.Status) float64 { return float64(s.Behind) }),
		projectionMetric("stream_absent_sequences", "Sequences between the stream's first and last event that hold none, as the server said.", gauge, func(s engine.Status) float64 { return float64(s.StreamAbsent) }),
		projectionMetric("durable_position", "Stream sequence that survives a crash of the machine.", gauge, func(s engine.Status) float64 { return float64(s.Durable) }),
		projectionMetric("keys", "Keys of the state.", gauge, func(s engine.Status) float64 { return float64(s.Keys) }),
		projectionMetric("state_bytes", "Bytes of keys and values of the state.", gauge, func(s engine.Status) float64 { return float64(s.Bytes) }),
		projectionMetric("disk_bytes", "Bytes that the keyspace takes of the disk.", gauge, func(s engine.Status) float64 { return float64(s.DiskBytes) }),
		projectionMetric("guest_memory_bytes", "Bytes of the module's linear memory.", gauge, func(s engine.Status) float64 { return float64(s.Memory) }),
		projectionMetric("events_applied_total", "Events handed to the module and applied.", counter, func(s engine.Status) float64 { return float64(s.Events) }),
		projectionMetric("absent_sequences_total", "Sequences that were passed over because the stream holds nothing there: deleted, expired, or not mirrored.", counter, func(s engine.Status) float64 { return float64(s.Passed.Absent) }),
		projectionMetric("delete_markers_total", "Delete markers of the server that were passed over.", counter, func(s engine.Status) float64 { return float64(s.Passed.Markers) }),
		projectionMetric("commits_total", "Commits of state and position.", counter, func(s engine.Status) float64 { return float64(s.Commits) }),
		projectionMetric("failures_total", "Batches that were rolled back.", counter, func(s engine.Status) float64 { return float64(s.Failures) }),
		projectionMetric("dead_letters", "Events that are set aside, until they are retried or dropped.", gauge, func(s engine.Status) float64 { return float64(s.Aside.Letters) }),
		projectionMetric("waiting_events", "Events that are set aside in the queues of their keys.", gauge, func(s engine.Status) float64 { return float64(s.Aside.Waiting) }),
		projectionMetric("skipped_events_total", "Events that were passed over.", counter, func(s engine.Status) float64 { return float64(s.Aside.Skipped) }),
		projectionMetric("fuel_per_event", "Fuel that an event used on average since the engine started; 0: not metered.", gauge, func(s engine.Status) float64 { return float64(s.Fuel) }),
		projectionMetric("apply_seconds_total", "Time spent in the module.", counter, func(s engine.Status) float64 { return s.Apply.Seconds() }),
	}
	// emitMetrics are there for a projection that emits.
	emitMetrics = []metric{
		projectionMetric("outbox_events", "Emitted events that are committed, and not known to be published.", gauge, func(s engine.Status) float64 { return float64(s.Emits.Waiting) }),
		projectionMetric("outbox_bytes", "Bytes of headers and data of emitted events that are not known to be published.", gauge, func(s engine.Status) float64 { return float64(s.Emits.WaitingBytes) }),
		projectionMetric("outbox_blocked", "1 while emitted events cannot be published, 0 otherwise.", gauge, func(s engine.Status) float64 {
			if s.Emits.Trouble != "" {
				return 1
			}
			return 0
		}),
		projectionMetric("published_events_total", "Emitted events that were published.", counter, func(s engine.Status) float64 { return float64(s.Emits.Published) }),
		projectionMetric("published_sequence", "Stream sequence of the event that caused the last one that was published.", gauge, func(s engine.Status) float64 { return float64(s.Emits.PublishedSeq) }),
		projectionMetric("silent_events_total", "Emitted events that are not to be published: of the history, or of what another generation emitted.", counter, func(s engine.Status) float64 { return float64(s.Emits.Silent) }),
	}
	stateDesc = prometheus.NewDesc("gnomon_projection_state", "1 for the state that the projection is in, 0 for the others.", []string{"projection", "stream", "state"}, nil)

	mirroredDesc = prometheus.NewDesc("gnomon_projection_mirrored_sequence", "Stream sequence that the projection's key-value bucket reflects.", []string{"projection", "stream"}, nil)
	leftOutDesc  = prometheus.NewDesc("gnomon_projection_mirror_left_out", "Keys that the projection's key-value bucket does not take.", []string{"projection", "stream"}, nil)

	states = []engine.RunnerState{engine.Starting, engine.CatchingUp, engine.Live, engine.Paused, engine.Halted, engine.Diverged, engine.Stalled, engine.Stopped}
)

// collector reads the status of every projection when it is scraped.
type collector struct{ engine Engine }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range projectionMetrics {
		ch <- m.desc
	}
	for _, m := range emitMetrics {
		ch <- m.desc
	}
	ch <- stateDesc
	describeGenerations(ch)
	ch <- mirroredDesc
	ch <- leftOutDesc
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.engine.Projections() {
		for _, m := range projectionMetrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), s.Projection, s.Stream)
		}
		if s.Emits != nil {
			for _, m := range emitMetrics {
				ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), s.Projection, s.Stream)
			}
		}
		collectState(ch, stateDesc, s, s.State)
		collectGenerations(ch, s)
		if m := s.Mirror; m != nil {
			ch <- prometheus.MustNewConstMetric(mirroredDesc, gauge, float64(m.Sequence), s.Projection, s.Stream)
			ch <- prometheus.MustNewConstMetric(leftOutDesc, gauge, float64(m.LeftOut), s.Projection, s.Stream)
		}
	}
}

// collectState says of each state whether it is this one.
func collectState(ch chan<- prometheus.Metric, desc *prometheus.Desc, s engine.Status, is engine.RunnerState) {
	for _, state := range states {
		value := 0.0
		if state == is {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(desc, gauge, value, s.Projection, s.Stream, string(state))
	}
}

// newRegistry makes a registry of everything that the engine measures.
func newRegistry(e Engine, c *connections, watching *watches, version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{e}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gnomon_build_info", Help: "1, with the versions as labels.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(build)
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_http_connections", Help: "Connections of HTTP clients."}, func() float64 {
			open, _ := c.counts()
			return float64(open)
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gnomon_http_refused_total", Help: "Requests and connections that were refused because of http.max_connections."}, func() float64 {
			_, refused := c.counts()
			return float64(refused)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_http_watches", Help: "Watches under way, over HTTP and over NATS."}, func() float64 { return float64(watching.now.Load()) }),
	)
	return r
}

// metricsHandler answers with what a client may read: of every projection that it may read,
// and of the engine.
func metricsHandler(e Engine, c *connections, watching *watches, version string) http.Handler {
	registry := newRegistry(e, c, watching, version)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rights := rightsOf(r)
		promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			all, err := registry.Gather()
			for _, f := range all {
				f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool { return !readableMetric(rights, m) })
			}
			return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 }), err
		}), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}

// readableMetric reports whether a metric is about no projection, or one that may be read.
func readableMetric(rights access.Rights, m *dto.Metric) bool {
	for _, l := range m.Label {
		if l.GetName() == "projection" {
			return rights.May(access.Read, l.GetValue())
		}
	}
	return true
}
