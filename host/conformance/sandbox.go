package conformance

import (
	"context"
	"crypto/sha256"
	"sync"

	"gnomon/engine/guest"
	"gnomon/host"
)

// Sandbox is the sandbox of package host as a Host. Its zero value needs a Host.
type Sandbox struct {
	Host *host.Host

	mu      sync.Mutex
	modules map[loaded]*host.Module
}

// loaded names a module that was compiled, with its bounds.
type loaded struct {
	digest [sha256.Size]byte
	bounds Bounds
}

// Start implements Host.
func (s *Sandbox) Start(ctx context.Context, module []byte, b Bounds, c guest.Config) (guest.Instance, error) {
	m, err := s.load(ctx, module, b)
	if err != nil {
		return nil, err
	}
	return m.Instantiate(ctx, c)
}

func (s *Sandbox) load(ctx context.Context, module []byte, b Bounds) (*host.Module, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := loaded{sha256.Sum256(module), b}
	if m := s.modules[key]; m != nil {
		return m, nil
	}
	m, err := s.Host.Load(ctx, module, host.Limits{Memory: 64 << 20, Fuel: b.Fuel, Table: b.Table})
	if err != nil {
		return nil, err
	}
	if s.modules == nil {
		s.modules = map[loaded]*host.Module{}
	}
	s.modules[key] = m
	return m, nil
}
