package service

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// announce answers those who look for services: each of PING, INFO and STATS is asked of
// all services, of those of a name, or of one.
func (s *Service) announce() error {
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb:  func() any { return micro.Ping{ServiceIdentity: s.identity, Type: micro.PingResponseType} },
		micro.InfoVerb:  func() any { return s.info() },
		micro.StatsVerb: func() any { return s.stats() },
	} {
		for _, of := range [][2]string{{}, {Name}, {Name, s.identity.ID}} {
			subject, err := micro.ControlSubject(verb, of[0], of[1])
			if err != nil {
				return err
			}
			sub, err := s.conn.Subscribe(subject, func(m *nats.Msg) { s.tell(m, answer()) })
			if err != nil {
				return fmt.Errorf("announce at %s: %w", subject, err)
			}
			s.subs = append(s.subs, sub)
		}
	}
	return nil
}

func (s *Service) tell(m *nats.Msg, v any) {
	b, err := json.Marshal(v)
	if err == nil && m.Reply != "" {
		err = m.Respond(b)
	}
	if err != nil {
		s.log.Warn("cannot say what the service is", "subject", m.Subject, "error", err)
	}
}

func (s *Service) info() micro.Info {
	i := micro.Info{ServiceIdentity: s.identity, Type: micro.InfoResponseType, Description: "Reads of Gnomon's projections: the same as over HTTP"}
	for _, e := range s.endpoints {
		i.Endpoints = append(i.Endpoints, micro.EndpointInfo{Name: e.name, Subject: e.subject, QueueGroup: micro.DefaultQueueGroup, Metadata: e.metadata})
	}
	return i
}

func (s *Service) stats() micro.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := micro.Stats{ServiceIdentity: s.identity, Type: micro.StatsResponseType, Started: s.started}
	for _, e := range s.endpoints {
		st := e.stats
		st.Name, st.Subject, st.QueueGroup = e.name, e.subject, micro.DefaultQueueGroup
		all.Endpoints = append(all.Endpoints, &st)
	}
	return all
}
