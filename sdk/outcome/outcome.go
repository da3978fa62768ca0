package outcome

// Outcome is what a run made. A section that is nil is not known, or not compared; one
// that is empty has nothing.
type Outcome struct {
	State   map[string]string // keys and values are any bytes
	Emits   []Record          // in the order of emitting
	Records []Record          // what an upcaster made, in order
	Errors  []Failure         // in the order of their events
	Logs    []string          // "LEVEL: text", the level being debug, info, warn or error
	Queries []Query
}

// Record is an event that was emitted, or made by an upcaster.
type Record struct {
	Event   uint64 // sequence of the event that caused it
	Subject string
	Headers []Header // in the order in which they were given
	Data    string   // any bytes
}

// Header is a header of an event. A name may occur several times.
type Header struct{ Name, Value string }

// Failure is an event that the module failed at, or an upcaster.
type Failure struct {
	Event uint64 // its sequence
	Error string // the text that the module gave, without call and sequence
}

// Query is a request, and the answer to it or the text of the error.
type Query struct {
	Request, Answer string // any bytes
	Error           string // empty: it was answered
}

// LogLine is an entry of Logs. Levels are those of log/slog.
func LogLine(level int, text string) string {
	name := "debug"
	switch {
	case level >= 8:
		name = "error"
	case level >= 4:
		name = "warn"
	case level >= 0:
		name = "info"
	}
	return name + ": " + text
}

// Like is an outcome without the sections that another one does not have, but with errors.
func (o *Outcome) Like(other *Outcome) *Outcome {
	like := *o
	if other.State == nil {
		like.State = nil
	}
	if other.Emits == nil {
		like.Emits = nil
	}
	if other.Records == nil {
		like.Records = nil
	}
	if other.Logs == nil {
		like.Logs = nil
	}
	return &like
}
