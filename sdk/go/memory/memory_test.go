package memory_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
	"gnomon/sdk/go/memory"
)

// The projection of these tests: it remembers the data of all events.
var (
	remembered []byte
	saveErr    error
)

func init() {
	gnomon.OnInit(func() error { remembered = nil; return nil })
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		remembered = append(remembered, ev.Data()...)
		return nil
	})
	memory.OnSnapshot(
		func(w io.Writer) error {
			_, err := w.Write(remembered)
			return errors.Join(err, saveErr)
		},
		func(r io.Reader) (err error) {
			remembered, err = io.ReadAll(r)
			return err
		},
	)
}

// A snapshot of any size comes back as it was, in blobs of at most 512 KiB.
func TestSnapshotComesBack(t *testing.T) {
	var events []gnomontest.Event
	for _, n := range []int{0, 1, 600_000, 3, 1_500_000} {
		events = append(events, gnomontest.Event{Subject: "a", Data: bytes.Repeat([]byte{byte('a' + len(events))}, n)})
	}
	whole, err := gnomontest.Run(events, gnomontest.Options{Restart: 1})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(bytes.Join(whole.Memory, nil)); n != 2_100_004 || len(whole.Memory) != 5 {
		t.Errorf("snapshot has %d bytes in %d blobs, want 2100004 in 5", n, len(whole.Memory))
	}
	for _, b := range whole.Memory {
		if len(b) > 512<<10 {
			t.Errorf("a blob has %d bytes", len(b))
		}
	}
	gnomontest.CheckInvariance(t, events, gnomontest.Options{})
}

func TestFailedSnapshot(t *testing.T) {
	saveErr = errors.New("cannot encode")
	defer func() { saveErr = nil }()
	_, err := gnomontest.Run(nil, gnomontest.Options{})
	var f *gnomontest.Failure
	if !errors.As(err, &f) || f.Call != "snapshot" || !strings.Contains(f.Text, "save memory: cannot encode") {
		t.Errorf("error = %v, want that the snapshot failed", err)
	}
}
