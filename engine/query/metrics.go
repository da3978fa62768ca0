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
	return metric{projectionDesc(name, help), kind, value}
}

var (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue

	projectionMetrics = []metric{
		projectionMetric("position", "Stream sequence that the served state reflects.", gauge, func(s engine.Status) float64 { return float64(s.Position) }),
		projectionMetric("behind", "Sequences between the served state and the end of the stream.", gauge, func(s engine.Status) float64 { return float64(s.Behind) }),
		projectionMetric("behind_seconds", "Time between the last event that the served state reflects and the last one of the stream by the stream's clock, but no longer than since the projection was last at its end; 0: it reflects all of it.", gauge, func(s engine.Status) float64 { return float64(s.BehindMs) / 1000 }),
		projectionMetric("durable_position", "Stream sequence that survives a crash of the machine.", gauge, func(s engine.Status) float64 { return float64(s.Durable) }),
		projectionMetric("keys", "Keys of the state.", gauge, func(s engine.Status) float64 { return float64(s.Keys) }),
		projectionMetric("state_bytes", "Bytes of keys and values of the state.", gauge, func(s engine.Status) float64 { return float64(s.Bytes) }),
		projectionMetric("disk_bytes", "Bytes that the keyspace takes of the disk.", gauge, func(s engine.Status) float64 { return float64(s.DiskBytes) }),
		projectionMetric("guest_memory_bytes", "Bytes of the module's linear memory.", gauge, func(s engine.Status) float64 { return float64(s.Memory) }),
		projectionMetric("absent_sequences_total", "Sequences that were passed over because the stream holds nothing there: deleted, expired, or not mirrored.", counter, func(s engine.Status) float64 { return float64(s.Passed.Absent) }),
		projectionMetric("delete_markers_total", "Delete markers of the server that were passed over.", counter, func(s engine.Status) float64 { return float64(s.Passed.Markers) }),
		projectionMetric("dead_letters", "Events that are set aside, until they are retried or dropped.", gauge, func(s engine.Status) float64 { return float64(s.Aside.Letters) }),
		projectionMetric("waiting_events", "Events that are set aside in the queues of their keys.", gauge, func(s engine.Status) float64 { return float64(s.Aside.Waiting) }),
		projectionMetric("skipped_events_total", "Events that were passed over.", counter, func(s engine.Status) float64 { return float64(s.Aside.Skipped) }),
	}
	// emitMetrics are there for a projection that emits.
	emitMetrics = []metric{
		projectionMetric("outbox_events", "Emitted events that are committed, and not known to be published.", gauge, func(s engine.Status) float64 { return float64(s.Emits.Waiting) }),
		projectionMetric("outbox_bytes", "Bytes of headers and data of emitted events that are not known to be published.", gauge, func(s engine.Status) float64 { return float64(s.Emits.WaitingBytes) }),
		projectionMetric("outbox_blocked", "1 while emitted events cannot be published, 0 otherwise.", gauge, func(s engine.Status) float64 { return truth(s.Emits.Trouble != "") }),
		projectionMetric("published_events_total", "Emitted events that were published.", counter, func(s engine.Status) float64 { return float64(s.Emits.Published) }),
		projectionMetric("published_sequence", "Stream sequence of the event that caused the last one that was published.", gauge, func(s engine.Status) float64 { return float64(s.Emits.PublishedSeq) }),
		projectionMetric("silent_events_total", "Emitted events that are not to be published: of the history, or of what another generation emitted.", counter, func(s engine.Status) float64 { return float64(s.Emits.Silent) }),
	}
	troubleDesc = projectionDesc("outbox_trouble", "1 for what keeps emitted events from being published, 0 for what else might.", "code")

	stateDesc = projectionDesc("state", "1 for the state that the projection is in, 0 for the others.", "state")
	infoDesc  = projectionDesc("info", "1, with the generation that is read and the SHA-256 of its module as labels.", "generation", "module")

	mirroredDesc    = projectionDesc("mirrored_sequence", "Stream sequence that the projection's key-value bucket reflects.")
	leftOutDesc     = projectionDesc("mirror_left_out_keys", "Keys that the projection's key-value bucket does not take.")
	mirrorStuckDesc = projectionDesc("mirror_failing", "1 while the projection's key-value bucket cannot be kept in step, 0 otherwise.")

	states = []engine.RunnerState{engine.Starting, engine.CatchingUp, engine.Live, engine.Paused, engine.Halted, engine.Diverged, engine.Stalled, engine.Stopped}
)

