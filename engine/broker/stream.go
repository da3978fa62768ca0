package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamSpec declares a stream. Zero values stand for the server's defaults and
// are not compared.
type StreamSpec struct {
	Name       string
	Subjects   []string // none: the stream must exist
	Memory     bool     // kept in memory instead of files
	MaxAge     time.Duration
	MaxBytes   int64
	Duplicates time.Duration // window in which the server drops messages with a known id
	Replicas   int
	Atomic     bool // takes several events in one, all of them or none: see ADR-50 of NATS
}

// Difference is a setting that a stream has otherwise than declared.
type Difference struct{ Setting, Have, Want string }

func (d Difference) String() string {
	return fmt.Sprintf("%s is %s, the configuration says %s", d.Setting, d.Have, d.Want)
}

// EnsureStream creates a stream that is absent. One that exists is compared, and
// never changed.
func (b *Broker) EnsureStream(ctx context.Context, s StreamSpec) (created bool, _ []Difference, _ error) {
	ctx, done := b.Permitted(ctx, s.Name)
	defer done()
	have, err := b.js.Stream(ctx, s.Name)
	if err == nil {
		return false, s.compare(have.CachedInfo().Config), nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) || len(s.Subjects) == 0 {
		return false, nil, fmt.Errorf("stream %s: %w", s.Name, b.Explain(err))
	}
	if _, err := b.js.CreateStream(ctx, s.config()); err != nil {
		return false, nil, fmt.Errorf("create stream %s: %w", s.Name, b.Explain(err))
	}
	return true, nil, nil
}

func (s StreamSpec) config() jetstream.StreamConfig {
	storage := jetstream.FileStorage
	if s.Memory {
		storage = jetstream.MemoryStorage
	}
	return jetstream.StreamConfig{
		Name: s.Name, Subjects: s.Subjects, Storage: storage, Replicas: max(s.Replicas, 1),
		MaxAge: s.MaxAge, MaxBytes: s.MaxBytes, Duplicates: s.Duplicates,
		AllowAtomicPublish: s.Atomic,
	}
}

func (s StreamSpec) compare(have jetstream.StreamConfig) []Difference {
	want := s.config()
	var d []Difference
	add := func(setting string, declared bool, h, w any) {
		if hs, ws := fmt.Sprint(h), fmt.Sprint(w); declared && hs != ws {
			d = append(d, Difference{setting, hs, ws})
		}
	}
	hs, ws := slices.Sorted(slices.Values(have.Subjects)), slices.Sorted(slices.Values(want.Subjects))
	add("subjects", len(s.Subjects) > 0, strings.Join(hs, " "), strings.Join(ws, " "))
	add("storage", true, have.Storage, want.Storage)
	add("max_age", s.MaxAge > 0, have.MaxAge, want.MaxAge)
	add("max_bytes", s.MaxBytes > 0, have.MaxBytes, want.MaxBytes)
	add("duplicate_window", s.Duplicates > 0, have.Duplicates, want.Duplicates)
	add("replicas", s.Replicas > 0, have.Replicas, want.Replicas)
	add("allow_atomic", s.Atomic, have.AllowAtomicPublish, want.AllowAtomicPublish)
	return d
}
