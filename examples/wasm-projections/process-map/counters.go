package main

import (
	"strconv"

	gnomon "gnomon/sdk/go"
)

// maxKnown bounds how many counters are remembered. A process has some dozens of
// activities and some hundreds of pairs; a log without order may have millions.
const maxKnown = 10_000

// counters remembers numbers that were read from the keyspace, so that each is read
// once by an instance and not at every event. It is only a cache: every change is
// written through, and an instance that is lost takes nothing with it.
type counters struct {
	known map[string]*counter
	key   []byte
	value []byte
}

type counter struct {
	key string
	n   int64
}

var numberFields = gnomon.NewFields("events", "cases")

// add adds one to the number in a field of a key's value.
func (c *counters) add(st gnomon.State, field, kind string, names ...[]byte) error {
	c.key = appendKey(c.key[:0], kind, names...)
	n := c.known[string(c.key)]
	if n == nil {
		var err error
		if n, err = c.load(st, string(c.key)); err != nil {
			return err
		}
	}
	n.n++
	c.value = append(append(append(c.value[:0], `{"`...), field...), `":`...)
	c.value = append(strconv.AppendInt(c.value, n.n, 10), '}')
	return st.Put(n.key, c.value)
}

func (c *counters) load(st gnomon.State, key string) (*counter, error) {
	n := &counter{key: key}
	value, present, err := st.Get(key)
	if err != nil {
		return nil, err
	}
	if present {
		f, err := numberFields.Read(value)
		if err != nil {
			return nil, err
		}
		events, _ := f[0].Int()
		cases, _ := f[1].Int()
		n.n = events + cases // a value has one of them
	}
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	c.known[key] = n
	return n, nil
}
