package uring

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const bufferGroup = 0

// buffers are a loop's receive buffers. There are few of them, because the kernel fills them in turn, so that all of
// them are in the cache or none. When they run out there come more, a slab at a time, and after a quiet time these
// leave again.
//
//	kernel ── fills ─► lent to Received ─► giveBack ─► ring ─► kernel
//	                         │ keep                     ▲
//	                         ▼ its owner's  ── release ─┘ collect
type buffers struct {
	ring    *BufRing
	size    int
	perSlab int
	most    int
	slabs   [][]byte   // mapped; buffer bid is in slabs[bid/perSlab]
	home    [][]uint16 // for each slab that retires, its buffers that are out of the ring
	live    int        // slabs whose buffers are given back to the ring
	free    int        // buffers that the kernel has
	added   bool       // some were added and not yet published
	calm    int        // Polls since the buffers ran out last
	lent    uint16     // the buffer that Received has now
	keeping bool       // and it was made its owner's

	waiting  atomic.Bool // returned holds something
	mu       sync.Mutex  // guards what follows
	kept     int
	returned []uint16
	closed   bool
}

// calmPolls is after how many Polls without a shortage the youngest slab leaves.
const calmPolls = 1 << 14

func newBuffers(r *Ring, c Config) (*buffers, error) {
	b := &buffers{size: c.BufferSize, perSlab: c.Buffers, most: growth}
	entries := 1
	for entries < c.Buffers*growth {
		entries *= 2
	}
	if entries > 32768 {
		entries, b.most = 32768, max(32768/c.Buffers, 1)
	}
	var err error
	if b.ring, err = NewBufRing(r, bufferGroup, uint32(entries), 0); err != nil {
		return nil, err
	}
	if err := b.addSlab(); err != nil {
		return nil, err
	}
	b.publish()
	return b, nil
}

func (b *buffers) addSlab() error {
	mem, err := unix.Mmap(-1, 0, b.perSlab*b.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("uring: map receive buffers: %w", err)
	}
	b.slabs = append(b.slabs, mem)
	b.home = append(b.home, nil)
	b.live = len(b.slabs)
	for i := range b.perSlab {
		b.add(uint16((len(b.slabs)-1)*b.perSlab + i))
	}
	return nil
}

func (b *buffers) memory(bid uint16) []byte {
	i := int(bid) % b.perSlab * b.size
	return b.slabs[int(bid)/b.perSlab][i : i+b.size : i+b.size]
}

func (b *buffers) add(bid uint16) {
	b.ring.Add(bid, b.memory(bid))
	b.free++
	b.added = true
}

// publish shows the kernel what was added.
func (b *buffers) publish() {
	if b.added {
		b.added = false
		b.ring.Publish()
	}
}

// taken accounts for a buffer that the kernel has filled.
func (b *buffers) taken() { b.free-- }

// lend returns the n bytes of a buffer for the time of one Received.
func (b *buffers) lend(bid uint16, n int) []byte {
	b.lent = bid
	return b.memory(bid)[:n:n]
}

// giveBack ends the loan, unless the owner has kept the buffer.
func (b *buffers) giveBack(bid uint16) {
	if b.keeping {
		b.keeping = false
		return
	}
	b.back(bid)
}

func (b *buffers) back(bid uint16) {
	slab := int(bid) / b.perSlab
	if slab < b.live {
		b.add(bid)
		return
	}
	b.home[slab] = append(b.home[slab], bid)
	for last := len(b.slabs) - 1; last >= b.live && len(b.home[last]) == b.perSlab; last-- {
		_ = unix.Munmap(b.slabs[last])
		b.slabs, b.home = b.slabs[:last], b.home[:last]
	}
}

// grow adds a slab, or keeps one that is about to leave.
func (b *buffers) grow() {
	b.calm = 0
	if b.free > 0 {
		return // they came back while the request was failing
	}
	if b.live < len(b.slabs) {
		b.revive()
	} else if len(b.slabs) < b.most {
		_ = b.addSlab() // without memory it stays as it is, and the sockets wait
	}
}

// revive takes back a slab that retires.
func (b *buffers) revive() {
	home := b.home[b.live]
	b.home[b.live] = nil
	b.live++
	for _, bid := range home {
		b.add(bid)
	}
}

// shrink lets the youngest slab leave after a quiet time.
func (b *buffers) shrink(busy bool) {
	if busy || b.live == 1 {
		b.calm = 0
		return
	}
	if b.calm++; b.calm >= calmPolls {
		b.calm = 0
		b.live--
	}
}

// keep makes the lent buffer its owner's. At most half of all that there can be are away at a time.
func (b *buffers) keep(wake func()) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept >= max(b.perSlab*b.most/2, 1) {
		return nil
	}
	b.kept++
	b.keeping = true
	bid := b.lent
	return func() { b.release(bid, wake) }
}

// release is called by owners, on any goroutine.
func (b *buffers) release(bid uint16, wake func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept--
	if b.closed {
		b.unmapLocked()
		return
	}
	b.returned = append(b.returned, bid)
	b.waiting.Store(true)
	if len(b.returned) == 1 {
		wake() // somebody may be starved
	}
}

// collect takes back what owners have released.
func (b *buffers) collect() {
	if !b.waiting.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting.Store(false)
	for _, bid := range b.returned {
		b.back(bid)
	}
	b.returned = b.returned[:0]
}

func (b *buffers) keptNow() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

// close frees the memory; if some of it is still its owners', the last of them does. The ring is closed already.
func (b *buffers) close() {
	_ = b.ring.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.unmapLocked()
}

func (b *buffers) unmapLocked() {
	if b.kept > 0 {
		return
	}
	for _, m := range b.slabs {
		_ = unix.Munmap(m)
	}
	b.slabs = nil
}
