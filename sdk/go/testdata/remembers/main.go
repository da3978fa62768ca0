// Command remembers is a projection that keeps state in its memory, and takes over that of an
// older version.
package main

import (
	"encoding/binary"
	"io"
	"strconv"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/memory"
	"gnomon/sdk/go/migrate"
)

var events uint64

func init() {
	gnomon.OnEvent(func(gnomon.Event, gnomon.State) error { events++; return nil })
	memory.OnSnapshot(
		func(w io.Writer) error { return binary.Write(w, binary.LittleEndian, events) },
		func(r io.Reader) error { return binary.Read(r, binary.LittleEndian, &events) },
	)
	migrate.OnSchema(func(from int, st gnomon.State) error { return st.Put("from", strconv.AppendInt(nil, int64(from), 10)) })
}

func main() {}
