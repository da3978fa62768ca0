package main

import "fmt"

// goal says how many times as fast as another a contender is to be.
type goal struct {
	name, of, against string
	atLeast           float64
}

var goals = []goal{
	{"wat/native", "engine-wat", "native", 2.0},
	{"wat/native-json", "engine-wat", "native-json", 3.0},
	{"go/native-json", "engine-go", "native-json", 1.5},
	{"wat/design", "engine-wat", "design", 0.85},
	{"wat/ack-each", "engine-wat", "ack-each", 15},
	{"wat/watermill", "engine-wat", "watermill", 30},
	{"wat/reader", "engine-wat", "reader", 0.7},
	{"go/wat", "engine-go", "engine-wat", 0.5},
	{"metered/unmetered", "engine-wat", "engine-wat-unmetered", 0.9},
	{"metered/unmetered-go", "engine-go", "engine-go-unmetered", 0.9},
	{"eight/wat", "engine-8", "engine-wat", 3.0},
}

// ratio is a goal as it was measured: a quotient, or a value with the unit that its
// name ends with.
type ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Goal  float64 `json:"goal"`
	Lower bool    `json:"lower_is_better,omitempty"` // the goal is an upper bound
	Met   bool    `json:"met"`
}

// judged holds the value against the goal.
func (r ratio) judged() ratio {
	r.Met = r.Value >= r.Goal
	if r.Lower {
		r.Met = r.Value <= r.Goal
	}
	return r
}

func (r ratio) String() string {
	word := "ok"
	if !r.Met {
		word = "short"
	}
	return fmt.Sprintf("RATIO %s %.2f goal %.2f %s", r.Name, r.Value, r.Goal, word)
}

// judge holds medians against the goals whose contenders both ran.
func judge(all map[string]result) (ratios []ratio) {
	for _, g := range goals {
		of, ok := all[g.of]
		against, ok2 := all[g.against]
		if !ok || !ok2 {
			continue
		}
		ratios = append(ratios, ratio{Name: g.name, Value: of.Median / against.Median, Goal: g.atLeast}.judged())
	}
	return ratios
}
