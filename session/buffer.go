package session

import (
	"sync/atomic"

	"github.com/tandem-io/tandem/backend"
)

// Buffer is memory that was handed over: by Stream.Take or NewBuffer to the caller, who may hand it on by
// Stream.WriteBuffer. Its holder releases it, once. Any goroutine may use it, one at a time.
type Buffer struct {
	bytes  []byte
	memory *shared
}

// shared is a piece of memory that one or more Buffers show, free when the last of them has been released.
type shared struct {
	refs    atomic.Int32
	common  bool          // all of them show the same bytes, so that none of them may change or poison these
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

// end follows that a holder is done with p, which it showed.
func (m *shared) end(p []byte) {
	if !m.common {
		backend.Poison(p)
	}
	m.put()
}

// NewBuffer returns a Buffer with a copy of p, for one message that goes to many streams: see Buffer.Share. Any goroutine.
func (e *Engine) NewBuffer(p []byte) *Buffer {
	mem := e.buffers.Get(len(p))
	m := newShared(&e.buffers, mem)
	m.common = true
	return m.buffer(mem[:copy(mem, p)])
}

// Bytes returns the bytes. They may be changed, unless the Buffer was shared. They are valid until Release or WriteBuffer.
func (b *Buffer) Bytes() []byte { return b.bytes }

// Share returns another Buffer of the same bytes, which has a holder of its own: each of the two is released or written
// once, and the memory goes back when the last has been. So one message is written to many streams without a copy for
// each:
//
//	for _, s := range streams {
//		share := b.Share()
//		if s.WriteBuffer(share) != nil {
//			share.Release()
//		}
//	}
//	b.Release()
//
// From now on nobody may change the bytes. The memory is in use until the slowest of the streams has sent it, or has
// ended. Of a Buffer that was released or written, Share returns one without bytes. Different goroutines may use
// different Buffers at the same time.
func (b *Buffer) Share() *Buffer {
	if b.memory != nil {
		b.retain()
	}
	return &Buffer{bytes: b.bytes, memory: b.memory}
}

// retain counts one more holder of exactly these bytes.
func (b *Buffer) retain() {
	if !b.memory.common {
		part, p := b.memory, b.bytes
		m := &shared{common: true, release: func() { part.end(p) }}
		m.refs.Store(1)
		b.memory = m
	}
	b.memory.refs.Add(1)
}

// Release gives the memory back. Calls after the first do nothing.
func (b *Buffer) Release() {
	if m := b.memory; m != nil {
		m.end(b.bytes)
		b.bytes, b.memory = nil, nil
	}
}
