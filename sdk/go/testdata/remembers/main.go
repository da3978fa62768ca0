// Command remembers is a projection that keeps state in its memory.
package main

import (
	"encoding/binary"
	"io"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/memory"
)

var events uint64

func init() {
	gnomon.OnEvent(func(gnomon.Event, gnomon.State) error { events++; return nil })
	memory.OnSnapshot(
		func(w io.Writer) error { return binary.Write(w, binary.LittleEndian, events) },
		func(r io.Reader) error { return binary.Read(r, binary.LittleEndian, &events) },
	)
}

func main() {}
