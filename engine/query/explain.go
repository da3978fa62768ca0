package query

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// maxChanges is how many changes of a key a request may ask for.
const maxChanges = 1000

// explain answers which events changed a key.
func (s *Server) explain(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := parameters(w, r, "key", "key_b64", "at", "since", "limit")
	if !ok {
		return
	}
	question, ok := questionOf(w, q)
	if !ok {
		return
	}
	place, ok := s.take(w, r, s.explains)
	if !ok {
		return
	}
	defer place.shrink(0)
	x, err := s.engine.Explain(r.Context(), name, question)
	if err != nil {
		failed(w, err)
		return
	}
	place.sendMade(w, wire.Explanation{Projection: name, Key: question.Key, Explanation: x})
}

// questionOf reads the parameters of an explanation.
func questionOf(w http.ResponseWriter, q url.Values) (x engine.Question, ok bool) {
	x.Key = []byte(q.Get("key"))
	if text := q.Get("key_b64"); text != "" {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || q.Has("key") {
			bad(w, "key_b64 is %.80q: it must be base64, and key not be given", text)
			return x, false
		}
		x.Key = b
	}
	if len(x.Key) == 0 {
		bad(w, "key is empty: say which key is to be explained")
		return x, false
	}
	var m moment
	if !m.takePast(w, q) {
		return x, false
	}
	x.At = m.at
	if m.past && x.At == (engine.At{}) {
		bad(w, "at is 0: nothing is before the first event")
		return x, false
	}
	var err error
	if text := q.Get("since"); text != "" {
		if x.Since, err = strconv.ParseUint(text, 10, 47); err != nil {
			bad(w, "since is %q: it must be a sequence of the stream", text)
			return x, false
		}
	}
	if text := q.Get("limit"); text != "" {
		if x.Limit, err = strconv.Atoi(text); err != nil || x.Limit < 1 || x.Limit > maxChanges {
			bad(w, "limit is %q: it must be between 1 and %d", text, maxChanges)
			return x, false
		}
	}
	return x, true
}
