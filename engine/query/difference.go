package query

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

// diff answers with every key in which the candidate differs from what is read, one a line,
// in key order, both as of one sequence; and with the numbers as the last line. Limit bounds
// the lines, not what is counted.
func (s *Server) diff(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := parameters(w, r, "prefix", "prefix_b64", "limit")
	if !ok {
		return
	}
	sp, ok := spanOf(w, q)
	if !ok {
		return
	}
	st, err := s.engine.Status(name)
	if err != nil {
		failed(w, err)
		return
	}
	c, err := s.engine.Compare(r.Context(), name)
	if err != nil {
		failed(w, err)
		return
	}
	defer c.Close()
	describe(w.Header(), c, st.State)
	if r.Method == http.MethodHead {
		return
	}
	d := difference{
		out: bufio.NewWriterSize(w, 64<<10), limit: sp.limit,
		sum: wire.Compared{AsOfSeq: c.Sequence, Live: c.Live.Generation, Candidate: c.Candidate.Generation},
	}
	if err := d.write(r.Context(), c, sp.prefix); err != nil {
		s.log.Warn("comparison was cut off", "projection", name, "lines", d.lines, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// describe sets the headers of a comparison: those of other reads are about the generation
// that is read.
func describe(h http.Header, c *engine.Comparison, state engine.RunnerState) {
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Gnomon-As-Of-Seq", strconv.FormatUint(c.Sequence, 10))
	if at := c.Live.Checkpoint.Position.Time; !at.IsZero() {
		h.Set("Gnomon-As-Of-Time", at.UTC().Format(time.RFC3339Nano))
	}
	h.Set("Gnomon-Generation", c.Live.Generation)
	h.Set("Gnomon-Candidate", c.Candidate.Generation)
	h.Set("Gnomon-State", string(state))
	h.Set("Cache-Control", "no-cache")
}

// difference writes a comparison.
type difference struct {
	out   *bufio.Writer
	limit int // of lines; 0: none
	lines int
	sum   wire.Compared
}

// write merges the two states, which have one row each in memory.
func (d *difference) write(ctx context.Context, c *engine.Comparison, prefix []byte) error {
	var werr error
	err := state.CompareRows(c.Live, c.Candidate, prefix, func(p state.Pair) bool {
		werr = firstOf(ctx.Err(), d.row(p))
		return werr == nil
	})
	if err := firstOf(err, werr); err != nil {
		return err
	}
	if err := d.line(d.sum); err != nil {
		return err
	}
	return d.out.Flush()
}

func (d *difference) row(p state.Pair) error {
	switch {
	case p.Same():
		d.sum.Same++
		return nil
	case !p.InB:
		return d.differs(wire.Difference{Key: p.Key, Change: wire.KeyMissing, Live: p.A})
	case !p.InA:
		return d.differs(wire.Difference{Key: p.Key, Change: wire.KeyAdded, Candidate: p.B})
	}
	return d.differs(wire.Difference{Key: p.Key, Change: wire.KeyChanged, Live: p.A, Candidate: p.B})
}

func (d *difference) differs(key wire.Difference) error {
	d.sum.Count(key.Change)
	if d.limit > 0 && d.lines == d.limit {
		return nil
	}
	d.lines++
	return d.line(key)
}

func (d *difference) line(v any) error {
	b, err := wire.Marshal(v)
	if err == nil {
		_, err = d.out.Write(append(b, '\n'))
	}
	return err
}
