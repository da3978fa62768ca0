package dashboard

import (
	"strconv"

	"gnomon/engine/query/wire"
)

// member is a part of a JSON value that became another one.
type member struct {
	Path          string // such as .lines[2].price; empty: all of the value
	Change        wire.KeyChange
	Before, After string // as JSON
}

// maxMembers is how many of them are shown of a value.
const maxMembers = 100

// membersOf lists the parts in which two values differ, if both are JSON and not too large;
// nil otherwise, and more where there are others.
func membersOf(before, after []byte) (list []member, more bool) {
	if len(before)+len(after) > 2*rowBytes || !wire.IsJSON(before) || !wire.IsJSON(after) {
		return nil, false
	}
	a, b := treeOf(before, treeNodes), treeOf(after, treeNodes)
	if a == nil || b == nil || a.Kind != b.Kind || a.Kind != "object" && a.Kind != "array" {
		return nil, false
	}
	compareNodes("", a, b, func(m member) {
		if more = len(list) == maxMembers; !more {
			list = append(list, m)
		}
	})
	return list, more
}

// compareNodes tells of each part in which two values differ.
func compareNodes(path string, a, b *node, differs func(member)) {
	switch {
	case a.Kind == "object" && b.Kind == "object":
		compareObjects(path, a, b, differs)
	case a.Kind == "array" && b.Kind == "array":
		compareArrays(path, a, b, differs)
	default:
		if before, after := a.json(), b.json(); before != after {
			differs(member{path, wire.KeyChanged, before, after})
		}
	}
}

func compareObjects(path string, a, b *node, differs func(member)) {
	old, now := a.byName(), b.byName()
	for _, n := range a.Children {
		if now[n.Name] == nil && old[n.Name] == n {
			differs(member{path + step(n.Name), wire.KeyRemoved, n.json(), ""})
		}
	}
	for _, n := range b.Children {
		switch was := old[n.Name]; {
		case now[n.Name] != n: // another one of the name follows, which counts
		case was != nil:
			compareNodes(path+step(n.Name), was, n, differs)
		default:
			differs(member{path + step(n.Name), wire.KeyAdded, "", n.json()})
		}
	}
}

// byName are the members of an object; of those with one name the last one, as nearly all
// readers of JSON have it.
func (n *node) byName() map[string]*node {
	all := map[string]*node{}
	for _, c := range n.Children {
		all[c.Name] = c
	}
	return all
}

// compareArrays compares items by their place, after those that both end with: lists mostly
// grow at one of their ends.
func compareArrays(path string, a, b *node, differs func(member)) {
	x, y := a.Children, b.Children
	if len(x) != len(y) {
		for len(x) > 0 && len(y) > 0 && x[0].json() != y[0].json() && x[len(x)-1].json() == y[len(y)-1].json() {
			x, y = x[:len(x)-1], y[:len(y)-1]
		}
	}
	for i := range max(len(x), len(y)) {
		at := path + "[" + strconv.Itoa(i) + "]"
		switch {
		case i >= len(y):
			differs(member{at, wire.KeyRemoved, x[i].json(), ""})
		case i >= len(x):
			differs(member{at, wire.KeyAdded, "", y[i].json()})
		default:
			compareNodes(at, x[i], y[i], differs)
		}
	}
}

// step is the name of a member in a path.
func step(name string) string {
	for _, r := range name {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return "[" + quotedJSON(name) + "]"
		}
	}
	if name == "" {
		return `[""]`
	}
	return "." + name
}

// json writes a node as JSON.
func (n *node) json() string {
	switch n.Kind {
	case "object", "array":
	default:
		return n.Text
	}
	open, end := "[", "]"
	if n.Kind == "object" {
		open, end = "{", "}"
	}
	text := open
	for i, c := range n.Children {
		if i > 0 {
			text += ","
		}
		if c.Named {
			text += quotedJSON(c.Name) + ":"
		}
		text += c.json()
	}
	return text + end
}
