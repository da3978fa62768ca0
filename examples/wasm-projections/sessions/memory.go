package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	gnomon "gnomon/sdk/go"
)

// sessions is the state in the guest's memory.
type sessions struct {
	of    map[string]*session // by actor; what is open
	total total
	buf   []byte // reused
}

// total is what is known of all sessions so far.
type total struct {
	finished  int64 // sessions
	events    int64 // of the finished sessions
	longestMs int64 // of the finished sessions
	ignored   int64 // events without an actor
}

func newSessions() *sessions { return &sessions{of: map[string]*session{}} }

// finish writes a session to the keyspace and forgets it.
func (o *sessions) finish(st gnomon.State, actor string, s *session) error {
	delete(o.of, actor)
	o.total.finished++
	o.total.events += s.events
	o.total.longestMs = max(o.total.longestMs, s.lastMs-s.firstMs)
	o.buf = append(s.appendFields(append(o.buf[:0], '{')), '}')
	// With leading zeros the keys of an actor are in stream order.
	return st.Put(fmt.Sprintf("session\t%s\t%020d", actor, s.firstSeq), o.buf)
}

// storeTotal writes the totals to the keyspace.
func (o *sessions) storeTotal(st gnomon.State) error {
	b := strconv.AppendInt(append(o.buf[:0], `{"open":`...), int64(len(o.of)), 10)
	o.buf = append(o.total.appendFields(append(b, ',')), '}')
	return st.Put("total", o.buf)
}

func (t *total) appendFields(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `"finished":`...), t.finished, 10)
	dst = strconv.AppendInt(append(dst, `,"events":`...), t.events, 10)
	dst = strconv.AppendInt(append(dst, `,"longest_ms":`...), t.longestMs, 10)
	return strconv.AppendInt(append(dst, `,"ignored":`...), t.ignored, 10)
}

// save writes a snapshot: JSON Lines, the totals first, then the open sessions in
// the order of their actors. A map has no order of its own.
func (o *sessions) save(w io.Writer) error {
	line := append(o.total.appendFields(append(o.buf[:0], '{')), "}\n"...)
	if _, err := w.Write(line); err != nil {
		return err
	}
	for _, actor := range slices.Sorted(maps.Keys(o.of)) {
		line = gnomon.AppendQuoted(append(line[:0], `{"actor":`...), actor)
		line = o.of[actor].appendFields(append(line, ','))
		if _, err := w.Write(append(line, "}\n"...)); err != nil {
			return err
		}
	}
	o.buf = line
	return nil
}

var (
	totalFields   = gnomon.NewFields("finished", "events", "longest_ms", "ignored")
	sessionFields = gnomon.NewFields("actor", "events", "first_ms", "last_ms", "first_seq", "last_seq")
)

// restore replaces the state by a snapshot.
func (o *sessions) restore(r io.Reader) error {
	lines := bufio.NewReader(r)
	*o = *newSessions()
	var n [5]int64
	_, err := readLine(lines, totalFields, n[:4], 0)
	if err != nil {
		return fmt.Errorf("totals: %w", err)
	}
	o.total = total{n[0], n[1], n[2], n[3]}
	for {
		f, err := readLine(lines, sessionFields, n[:], 1)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("session %d: %w", len(o.of)+1, err)
		}
		actor, ok := f[0].Text()
		if !ok {
			return fmt.Errorf("session %d has no actor", len(o.of)+1)
		}
		o.of[string(actor)] = &session{n[0], n[1], n[2], uint64(n[3]), uint64(n[4])}
	}
}

// readLine reads a line's fields, and as numbers those from the one given on.
func readLine(r *bufio.Reader, fields *gnomon.Fields, numbers []int64, from int) ([]gnomon.Value, error) {
	line, err := r.ReadBytes('\n')
	if err == io.EOF && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	f, err := fields.Read(line)
	if err != nil {
		return nil, err
	}
	for i := range numbers {
		var ok bool
		if numbers[i], ok = f[from+i].Int(); !ok {
			return nil, fmt.Errorf("field %d is no whole number", from+i)
		}
	}
	return f, nil
}