// collector reads everything when it is scraped. What it sends depends on what there is, such
// as a candidate: it does not say before what that will be (prometheus.Collector calls it
// unchecked), and a test holds what it sends against docs/METRICS.md.
type collector struct {
	engine Engine
	around func() Surroundings // nil: nothing is known
}

// Describe implements prometheus.Collector.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	all := map[string]engine.Status{}
	for _, s := range c.engine.Projections() {
		all[s.Projection] = s
		for _, m := range projectionMetrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), s.Projection, s.Stream)
		}
		if s.Emits != nil {
			for _, m := range emitMetrics {
				ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), s.Projection, s.Stream)
			}
			for _, code := range engine.OutletCodes {
				ch <- prometheus.MustNewConstMetric(troubleDesc, gauge, truth(s.Emits.Code == code), s.Projection, s.Stream, code)
			}
		}
		collectState(ch, stateDesc, s, s.State)
		ch <- prometheus.MustNewConstMetric(infoDesc, gauge, 1, s.Projection, s.Stream, s.Generation, s.Module)
		collectGenerations(ch, s)
		if m := s.Mirror; m != nil {
			ch <- prometheus.MustNewConstMetric(mirroredDesc, gauge, float64(m.Sequence), s.Projection, s.Stream)
			ch <- prometheus.MustNewConstMetric(leftOutDesc, gauge, float64(m.LeftOut), s.Projection, s.Stream)
			ch <- prometheus.MustNewConstMetric(mirrorStuckDesc, gauge, truth(m.Error != ""), s.Projection, s.Stream)
		}
	}
	c.collectMeasures(ch, all)
	c.collectSurroundings(ch)
}

// collectState says of each state whether it is this one.
func collectState(ch chan<- prometheus.Metric, desc *prometheus.Desc, s engine.Status, is engine.RunnerState) {
	for _, state := range states {
		ch <- prometheus.MustNewConstMetric(desc, gauge, truth(state == is), s.Projection, s.Stream, string(state))
	}
}

// newRegistry makes a registry of everything that is measured.
func (s *Server) newRegistry(o Options) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{o.Engine, o.Around}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gnomon_build_info", Help: "1, with the versions as labels.",
		ConstLabels: prometheus.Labels{"version": o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(build)
	s.registerHTTP(r, o.TLS)
	return r
}

// metricsHandler answers with what a client may read: of every projection that it may read,
// of their streams, and of the engine.
func (s *Server) metricsHandler(o Options) http.Handler {
	registry := s.newRegistry(o)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rights := rightsOf(r)
		promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			all, err := registry.Gather()
			streams := readableStreams(rights, all)
			for _, f := range all {
				f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool { return !readableMetric(rights, streams, m) })
			}
			return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 }), err
		}), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}

// readableStreams are those of projections that may be read.
func readableStreams(rights access.Rights, all []*dto.MetricFamily) map[string]bool {
	streams := map[string]bool{}
	for _, f := range all {
		if f.GetName() != "gnomon_projection_info" {
			continue
		}
		for _, m := range f.Metric {
			if rights.May(access.Read, label(m, "projection")) {
				streams[label(m, "stream")] = true
			}
		}
	}
	return streams
}

// readableMetric reports whether a metric is about a projection that may be read, about the
// stream of one, or about neither.
func readableMetric(rights access.Rights, streams map[string]bool, m *dto.Metric) bool {
	if p := label(m, "projection"); p != "" {
		return rights.May(access.Read, p)
	}
	stream := label(m, "stream")
	return stream == "" || streams[stream]
}

// label is the value of a label; empty: there is none.
func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
