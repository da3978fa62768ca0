package engine

import (
	"errors"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// RunnerState names what a projection's runner is doing.
type RunnerState string

// The states of a projection.
const (
	Starting   RunnerState = "starting"    // opening its keyspace, restoring its memory, checking the stream's history
	CatchingUp RunnerState = "catching-up" // applying events that were stored before
	Live       RunnerState = "live"        // has applied every event, and applies new ones as they are stored
	Paused     RunnerState = "paused"      // stopped by an operator, until resumed
	Halted     RunnerState = "halted"      // stopped at an event or by an error, which Reason names
	Diverged   RunnerState = "diverged"    // the stream is not the one that was read before, or lost events unread
	Stalled    RunnerState = "stalled"     // is behind and gets no events, or its store or module fails for now; it is tried again
	Stopped    RunnerState = "stopped"     // is no longer declared, or its module cannot be had: what it made is kept
	Offline    RunnerState = "offline"     // is not run: its files are read
)

// Freshness sums a state up for who reads: whether what is served is what the stream
// amounts to.
type Freshness string

// The freshness of what is served.
const (
	FreshLive   Freshness = "live"   // every event is applied as it is stored
	FreshBehind Freshness = "behind" // stored events are being applied
	FreshStale  Freshness = "stale"  // no events are taken: the state says why
)

// Freshness is that of what a projection in this state serves.
func (s RunnerState) Freshness() Freshness {
	switch s {
	case Live:
		return FreshLive
	case Starting, CatchingUp:
		return FreshBehind
	}
	return FreshStale
}

// Serves reports whether the state of a projection in this state is served as
// up to date.
func (s RunnerState) Serves() bool { return s == Live }

// Status is what is known of a projection at one moment.
type Status struct {
	Projection string      `json:"projection"`
	State      RunnerState `json:"state"`
	Reason     string      `json:"reason,omitempty"` // why it is in this state
	Hint       string      `json:"hint,omitempty"`   // what to do about it
	Since      time.Time   `json:"since,omitzero"`   // when it entered the state
	Stream     string      `json:"stream"`
	Generation string      `json:"generation"`         // that is read
	Building   string      `json:"building,omitempty"` // id of the candidate
	Refused    string      `json:"refused,omitempty"`  // why its newest declaration is not taken
	Module     string      `json:"module"`             // SHA-256

	Position     uint64    `json:"position"` // sequence that the served state reflects
	PositionTime time.Time `json:"position_time,omitzero"`
	Applied      uint64    `json:"applied_seq"`     // sequence that the runner has applied, committed or not
	Committed    uint64    `json:"committed_seq"`   // survives a crash of the process
	Durable      uint64    `json:"durable_seq"`     // survives a crash of the machine
	StreamLast   uint64    `json:"stream_last_seq"` // as the server last said
	Behind       uint64    `json:"behind"`          // StreamLast - Position, in sequences

	// BehindMs is how far it is behind in time, in milliseconds: from the event of its
	// position to the stream's last one, by the times at which the server stored them, and
	// no longer than since it last stood at the stream's end. 0 when it is not behind,
	// however long ago the last event was. Before the first event it counts from that.
	BehindMs       int64     `json:"behind_ms"`
	StreamFirst    uint64    `json:"stream_first_seq,omitempty"` // of the first event that the stream holds, as the server last said; StreamLast + 1: none
	StreamLastTime time.Time `json:"stream_last_time,omitzero"`  // of the stream's last event, as the server last said

	// EndUnknownSince is when the server last said where the stream ends, once that is more
	// than 5 s ago: what is said of the end, and of how far that is, is as it was then; zero: it is
	// known.
	EndUnknownSince time.Time `json:"stream_end_unknown_since,omitzero"`

	StreamAbsent  uint64   `json:"stream_absent"`                     // sequences between the stream's first and last event that hold none, as the server last said
	StreamMirror  string   `json:"stream_mirror_of,omitempty"`        // the stream that it is a mirror of
	StreamSources []string `json:"stream_sources,omitempty"`          // the streams that it gets its events from
	Interleaved   bool     `json:"stream_order_of_arrival,omitempty"` // from more than one source: their order is that of their arrival, and another one when the stream is built again
	Warning       string   `json:"warning,omitempty"`                 // what may be wrong though it does not stop the projection, and what to do about it

	Keys      int64        `json:"keys"`
	Bytes     int64        `json:"bytes"`
	DiskBytes int64        `json:"disk_bytes"`
	Digest    state.Digest `json:"digest"`
	Aside     state.Aside  `json:"aside"`                 // events that were not applied
	Emits     *EmitStatus  `json:"emits,omitempty"`       // nil: its module emits nothing
	Failing   uint64       `json:"failing_seq,omitempty"` // the event that it is halted before; 0: none

	Events      uint64         `json:"events_applied"` // since the engine started
	Commits     uint64         `json:"commits"`        // since the engine started
	Failures    uint64         `json:"failures"`       // batches rolled back since the engine started
	Passed      streams.Passed `json:"passed_over"`    // since the engine started
	Rate        float64        `json:"events_per_second"`
	CatchUpRate float64        `json:"catch_up_events_per_second"` // when it last caught up
	LeftMs      int64          `json:"left_ms,omitempty"`          // until it has caught up, if nothing more is stored; 0: it is not catching up, or not known yet
	Apply       time.Duration  `json:"apply_ns"`                   // spent in the guest since the engine started
	Fuel        uint64         `json:"fuel_per_event"`             // that events took on average since the engine started; 0: not metered
	FuelUsed    uint64         `json:"fuel_used"`                  // by events since the engine started
	Memory      uint64         `json:"memory_bytes"`               // of the guest
	Start       uint64         `json:"started_at_seq"`             // position when the engine started

	Mirror *MirrorStatus `json:"mirror,omitempty"` // where its state is mirrored to

	Candidate *GenerationStatus `json:"candidate,omitempty"` // that is built to take over
	Previous  *GenerationStatus `json:"previous,omitempty"`  // that was read before
}

// EmitStatus is what is known of the events that a projection emits.
type EmitStatus struct {
	Lineage       string    `json:"lineage"`               // part of their IDs
	SilentThrough uint64    `json:"silent_through_seq"`    // events up to there emit nothing
	Waiting       int       `json:"waiting"`               // committed, and not known to be published
	WaitingBytes  int       `json:"waiting_bytes"`         // of headers and data
	Limit         int       `json:"limit,omitempty"`       // of Waiting; 0: none
	LimitBytes    int       `json:"limit_bytes,omitempty"` // of WaitingBytes; 0: none
	Oldest        uint64    `json:"oldest_seq,omitempty"`  // that caused the first that waits; 0: none does
	Published     uint64    `json:"published"`             // since the engine started
	PublishedSeq  uint64    `json:"published_seq"`         // that caused the last of them
	Silent        uint64    `json:"silent"`                // not to be published, since the engine started
	Trouble       string    `json:"trouble,omitempty"`     // what keeps them from being published
	Code          string    `json:"code,omitempty"`        // of the trouble: one of OutletCodes
	Hint          string    `json:"hint,omitempty"`        // what to do about it
	Since         time.Time `json:"since,omitzero"`        // when the trouble began
	Warning       string    `json:"warning,omitempty"`     // what a target stream has lost
}

// What keeps emitted events from being published.
const (
	OutletForbidden   = "no-permission" // the engine's user at the server may not publish there, or not ask what is needed for it
	OutletNoStream    = "no-stream"     // no stream stores the subject
	OutletRefused     = "refused"       // the stream, or the server, does not take what is emitted
	OutletLoop        = "loop"          // the projection would be fed with its own events
	OutletUnreachable = "unreachable"   // there is no server, or it does not answer
	OutletFailed      = "failed"        // anything else
)

// OutletCodes are all of these.
var OutletCodes = []string{OutletForbidden, OutletNoStream, OutletRefused, OutletLoop, OutletUnreachable, OutletFailed}

// MirrorStatus is what is known of the mirror of a projection's state. It is not changed.
type MirrorStatus struct {
	Bucket      string   `json:"bucket"`
	Sequence    uint64   `json:"as_of_seq"`               // that the bucket reflects, as far as is known
	Error       string   `json:"error,omitempty"`         // why it is not in step
	LeftOut     int      `json:"left_out,omitempty"`      // keys that the bucket does not take
	LeftOutKeys []string `json:"left_out_keys,omitempty"` // the first of them, with the reasons
}

// NoteMirror notes how the mirror of a projection stands; nil: there is none.
func (e *Engine) NoteMirror(name string, m *MirrorStatus) {
	if p, _, err := e.find(name); err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.mirror = m
	}
}

