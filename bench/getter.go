package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// getter is a connection that is kept alive and sends GETs. It does as little as can be
// done, for it runs on the cores of what it measures: net/http takes three times the
// CPU for the same.
type getter struct {
	conn net.Conn
	r    *bufio.Reader
	host string
	out  []byte
}

// got is an answer.
type got struct {
	status int
	asOf   uint64 // sequence that it reflects
	live   bool   // the projection is at the head of its stream
}

func dialGetter(address string) (*getter, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &getter{conn: c, r: bufio.NewReader(c), host: address}, nil
}

func (g *getter) close() { g.conn.Close() }

// get asks and waits for the answer.
func (g *getter) get(path string) (got, error) {
	if err := g.ask(path); err != nil {
		return got{}, err
	}
	return g.answer()
}

func (g *getter) ask(path string) error {
	g.out = append(append(g.out[:0], "GET "...), path...)
	g.out = append(append(append(g.out, " HTTP/1.1\r\nHost: "...), g.host...), "\r\n\r\n"...)
	_, err := g.conn.Write(g.out)
	return err
}

var (
	lengthHeader = []byte("Content-Length: ")
	asOfHeader   = []byte("Gnomon-As-Of-Seq: ")
	liveHeader   = []byte("Gnomon-State: live")
	errAnswer    = errors.New("not an answer of HTTP/1.1 with a length")
)

// answer reads the answer to the oldest question.
func (g *getter) answer() (a got, err error) {
	line, err := g.r.ReadSlice('\n')
	if err != nil {
		return a, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return a, errAnswer
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("%w: %q", errAnswer, line)
	}
	length := -1
	for {
		if line, err = g.r.ReadSlice('\n'); err != nil {
			return a, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		a.live = a.live || bytes.Equal(line, liveHeader)
		if v, ok := bytes.CutPrefix(line, lengthHeader); ok {
			length, err = strconv.Atoi(string(v))
		} else if v, ok := bytes.CutPrefix(line, asOfHeader); ok {
			a.asOf, err = strconv.ParseUint(string(v), 10, 64)
		}
		if err != nil {
			return a, fmt.Errorf("%w: %q", errAnswer, line)
		}
	}
	if length < 0 {
		return a, errAnswer
	}
	_, err = g.r.Discard(length)
	return a, err
}

// statePath is where the key of a projection is read. Keys are those of movements,
// which need no escapes.
func statePath(projection, key string) string {
	return "/v1/projections/" + projection + "/state/" + key
}
