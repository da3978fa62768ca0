package gnomontest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/host/conformance"
	"gnomon/sdk/abi"
)

// The host of native tests does what the sandbox does, by the same scenarios: but for what
// only a sandbox can.
func TestConformance(t *testing.T) {
	run := 0
	for _, s := range conformance.Scenarios() {
		if s.Sandbox {
			continue
		}
		t.Run(fmt.Sprint(s.Rules, " ", s.Name), func(t *testing.T) {
			for _, problem := range s.Check(t.Context(), nativeHost{}) {
				t.Error(problem)
			}
		})
		run++
	}
	if run < 30 {
		t.Errorf("only %d scenarios can be run", run)
	}
}

// nativeHost starts the kit's guest as a Go program.
type nativeHost struct{}

func (nativeHost) Start(_ context.Context, _ []byte, _ conformance.Bounds, c guest.Config) (guest.Instance, error) {
	h := newHost(string(c.Settings))
	in := &nativeInstance{host: h, guest: conformance.NewNative(h), log: c.Log}
	return in, in.call(abi.ExportInit)
}

// nativeInstance is the guest with its host, as a guest.Instance.
type nativeInstance struct {
	*host
	guest *conformance.Native
	log   guest.Log
}

func (in *nativeInstance) call(export string) error {
	in.begin(export)
	code := in.guest.Call(export)
	for _, line := range in.logged {
		level, text, _ := strings.Cut(line, ": ")
		in.log.Line(guest.Line{Level: map[string]int{"debug": -4, "info": 0, "warn": 4, "error": 8}[level], Text: text})
	}
	in.logged = nil
	if code == 0 {
		return nil
	}
	return &Failure{Call: export, Text: in.said}
}

// load makes the batch of records.
func (in *nativeInstance) load(records []byte) {
	in.batch, in.sequence = records, nil
	for rest := records; len(rest) > 0; {
		r, after, err := abi.Next(rest)
		if err != nil {
			break
		}
		in.sequence, rest = append(in.sequence, r.Sequence), after
	}
}

func (in *nativeInstance) read(rows state.Rows) error {
	in.state, in.sorted = map[string]string{}, nil
	return rows.Scan(nil, nil, func(k, v []byte) bool { in.state[string(k)] = string(v); return true })
}

// Apply implements guest.Instance.
func (in *nativeInstance) Apply(_ context.Context, records []byte, st guest.State) error {
	if err := in.read(st); err != nil {
		return err
	}
	in.load(records)
	in.emitted, in.headers, in.causes, in.emits = nil, nil, nil, 0
	if err := in.writing(st, abi.ExportApply); err != nil {
		return err
	}
	return in.emitAll(st)
}

// writing makes a call that may write, and hands on what it wrote.
func (in *nativeInstance) writing(st guest.State, export string) error {
	before := maps.Clone(in.state)
	if err := in.call(export); err != nil {
		in.rollBack()
		return err
	}
	in.commit()
	for k := range before {
		if _, ok := in.state[k]; !ok {
			if err := st.Delete([]byte(k)); err != nil {
				return err
			}
		}
	}
	for k, v := range in.state {
		if err := st.Put([]byte(k), []byte(v)); err != nil {
			return err
		}
	}
	return nil
}

// emitAll hands on what was emitted, with what the host of native tests knows of it.
func (in *nativeInstance) emitAll(st guest.State) error {
	indexes := map[uint64]int{}
	for i, e := range in.emitted {
		var headers []byte
		for _, h := range in.headers[i] {
			headers, _ = abi.AppendHeader(headers, h.Name, h.Value)
		}
		err := st.Emit(state.Emit{Cause: e.Sequence, Index: indexes[e.Sequence], Event: int(in.causes[i]), Subject: e.Subject, Headers: headers, Data: []byte(e.Data)})
		if err != nil {
			return err
		}
		indexes[e.Sequence]++
	}
	return nil
}

// Upcast implements guest.Instance.
func (in *nativeInstance) Upcast(_ context.Context, records []byte) ([]byte, error) {
	in.load(records)
	in.output = nil
	if err := in.call(abi.ExportUpcast); err != nil {
		return nil, err
	}
	return in.output, nil
}

// Query implements guest.Instance.
func (in *nativeInstance) Query(_ context.Context, request []byte, rows state.Rows) ([]byte, error) {
	if err := in.read(rows); err != nil {
		return nil, err
	}
	in.request, in.output = string(request), nil
	if err := in.call(abi.ExportQuery); err != nil {
		return nil, err
	}
	return in.output, nil
}

// Snapshot implements guest.Instance.
func (in *nativeInstance) Snapshot(context.Context) ([][]byte, error) {
	in.blobs = nil
	err := in.call(abi.ExportSnapshot)
	return in.blobs, err
}

// Restore implements guest.Instance.
func (in *nativeInstance) Restore(_ context.Context, blobs [][]byte) error {
	in.blobs, in.host.read = blobs, 0
	return in.call(abi.ExportRestore)
}

// Migrate implements guest.Instance.
func (in *nativeInstance) Migrate(_ context.Context, from int, st guest.State) error {
	if err := in.read(st); err != nil {
		return err
	}
	in.guest.From(int32(from))
	return in.writing(st, abi.ExportMigrate)
}

// Fuel implements guest.Instance.
func (in *nativeInstance) Fuel() uint64 { return 0 }

// MemoryBytes implements guest.Instance.
func (in *nativeInstance) MemoryBytes() uint64 { return 0 }

// Close implements guest.Instance.
func (in *nativeInstance) Close(context.Context) error { return nil }