// GenerationStatus is what is known of a generation that is not the one that is read.
type GenerationStatus struct {
	ID       string       `json:"id"`
	Module   string       `json:"module"`
	State    RunnerState  `json:"state"`
	Reason   string       `json:"reason,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	Position uint64       `json:"position"`
	Behind   uint64       `json:"behind"` // the stream's end
	Keys     int64        `json:"keys"`
	Digest   state.Digest `json:"digest"`
	Rate     float64      `json:"events_per_second"`
	LeftMs   int64        `json:"left_ms,omitempty"`     // until it has caught up, as in Status
	Failing  uint64       `json:"failing_seq,omitempty"` // the event that it is halted before; 0: none
	Auto     bool         `json:"takes_over,omitempty"`  // by itself, once it has caught up
	Until    time.Time    `json:"until,omitzero"`        // when the previous one is given up
}

// Errors of an Engine.
var (
	// ErrNoProjection says that no projection has that name.
	ErrNoProjection = errors.New("projection not found")
	// ErrNotReady says that a projection has nothing to read yet.
	ErrNotReady = errors.New("projection is starting")
	// ErrSnapshotExists says that a snapshot of that name exists.
	ErrSnapshotExists = errors.New("snapshot exists")
	// ErrTooManySnapshots says that the bound on pinned snapshots is reached.
	ErrTooManySnapshots = errors.New("too many snapshots")
)

// Reading is a consistent view of a projection's served state. Close it.
type Reading struct {
	state.View
	Checkpoint state.Checkpoint
	Generation string
	State      RunnerState // of the generation, when the reading was opened
	Behind     uint64      // sequences that the stream held beyond it then, as far as was known
	keyspace   state.Keyspace
	projection *projection
	generation *generation
	done       func()
}

// Memory returns the newest stored memory of a guest that keeps state there, and the
// sequence that it reflects, which may be before that of the reading; nil and 0 when
// there is none.
func (r *Reading) Memory() (blobs [][]byte, sequence uint64, err error) {
	if len(r.Checkpoint.Memories) == 0 {
		return nil, 0, nil
	}
	m := r.Checkpoint.Memories[0]
	blobs, err = r.keyspace.Memory(m)
	return blobs, m.Version.Sequence(), err
}

// Limit is what one commit of the keyspace can hold.
func (r *Reading) Limit() state.TxLimit { return r.keyspace.Limit() }

// Close ends the reading. It may be called more than once.
func (r *Reading) Close() {
	r.View.Close()
	r.done()
}
