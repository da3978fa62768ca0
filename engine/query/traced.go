package query

import (
	"net/http"
	"regexp"
	"strings"

	"gnomon/engine/query/wire"
)

// traceParent is what a traceparent looks like in version 00 of W3C Trace Context
// (https://www.w3.org/TR/trace-context/#traceparent-header); later versions may go on after it.
var traceParent = regexp.MustCompile(`^(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|(0[1-9a-f]|[1-9a-e][0-9a-f]|f[0-9a-e])-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?)$`)

const (
	maxTraceParent = 128 // bytes; version 00 has 55
	maxTraceState  = 512 // bytes: what a tracestate has to be passed on of
)

// traceOf is what a request is traced by. What is malformed is as good as absent, as the
// specification has it; of ids, only zeros are malformed, too.
func traceOf(h http.Header) (t wire.Trace) {
	parent := h.Values("traceparent")
	if len(parent) != 1 || len(parent[0]) > maxTraceParent || !traceParent.MatchString(parent[0]) ||
		strings.HasPrefix(parent[0][3:], strings.Repeat("0", 32)) || strings.HasPrefix(parent[0][36:], strings.Repeat("0", 16)) {
		return t
	}
	t.Parent = parent[0]
	if state := strings.Join(h.Values("tracestate"), ","); len(state) <= maxTraceState {
		t.State = strings.Trim(state, " \t")
	}
	return t
}
