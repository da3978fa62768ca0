package jsonfields

import (
	"encoding/json"
	"slices"
	"testing"
)

// The names are those of the object's own fields, as they read, in their order; data that
// encoding/json refuses is refused.
func TestNames(t *testing.T) {
	for data, want := range map[string][]string{
		`{}`:                              nil,
		` { "a" : 1 , "b\u0063":{"d":2}}`: {"a", "bc"},
		`{"a":[{"x":1}],"a":null}`:        {"a", "a"},
		`{"a":1,}`:                        nil,
		`{"a":1`:                          nil,
		`{"a":1} x`:                       nil,
		`[]`:                              nil,
		``:                                nil,
	} {
		names, err := Names([]byte(data))
		var object map[string]any
		if valid := json.Unmarshal([]byte(data), &object) == nil; valid != (err == nil) {
			t.Errorf("%s: error %v, though it is valid: %v", data, err, valid)
		}
		if err == nil && !slices.Equal(names, want) {
			t.Errorf("%s: names %q, want %q", data, names, want)
		}
	}
}
