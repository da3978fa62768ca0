package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/query"
)

// Ask is a request: what the files below a folder amount to, and which are foremost.
type Ask struct {
	Under string `json:"under"` // how their paths begin; empty: all
	Top   int    `json:"top"`   // so many of them are named, at most 1000
	By    string `json:"by"`    // changes, or lines, which it is unless given
}

// Found is the answer.
type Found struct {
	Files   int     `json:"files"`
	Lines   int     `json:"lines"`
	Changes int     `json:"changes"`
	Top     []Named `json:"top,omitempty"` // the foremost first
}

// Named is a file with its path.
type Named struct {
	Path string `json:"path"`
	File
}

const mostNamed = 1000

func init() { query.OnRequest(query.JSON(find)) }

func find(q Ask, st gnomon.Reader) (found Found, err error) {
	by, ok := orders[cmp.Or(q.By, "lines")]
	switch {
	case !ok:
		return found, fmt.Errorf(`by is %q: it must be "lines" or "changes"`, q.By)
	case q.Top < 0 || q.Top > mostNamed:
		return found, fmt.Errorf("top is %d: it must be between 0 and %d", q.Top, mostNamed)
	}
	var all []Named
	var bad error
	err = st.Scan("file\t"+q.Under, "", func(key string, value []byte) bool {
		n := Named{Path: strings.TrimPrefix(key, "file\t")}
		if bad = json.Unmarshal(value, &n.File); bad != nil {
			return false
		}
		found.Files++
		found.Lines += n.Lines
		found.Changes += n.Changes
		all = append(all, n)
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return Found{}, err
	}
	slices.SortFunc(all, func(a, b Named) int { return cmp.Or(by(b)-by(a), strings.Compare(a.Path, b.Path)) })
	found.Top = all[:min(q.Top, len(all))]
	return found, nil
}

// orders are what files can be foremost by.
var orders = map[string]func(Named) int{
	"lines":   func(n Named) int { return n.Lines },
	"changes": func(n Named) int { return n.Changes },
}
