package dev

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
)

// showState begins to print the changes of the state, until ctx ends.
func (d *developer) showState(ctx context.Context) {
	if d.showing {
		return
	}
	d.showing = true
	shown := newChanges(d.stdout)
	go func() {
		for d.program.Watch(ctx, d.client, d.declared.Name, shown.take, d.stderr) != nil && cli.Wait(ctx, time.Second) { // it may not be declared yet
		}
	}()
}

// shownLines bounds the changes of one step that are printed.
const shownLines = 20

// changes prints how a state changes: what a watch tells, less what is as it was. So a
// candidate that takes over shows in what it made otherwise.
type changes struct {
	out  io.Writer
	seed maphash.Seed
	held map[string]uint64 // hash of the value, by key
	next map[string]uint64 // of a snapshot that is being told; nil: there is none
	step []string
	more int // lines that are left out
}

func newChanges(out io.Writer) *changes {
	return &changes{out: out, seed: maphash.MakeSeed(), held: map[string]uint64{}}
}

// take takes an event of a watch.
func (c *changes) take(e engine.WatchEvent) {
	switch e.Kind {
	case engine.WatchReset:
		c.step, c.more, c.next = nil, 0, map[string]uint64{}
	case engine.WatchSnapshot:
		if c.next == nil {
			c.next = map[string]uint64{}
		}
		c.put(e, c.next)
	case engine.WatchChange:
		if _, ok := c.held[string(e.Key)]; e.Deleted && ok {
			delete(c.held, string(e.Key))
			c.line(e.Sequence, "-", e.Key, nil)
		} else if !e.Deleted {
			c.put(e, c.held)
		}
	case engine.WatchPosition:
		c.finish(e.Sequence)
	}
}

// put notes a value, and prints it if it is another one.
func (c *changes) put(e engine.WatchEvent, to map[string]uint64) {
	key, hash := string(e.Key), maphash.Bytes(c.seed, e.Value)
	old, had := c.held[key]
	to[key] = hash
	if !had || old != hash {
		c.line(e.Sequence, "~", e.Key, e.Value)
	}
}

func (c *changes) line(sequence uint64, what string, key, value []byte) {
	if len(c.step) == shownLines {
		c.more++
		return
	}
	text := fmt.Sprintf("%d\t%s\t%s", sequence, what, cli.Readable(key))
	if what != "-" {
		text += "\t" + cut(cli.Readable(value))
	}
	c.step = append(c.step, text)
}

// cut is the beginning of a text that is too long for a line or two.
func cut(text string) string {
	const most = 200 // runes
	n := 0
	for i := range text {
		if n++; n > most {
			return text[:i] + "…"
		}
	}
	return text
}

// finish prints a step.
func (c *changes) finish(sequence uint64) {
	if c.next != nil {
		for key := range c.held {
			if _, ok := c.next[key]; !ok {
				c.line(sequence, "-", []byte(key), nil)
			}
		}
		c.held, c.next = c.next, nil
	}
	if len(c.step) == 0 {
		return
	}
	if c.more > 0 {
		c.step = append(c.step, fmt.Sprintf("\t… and %d more: engine scan shows all", c.more))
	}
	fmt.Fprintln(c.out, strings.Join(c.step, "\n"))
	c.step, c.more = nil, 0
}

// advise prints how an event is published.
func (d *developer) advise() {
	seed, stream := d.seed()
	e, ok := commonEvent(seed)
	if !ok && d.script != nil { // which a person may have no events for
		e, ok = seededEvent{Subject: exampleOf(d.subjects()), Type: "example", Data: json.RawMessage("{}")}, true
	}
	if !ok {
		return
	}
	file, err := filepath.Abs(d.config)
	if err != nil {
		return
	}
	fmt.Fprintf(d.stdout, "changes of %s are shown here. Publish an event to %s, in another terminal:\n  engine publish %s %s --type %s --config %s\n",
		d.declared.Name, stream, e.Subject, cli.ShellWord(string(e.Data)), e.Type, cli.ShellWord(file))
}

// seed is the file that the projection's stream begins with; empty: none.
func (d *developer) seed() (file, stream string) {
	for _, s := range d.loaded.Streams {
		if s.Name == d.declared.Stream {
			return s.Seed, s.Name
		}
	}
	return "", d.declared.Stream
}

// subjects are those of the projection's stream.
func (d *developer) subjects() []string {
	for _, s := range d.loaded.Streams {
		if s.Name == d.declared.Stream {
			return s.Subjects
		}
	}
	return nil
}

// exampleOf is a subject that the first of some filters takes.
func exampleOf(filters []string) string {
	if len(filters) == 0 {
		return "events.example"
	}
	tokens := strings.Split(filters[0], ".")
	for i, token := range tokens {
		switch token {
		case "*":
			tokens[i] = "example"
		case ">":
			tokens[i] = "example.one" // scripts ask for later tokens, too
		}
	}
	return strings.Join(tokens, ".")
}

// seededEvent is a line of a seed.
type seededEvent struct {
	Subject, Type string
	Data          json.RawMessage
}

// commonEvent is the first event of the type that a file has most of: one that is likely
// to be in order when it comes again.
func commonEvent(file string) (common seededEvent, ok bool) {
	f, err := os.Open(file)
	if err != nil {
		return common, false
	}
	defer f.Close()
	first, count := map[string]seededEvent{}, map[string]int{}
	for lines := bufio.NewScanner(io.LimitReader(f, 1<<20)); lines.Scan(); {
		var e seededEvent
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Subject == "" || len(e.Data) == 0 {
			continue
		}
		if count[e.Type]++; count[e.Type] == 1 {
			first[e.Type] = e
		}
		if count[e.Type] > count[common.Type] {
			common = e
		}
	}
	common, ok = first[common.Type]
	return common, ok
}

// reseed imports the seed again when it is among the files that were changed.
func (d *developer) reseed(files []string) {
	if d.client == nil || d.server != "" { // an engine that is started yet imports it by itself
		return
	}
	seed, stream := d.seed()
	rel, err := filepath.Rel(d.dir, seed)
	if err != nil || !slices.Contains(files, rel) {
		return
	}
	if err := d.program.Import(d.command, d.loaded, stream, seed); err != nil {
		cli.PrintError(d.stderr, err)
	}
}
