package host

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"gnomon/engine/guest"
	"gnomon/host/fuel"
	"gnomon/sdk/abi"
)

// image is the memory of an instance as _initialize and init left it. An instance that is
// given it is what it would be had it run them itself, for that depends on the module and
// on what is kept here alone: there are no clocks, no chance, no state. So of a guest that
// takes long to begin, such as an interpreter that parses a script, instances after a
// failure cost a copy of their memory.
//
// Images are of modules of which that can be told: all that _initialize and init changed is
// the memory. Tables and segments cannot change (fuel.ChangesTables), nothing is imported
// from WASI, whose functions have memories of their own, the globals are what they were,
// no fields were declared, and nothing was logged, which would be missing from the log.
type image struct {
	settings []byte
	limit    uint64 // of memory
	around   guest.Surroundings
	memory   []byte // nil: none yet
	started  uint64 // fuel that starting it used
}

// Bounds of images, which are kept as long as their module: most modules are instantiated a
// few times only, and large memories take as long to copy as to make.
const (
	imageAfter = 3        // instances with the same settings
	imageBytes = 16 << 20 // of memory
)

// images is that of the settings that a module was last instantiated with.
type images struct {
	possible bool
	mu       sync.Mutex
	of       image
	made     int  // instances with these settings
	refused  bool // what such an instance is cannot be told
}

// canImage tells whether images may be made of a module. Code is that of the module.
func canImage(b *Binary, code []byte) bool {
	if slices.ContainsFunc(b.Imports, func(i Import) bool { return i.Module == abi.WASI }) {
		return false
	}
	changes, err := fuel.ChangesTables(code)
	return err == nil && !changes
}

func (im *image) isFor(c guest.Config) bool {
	return bytes.Equal(im.settings, c.Settings) && im.limit == c.Memory && im.around == c.Surroundings
}

// next counts an instance that is to be made. It returns the image that there is for it, or
// whether one is to be taken of it.
func (s *images) next(c guest.Config) (im *image, take bool) {
	if !s.possible {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.of.isFor(c) {
		s.of = image{settings: bytes.Clone(c.Settings), limit: c.Memory, around: c.Surroundings}
		s.made, s.refused = 0, false
	}
	if s.of.memory != nil {
		is := s.of
		return &is, false
	}
	s.made++
	return nil, s.made > imageAfter && !s.refused
}

// take initializes an instance, and keeps the image of it.
func (s *images) take(ctx context.Context, in *instance, c guest.Config) error {
	before, _ := in.globals()
	if err := in.initialize(ctx); err != nil {
		return err
	}
	memory, ok := in.module.Memory().Read(0, in.module.Memory().Size())
	after, comparable := in.globals()
	ok = ok && comparable && slices.Equal(before, after) && in.fields == nil && !in.logged && len(memory) <= imageBytes
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.of.isFor(c):
	case ok:
		s.of.memory, s.of.started = bytes.Clone(memory), in.started
	default:
		s.refused = true
	}
	return nil
}

// size is that of the memory, in bytes; 0 when there is no image.
func (im *image) size() uint64 {
	if im == nil {
		return 0
	}
	return uint64(len(im.memory))
}

// become gives an instance that was not initialized the memory of an image. It reports
// whether there is room for it; if not, nothing was changed.
func (in *instance) become(im *image) bool {
	m := in.module.Memory()
	if int(m.Size()) > len(im.memory) {
		return false
	}
	if _, ok := m.Grow(uint32((len(im.memory) - int(m.Size())) / pageSize)); !ok {
		return false
	}
	in.started = im.started
	return m.Write(0, im.memory)
}

// globals are the values of all globals but the counter of fuel; ok is false when there is
// one whose value is more than can be had.
func (in *instance) globals() (values []uint64, ok bool) {
	m, ok := in.module.(experimental.InternalModule)
	if !ok {
		return nil, false
	}
	n := m.NumGlobal()
	if in.fuel > 0 {
		n-- // it is the last
	}
	for i := range n {
		g := m.Global(i)
		switch g.Type() {
		case api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64:
			values = append(values, g.Get())
		default:
			return nil, false
		}
	}
	return values, true
}
