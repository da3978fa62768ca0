package gnomontest

import (
	"errors"
	"fmt"
	"testing"

	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

// Upcasted is an event that an upcaster made.
type Upcasted struct {
	Sequence uint64 // of the event that it stands for
	Subject  string
	Headers  map[string]string
	Data     string
}

var errNoUpcaster = errors.New("this program has no upcaster: call upcast.OnEvent from an init function of the package under test")

// Upcast runs the program's upcaster over events, and returns what it makes of them. When
// it fails the error is a *Failure.
func Upcast(events []Event, o Options) ([]Upcasted, error) {
	running.Lock()
	defer running.Unlock()
	r := &run{host: newHost(o.Settings), guest: boundary.Guest}
	boundary.Current = r.host
	defer func() { boundary.Current = nil }()
	if r.guest.Upcast == nil {
		return nil, errNoUpcaster
	}
	if err := r.call("init", r.guest.Init); err != nil {
		return nil, err
	}
	sequence := uint64(0)
	for batches := 1; len(events) > 0; batches++ {
		batch := events[:min(max(o.Batch, 1), len(events))]
		events = events[len(batch):]
		if err := r.host.fill(batch, &sequence); err != nil {
			return nil, err
		}
		if err := r.call(abi.ExportUpcast, r.guest.Upcast); err != nil {
			return nil, err
		}
		if o.Restart > 0 && batches%o.Restart == 0 {
			if err := r.call("init", r.guest.Init); err != nil {
				return nil, err
			}
		}
	}
	return upcasted(r.host.output)
}

// upcasted decodes the output of an upcaster.
func upcasted(output []byte) (list []Upcasted, err error) {
	for len(output) > 0 {
		var r abi.Record
		if r, output, err = abi.Next(output); err != nil {
			return list, err
		}
		u := Upcasted{Sequence: r.Sequence, Subject: string(r.Subject), Headers: map[string]string{}, Data: string(r.Data)}
		for h := r.Headers; len(h) > 0; {
			var name, value []byte
			if name, value, h, err = abi.NextHeader(h); err != nil {
				return list, err
			}
			u.Headers[string(name)] = string(value)
		}
		list = append(list, u)
	}
	return list, nil
}

// CheckUpcastInvariance runs the upcaster with several sizes of batches and with fresh
// instances in between, and fails the test when one run makes something else of the events
// than another: then it keeps something in variables.
func CheckUpcastInvariance(t testing.TB, events []Event, o Options) {
	t.Helper()
	want, err := Upcast(events, Options{Settings: o.Settings, Restart: 1})
	if err != nil {
		t.Fatalf("events one by one: %v", err)
	}
	for _, v := range []Options{{Batch: 1}, {Batch: 7}, {Batch: 7, Restart: 3}, {Batch: 4096}} {
		v.Settings = o.Settings
		how := fmt.Sprintf("batches of %d, restart after every %d", v.Batch, v.Restart)
		got, err := Upcast(events, v)
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || fmt.Sprint(want[i]) != fmt.Sprint(got[i]) {
				t.Errorf("%s: it makes %d events, want %d; the first that differs is number %d", how, len(got), len(want), i+1)
				break
			}
		}
	}
}
