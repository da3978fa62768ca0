package query

import (
	"github.com/prometheus/client_golang/prometheus"

	"gnomon/engine"
)

// generationMetric is a number of the candidate or the previous generation of a projection.
// It is there while there is one.
type generationMetric struct {
	desc  *prometheus.Desc
	value func(*engine.GenerationStatus) float64
}

// generationMetrics are those of a role.
func generationMetrics(role engine.Role) []generationMetric {
	of := func(name, help string, value func(*engine.GenerationStatus) float64) generationMetric {
		return generationMetric{prometheus.NewDesc("gnomon_"+string(role)+"_"+name, help, []string{"projection", "stream"}, nil), value}
	}
	return []generationMetric{
		of("position", "Stream sequence that the state of the "+string(role)+" generation reflects.", func(g *engine.GenerationStatus) float64 { return float64(g.Position) }),
		of("behind", "Sequences between the state of the "+string(role)+" generation and the end of the stream.", func(g *engine.GenerationStatus) float64 { return float64(g.Behind) }),
		of("keys", "Keys of the state of the "+string(role)+" generation.", func(g *engine.GenerationStatus) float64 { return float64(g.Keys) }),
	}
}

var (
	candidateMetrics   = generationMetrics(engine.RoleCandidate)
	previousMetrics    = generationMetrics(engine.RolePrevious)
	candidateStateDesc = prometheus.NewDesc("gnomon_candidate_state", "1 for the state that the candidate generation is in, 0 for the others.", []string{"projection", "stream", "state"}, nil)
	refusedDesc        = projectionDesc("refused", "1 while the newest declaration of the projection is refused, and what ran before goes on, 0 otherwise.")
)

func collectGenerations(ch chan<- prometheus.Metric, s engine.Status) {
	if g := s.Candidate; g != nil {
		collectGeneration(ch, candidateMetrics, s, g)
		collectState(ch, candidateStateDesc, s, g.State)
	}
	if g := s.Previous; g != nil {
		collectGeneration(ch, previousMetrics, s, g)
	}
	ch <- prometheus.MustNewConstMetric(refusedDesc, gauge, truth(s.Refused != ""), s.Projection, s.Stream)
}

func collectGeneration(ch chan<- prometheus.Metric, all []generationMetric, s engine.Status, g *engine.GenerationStatus) {
	for _, m := range all {
		ch <- prometheus.MustNewConstMetric(m.desc, gauge, m.value(g), s.Projection, s.Stream)
	}
}
