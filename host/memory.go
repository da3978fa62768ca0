package host

import (
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// limitedMemory allocates linear memories that refuse to grow past a limit: the
// guest then sees memory.grow fail, as the specification lets it.
type limitedMemory struct {
	limit   uint64            // bytes
	expect  uint64            // bytes that it will have soon; 0: not known
	refused func(size uint64) // is told of each refusal
}

func (l limitedMemory) Allocate(capacity, _ uint64) experimental.LinearMemory {
	return &linearMemory{limitedMemory: l, buf: make([]byte, 0, min(max(capacity, l.expect), l.limit))}
}

type linearMemory struct {
	limitedMemory
	buf []byte
}

// Reallocate grows the memory, by at least a quarter so that a guest which grows
// page by page does not copy it each time. Bytes beyond the length are zero: they
// were never handed out.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > m.limit {
		m.refused(size)
		return nil
	}
	if size > uint64(cap(m.buf)) {
		grown := make([]byte, size, min(m.limit, max(size, uint64(cap(m.buf))/4*5)))
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:size]
	return m.buf
}

func (m *linearMemory) Free() { m.buf = nil }

// memoryBytes is the size of a memory. Its Size says 0 of one of 4 GiB.
func memoryBytes(m api.Memory) uint64 {
	pages, _ := m.Grow(0)
	return uint64(pages) * pageSize
}
