package session

import (
	"sync/atomic"

	"github.com/tandem-io/tandem/backend"
)

// Buffer is received memory that was handed over: by Stream.Take to the caller, who may hand it on by
// Stream.WriteBuffer. Its holder releases it, once. Any goroutine may use it, one at a time.
type Buffer struct {
	bytes  []byte
	memory *shared
}

// shared is a piece of memory that one or more Buffers show, free when the last of them has been released.
type shared struct {
	refs    atomic.Int32
	release func()        // gives it back to a driver
	pool    *backend.Pool // or to a pool
	root    []byte
}

// newShared makes memory of a pool into shared memory with one holder.
func newShared(pool *backend.Pool, root []byte) *shared {
	m := &shared{pool: pool, root: root}
	m.refs.Store(1)
	return m
}

func (m *shared) buffer(p []byte) *Buffer { return &Buffer{bytes: p, memory: m} }

func (m *shared) put() {
	switch {
	case m.refs.Add(-1) > 0:
	case m.release != nil:
		m.release()
	default:
		m.pool.Put(m.root)
	}
}

// Bytes returns the bytes. They may be changed. They are valid until Release or WriteBuffer.
func (b *Buffer) Bytes() []byte { return b.bytes }

// Release gives the memory back. Calls after the first do nothing.
func (b *Buffer) Release() {
	if m := b.memory; m != nil {
		backend.Poison(b.bytes)
		b.bytes, b.memory = nil, nil
		m.put()
	}
}
