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

// image is what _initialize and init make of the memory of an instance. An instance that is
// given it is what it would be had it run them itself, for that depends on the module and
// on what is kept here alone: there are no clocks, no chance, no state. So of a guest that
// takes long to begin, such as an interpreter that parses a script, instances after a
// failure cost a copy of what that changed.
//
// Images are of modules of which that can be told: all that _initialize and init changed is
// the memory. Tables and segments cannot change (fuel.ChangesTables), nothing is imported
// from WASI, whose functions have memories of their own, the globals are what they were,
// no fields were declared, and nothing was logged, or would be if there were a log: it would
// be missing from that of the next one.
type image struct {
	settings []byte
	limit    uint64 // of memory
	around   guest.Surroundings
	taken    bool      // what follows is known
	size     uint64    // of the memory then, in bytes
	changed  []segment // blocks that are not what the module and its start function make of them
	started  uint64    // fuel that starting it used
}

// Bounds of images, which are kept as long as their module: most modules are instantiated a
// few times only, and large memories take as long to copy as to make.
const (
	imageAfter = 3        // instances with the same settings
	imageBytes = 16 << 20 // of memory
	imageBlock = 4 << 10  // bytes; a part of pageSize: what is in none is not copied, nor taken from the system
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
	if s.of.taken {
		is := s.of
		return &is, false
	}
	s.made++
	return nil, s.made > imageAfter && !s.refused
}

// take initializes an instance, and keeps the image of it.
func (s *images) take(ctx context.Context, in *instance, c guest.Config) error {
	im, ok, err := in.initializeFor(ctx, c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.of.isFor(c):
	case ok:
		s.of = im
	default:
		s.refused = true
	}
	return nil
}

// initializeFor initializes an instance. It returns the image of it; ok is false when what
// it is cannot be told by one.
func (in *instance) initializeFor(ctx context.Context, c guest.Config) (im image, ok bool, err error) {
	if in.MemoryBytes() > imageBytes {
		return im, false, in.initialize(ctx)
	}
	globals, comparable := in.globals()
	before := bytes.Clone(in.memory())
	if err := in.initialize(ctx); err != nil {
		return im, false, err
	}
	after, _ := in.globals()
	if !comparable || !slices.Equal(globals, after) || in.fields != nil || in.logged || in.MemoryBytes() > imageBytes {
		return im, false, nil
	}
	return image{
		settings: bytes.Clone(c.Settings), limit: c.Memory, around: c.Surroundings, taken: true,
		size: in.MemoryBytes(), changed: changedBlocks(before, in.memory()), started: in.started,
	}, true, nil
}

// memory is that of an instance, as it is; at most imageBytes.
func (in *instance) memory() []byte {
	b, _ := in.module.Memory().Read(0, uint32(min(in.MemoryBytes(), imageBytes)))
	return b
}

// changedBlocks returns the blocks of a memory that are not what they were before; those that
// it has grown by were zero.
func changedBlocks(before, after []byte) (changed []segment) {
	was := make([]byte, len(after))
	copy(was, before)
	for at := 0; at < len(after); at += imageBlock {
		block := after[at : at+imageBlock]
		if bytes.Equal(block, was[at:at+imageBlock]) {
			continue
		}
		if n := len(changed); n > 0 && changed[n-1].end() == int64(at) {
			changed[n-1].data = append(changed[n-1].data, block...)
		} else {
			changed = append(changed, segment{int64(at), bytes.Clone(block)})
		}
	}
	return changed
}

// memory is the size of the memory, in bytes; 0 when there is no image.
func (im *image) memory() uint64 {
	if im == nil {
		return 0
	}
	return im.size
}

// become gives an instance that was not initialized the memory of an image. It reports
// whether there is room for it; if not, nothing was changed.
func (in *instance) become(im *image) bool {
	has := in.MemoryBytes()
	if has > im.size {
		return false
	}
	m := in.module.Memory()
	if _, ok := m.Grow(uint32((im.size - has) / pageSize)); !ok {
		return false
	}
	for _, s := range im.changed {
		m.Write(uint32(s.offset), s.data)
	}
	in.started = im.started
	return true
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
