package main

import (
	"context"
	"sync"

	"gnomon/engine/config"
	"gnomon/engine/mirror"
)

// mirrors are the buckets that hold what projections serve.
type mirrors struct {
	node *node
	ctx  context.Context
	stop context.CancelFunc

	mu      sync.Mutex
	running map[string]*mirroring // by projection
	all     sync.WaitGroup
}

// mirroring is a mirror that runs.
type mirroring struct {
	bucket string
	stop   context.CancelFunc
	done   chan struct{}
}

func newMirrors(ctx context.Context, n *node) *mirrors {
	m := &mirrors{node: n, running: map[string]*mirroring{}}
	m.ctx, m.stop = context.WithCancel(ctx)
	return m
}

// set has exactly the declared mirrors run.
func (m *mirrors) set(c *config.Config) {
	m.mu.Lock()
	defer m.mu.Unlock()
	want := map[string]string{}
	for _, p := range c.Projections {
		if p.KV.Bucket != "" {
			want[p.Name] = p.KV.Bucket
		}
	}
	for name, r := range m.running {
		if want[name] == r.bucket {
			delete(want, name)
			continue
		}
		r.stop()
		<-r.done
		m.node.engine.NoteMirror(name, nil)
		delete(m.running, name)
	}
	for name, bucket := range want {
		m.startLocked(name, bucket)
	}
}

func (m *mirrors) startLocked(name, bucket string) {
	ctx, stop := context.WithCancel(m.ctx)
	r := &mirroring{bucket: bucket, stop: stop, done: make(chan struct{})}
	m.running[name] = r
	b := m.node.broker
	one := &mirror.Mirror{
		Engine: m.node.engine, JetStream: b.JetStream(), Projection: name, Bucket: bucket, Log: m.node.log,
		Permitted: b.Permitted, Explain: b.Explain,
	}
	m.all.Go(func() {
		defer close(r.done)
		one.Run(ctx)
	})
}

// Close ends all of them.
func (m *mirrors) Close() {
	m.stop()
	m.all.Wait()
}
