package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	"gnomon/engine/guest"
	"gnomon/host"
)

var sandbox *Sandbox

func TestMain(m *testing.M) {
	ctx := context.Background()
	h, err := host.New(ctx, host.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	sandbox = &Sandbox{Host: h}
	code := m.Run()
	h.Close(ctx)
	os.Exit(code)
}

// The sandbox does what docs/ABI.md says of every function and every call.
func TestSandbox(t *testing.T) {
	for _, s := range Scenarios() {
		t.Run(fmt.Sprint(s.Rules, " ", s.Name), func(t *testing.T) {
			for _, problem := range s.Check(t.Context(), sandbox) {
				t.Error(problem)
			}
		})
	}
}

// later is the sandbox, of which an instance is the fifth with its settings, and has no table
// that can grow: it is made of an image of the memory of the fourth where that can be.
type later struct{ *Sandbox }

// Start implements Host.
func (l later) Start(ctx context.Context, module []byte, b Bounds, c guest.Config) (guest.Instance, error) {
	if b.Table == 0 {
		grow := []byte{0xd0, 0x70, 0x20, 1, 0xfc, 0x0f, 0} // ref.null func, local.get 1, table.grow 0
		none := []byte{0x41, 0x7f, 0x41, 0, 0x6a, 1, 1}    // i32.const -1, i32.const 0, i32.add, nop, nop
		module = bytes.Replace(module, grow, none, 1)
	}
	alone := c
	alone.Log = nil // its lines are not those of this instance
	for range 4 {
		in, err := l.Sandbox.Start(ctx, module, b, alone)
		if err != nil {
			break // as the next one will
		}
		if err := in.Close(ctx); err != nil {
			return nil, err
		}
	}
	return l.Sandbox.Start(ctx, module, b, c)
}

// It does so, too, in instances that are made of an image of the memory of others.
func TestSandboxOfImages(t *testing.T) {
	for _, s := range Scenarios() {
		t.Run(fmt.Sprint(s.Rules, " ", s.Name), func(t *testing.T) {
			for _, problem := range s.Check(t.Context(), later{sandbox}) {
				t.Error(problem)
			}
		})
	}
}
