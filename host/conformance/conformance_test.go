package conformance

import (
	"context"
	"fmt"
	"os"
	"testing"

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
