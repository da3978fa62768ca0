// Package fields takes values out of events: filters by subject, and the key that
// a projection declares (gjson).
package fields

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Filter returns a function that reports whether a subject matches one of the
// filters. It is nil when all subjects do.
func Filter(filters []string) (func(subject []byte) bool, error) {
	for _, f := range filters {
		if err := streams.CheckFilter(f); err != nil {
			return nil, err
		}
		if f == ">" {
			filters = nil
			break
		}
	}
	if len(filters) == 0 {
		return nil, nil
	}
	return func(subject []byte) bool {
		for _, f := range filters {
			if streams.MatchSubject(f, subject) {
				return true
			}
		}
		return false
	}, nil
}

// Key returns a function that takes the declared key out of an event:
//
//	subject:N     the N-th token of the subject, from 1
//	header:NAME   the value of a header, whatever the case of its name
//	json:PATH     a value of the data, by a gjson path; strings without their quotes
//
// What an event does not have is an empty key. An empty spec gives a nil function.
// The key is valid until the event's bytes change or the function is called again.
func Key(spec string) (func(e abi.Record) []byte, error) {
	kind, arg, _ := strings.Cut(spec, ":")
	switch {
	case spec == "":
		return nil, nil
	case kind == "subject":
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("key %q: subject:N takes the number of a token, from 1", spec)
		}
		return func(e abi.Record) []byte { return token(e.Subject, n) }, nil
	case kind == "header" && arg != "":
		return func(e abi.Record) []byte { v, _ := e.Header(arg); return v }, nil
	case kind == "json" && arg != "":
		return func(e abi.Record) []byte { return jsonKey(e.Data, arg) }, nil
	}
	return nil, fmt.Errorf("key %q: use subject:N, header:NAME or json:PATH", spec)
}

// token returns the n-th token of a subject, from 1; nil when there are fewer.
func token(subject []byte, n int) []byte {
	for start := 0; ; n-- {
		end := start
		for end < len(subject) && subject[end] != '.' {
			end++
		}
		if n == 1 {
			return subject[start:end]
		}
		if end == len(subject) {
			return nil
		}
		start = end + 1
	}
}

// jsonKey returns a value of a JSON document. Of data that is no JSON, gjson
// returns what it finds on its way, and never fails.
func jsonKey(data []byte, path string) []byte {
	r := gjson.GetBytes(data, path)
	if r.Type == gjson.String {
		return []byte(r.Str)
	}
	return []byte(r.Raw)
}
