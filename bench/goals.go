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
	{"eight/wat", "engine-8", "engine-wat", 3.0},
}

// ratio is a goal as it was measured.
type ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Goal  float64 `json:"goal"`
	Met   bool    `json:"met"`
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
		v := of.Median / against.Median
		ratios = append(ratios, ratio{Name: g.name, Value: v, Goal: g.atLeast, Met: v >= g.atLeast})
	}
	return ratios
}
