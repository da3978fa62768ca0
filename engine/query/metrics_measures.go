package query

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gnomon/engine"
	"gnomon/engine/measure"
	"gnomon/engine/streams"
)

// Surroundings tell how the engine stands with what is around it.
type Surroundings struct {
	Connected  bool   // to NATS
	Reconnects uint64 // to NATS, since the engine started
	Refusals   uint64 // of NATS, for want of a permission, since the engine started
	Endpoints  []EndpointCounts
}

// EndpointCounts are what was asked over NATS of one kind of request, since the engine
// started.
type EndpointCounts struct {
	Endpoint         string
	Requests, Errors uint64        // those that failed are among the requests
	Took             time.Duration // all together
}

// measured is a number of what the engine measures of a projection.
type measured struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(engine.ProjectionMeasures) float64
}

// distribution is a histogram of a projection.
type distribution struct {
	desc  *prometheus.Desc
	value func(engine.ProjectionMeasures) measure.Distribution
}

func projectionDesc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("gnomon_projection_"+name, help, append([]string{"projection", "stream"}, more...), nil)
}

var (
	distributions = []distribution{
		{projectionDesc("apply_duration_seconds", "How long calls of the module for a batch of events, or a part of one, took."), func(m engine.ProjectionMeasures) measure.Distribution { return m.Apply }},
		{projectionDesc("commit_duration_seconds", "How long commits of state and position took."), func(m engine.ProjectionMeasures) measure.Distribution { return m.Commit }},
		{projectionDesc("event_age_seconds", "How old the last event of each commit was when it could be read, by its time in the stream; of those stored after the projection had caught up for the first time."), func(m engine.ProjectionMeasures) measure.Distribution { return m.Age }},
		{projectionDesc("sync_duration_seconds", "How long it took to make commits durable."), func(m engine.ProjectionMeasures) measure.Distribution { return m.Sync }},
		{projectionDesc("query_duration_seconds", "How long the module took to answer queries."), func(m engine.ProjectionMeasures) measure.Distribution { return m.Query }},
	}
	measuredMetrics = []measured{
		{projectionDesc("events_applied_total", "Events handed to the module and applied."), counter, func(m engine.ProjectionMeasures) float64 { return float64(m.Events) }},
		{projectionDesc("commits_total", "Commits of state and position."), counter, func(m engine.ProjectionMeasures) float64 { return float64(m.Commit.Count()) }},
		{projectionDesc("failures_total", "Batches that were rolled back."), counter, func(m engine.ProjectionMeasures) float64 { return float64(m.Failures) }},
		{projectionDesc("fuel_total", "Fuel that calls of the module for events used; 0: not metered."), counter, func(m engine.ProjectionMeasures) float64 { return float64(m.Fuel) }},
		{projectionDesc("sessions_total", "Times that the module was instantiated and the stream read anew."), counter, func(m engine.ProjectionMeasures) float64 { return float64(m.Sessions) }},
		{projectionDesc("query_failures_total", "Queries that the module, or the engine, failed to answer."), counter, func(m engine.ProjectionMeasures) float64 { return float64(m.Failed) }},
		{projectionDesc("unsynced_seconds", "How long there have been commits that a crash of the machine would lose; 0: there are none."), gauge, func(m engine.ProjectionMeasures) float64 { return m.Unsynced.Seconds() }},
	}

	streamMetrics = []struct {
		desc  *prometheus.Desc
		value func(streams.Info) float64
	}{
		{streamDesc("first_sequence", "Sequence of the first event that the stream holds."), func(i streams.Info) float64 { return float64(i.First) }},
		{streamDesc("last_sequence", "Sequence of the last event that the stream ever stored, as the server said."), func(i streams.Info) float64 { return float64(i.Last) }},
		{streamDesc("events", "Events that the stream holds."), func(i streams.Info) float64 { return float64(i.Events) }},
		{streamDesc("absent_sequences", "Sequences between the stream's first and last event that hold none, as the server said."), func(i streams.Info) float64 { return float64(i.Absent()) }},
		{streamDesc("last_event_timestamp_seconds", "When the stream's last event was stored, in seconds since 1970; 0: it holds none."), func(i streams.Info) float64 {
			if i.LastTime.IsZero() {
				return 0
			}
			return float64(i.LastTime.UnixMilli()) / 1000
		}},
	}

	endUnknownDesc  = streamDesc("end_unknown_seconds", "How long the server has not said where the stream ends, once that is more than 5 s; 0: it is known.")
	readyDesc       = prometheus.NewDesc("gnomon_ready", "1 while every projection is live, as /readyz says, 0 otherwise.", nil, nil)
	diskFreeDesc    = prometheus.NewDesc("gnomon_disk_free_bytes", "Bytes that may still be written where the data directory is.", nil, nil)
	diskReserveDesc = prometheus.NewDesc("gnomon_disk_reserve_bytes", "Bytes that are kept free (disk_reserve): with less, no events are taken.", nil, nil)
	connectedDesc   = prometheus.NewDesc("gnomon_nats_connected", "1 while there is a connection to NATS, 0 otherwise.", nil, nil)
	reconnectsDesc  = prometheus.NewDesc("gnomon_nats_reconnects_total", "Connections to NATS that were made after one was lost.", nil, nil)
	refusalsDesc    = prometheus.NewDesc("gnomon_nats_refusals_total", "Times that NATS refused the engine something for want of a permission.", nil, nil)
	natsDesc        = prometheus.NewDesc("gnomon_nats_requests_total", "Requests that were answered over NATS.", []string{"endpoint"}, nil)
	natsErrorsDesc  = prometheus.NewDesc("gnomon_nats_request_errors_total", "Requests over NATS that were answered with an error, or could not be answered.", []string{"endpoint"}, nil)
	natsSecondsDesc = prometheus.NewDesc("gnomon_nats_request_seconds_total", "Time that requests over NATS took.", []string{"endpoint"}, nil)
)

func streamDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("gnomon_stream_"+name, help, []string{"stream"}, nil)
}

// collectMeasures sends what the engine measured, of projections whose status is given.
func (c collector) collectMeasures(ch chan<- prometheus.Metric, all map[string]engine.Status) {
	m := c.engine.Measures()
	for _, s := range m.Streams {
		for _, d := range streamMetrics {
			ch <- prometheus.MustNewConstMetric(d.desc, gauge, d.value(s), s.Name)
		}
	}
	for name, d := range m.EndUnknown {
		ch <- prometheus.MustNewConstMetric(endUnknownDesc, gauge, d.Seconds(), name)
	}
	for name, p := range m.Projections {
		s, ok := all[name]
		if !ok {
			continue // it came in between
		}
		stream := s.Stream
		for _, d := range distributions {
			ch <- constHistogram(d.desc, d.value(p), name, stream)
		}
		for _, d := range measuredMetrics {
			ch <- prometheus.MustNewConstMetric(d.desc, d.kind, d.value(p), name, stream)
		}
	}
	if m.Reserve > 0 {
		ch <- prometheus.MustNewConstMetric(diskFreeDesc, gauge, float64(m.Free))
		ch <- prometheus.MustNewConstMetric(diskReserveDesc, gauge, float64(m.Reserve))
	}
	ready, _ := c.engine.Ready()
	ch <- prometheus.MustNewConstMetric(readyDesc, gauge, truth(ready))
}

// constHistogram is a distribution as Prometheus has it: its buckets count what is shorter,
// too.
func constHistogram(desc *prometheus.Desc, d measure.Distribution, labels ...string) prometheus.Metric {
	buckets, n := make(map[float64]uint64, len(d.Bounds)), uint64(0)
	for i, bound := range d.Bounds {
		n += d.Counts[i]
		buckets[bound.Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(desc, d.Count(), d.Sum.Seconds(), buckets, labels...)
}

// collectSurroundings sends how the engine stands with what is around it.
func (c collector) collectSurroundings(ch chan<- prometheus.Metric) {
	if c.around == nil {
		return
	}
	a := c.around()
	ch <- prometheus.MustNewConstMetric(connectedDesc, gauge, truth(a.Connected))
	ch <- prometheus.MustNewConstMetric(reconnectsDesc, counter, float64(a.Reconnects))
	ch <- prometheus.MustNewConstMetric(refusalsDesc, counter, float64(a.Refusals))
	for _, e := range a.Endpoints {
		ch <- prometheus.MustNewConstMetric(natsDesc, counter, float64(e.Requests), e.Endpoint)
		ch <- prometheus.MustNewConstMetric(natsErrorsDesc, counter, float64(e.Errors), e.Endpoint)
		ch <- prometheus.MustNewConstMetric(natsSecondsDesc, counter, e.Took.Seconds(), e.Endpoint)
	}
}

// truth is 1 for what is so.
func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
