package service

import "time"

// Hurry has watches send a beat, and give up a client that does not answer, sooner. Call it
// before there is one.
func (s *Service) Hurry(beat, silence time.Duration) { s.beat, s.silence = beat, silence }

// Ahead is how many messages of a watch are sent without an answer at most, beside beats and
// the end.
const Ahead = aheadMessages
